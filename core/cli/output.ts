/** Text for people on stdout and stderr, which may be closed, full or broken. */

/** How long a reader may take before the rest is given up, when the process is about to end. */
const WRITE_TIMEOUT_MS = 2000;

/** A standard stream. */
export interface OutputStream {
  write(bytes: Uint8Array): Promise<number>;
}

/**
 * Writes all of the text.
 *
 * Never throws: a reader that is gone (`| head`) is no failure of ours. Without `timeoutMs` it waits for a slow
 * reader, as a command should that prints its result.
 */
export async function writeText(
  stream: OutputStream,
  text: string,
  options: { timeoutMs?: number } = {},
): Promise<void> {
  const written = writeAll(stream, new TextEncoder().encode(text)).catch(() => {});
  if (options.timeoutMs === undefined) return await written;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<void>((resolve) => timer = setTimeout(resolve, options.timeoutMs));
  await Promise.race([written, timeout]);
  clearTimeout(timer);
}

/** The fatal error line of the daemon: one line on stderr that nobody has to read. */
export async function writeFatal(stream: OutputStream, causes: string): Promise<void> {
  await writeText(stream, `Error: ${causes}\n`, { timeoutMs: WRITE_TIMEOUT_MS });
}

async function writeAll(stream: OutputStream, bytes: Uint8Array): Promise<void> {
  for (let offset = 0; offset < bytes.length;) offset += await stream.write(bytes.subarray(offset));
}
