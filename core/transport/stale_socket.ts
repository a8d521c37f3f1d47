/** Sockets in the file system that a process left behind when it was killed. */

/** Whether there is a socket at the path that nobody listens on. */
export async function isStaleSocket(path: string): Promise<boolean> {
  if (!await Deno.lstat(path).then((info) => info.isSocket ?? false, () => false)) return false;
  try {
    (await Deno.connect({ transport: "unix", path })).close();
    return false;
  } catch (error) {
    return error instanceof Deno.errors.ConnectionRefused;
  }
}

/**
 * Sockets `zl-<...>.sock` in a directory that nobody listens on, which are those of our devices. Other programs
 * have theirs beside them in the system's directory.
 */
export async function findStaleControlSockets(directory: string): Promise<string[]> {
  let names: string[];
  try {
    names = [...Deno.readDirSync(directory)].map(({ name }) => name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
  const found: string[] = [];
  for (const name of names.sort()) {
    const path = `${directory}/${name}`;
    if (/^zl-.*\.sock$/.test(name) && await isStaleSocket(path)) found.push(path);
  }
  return found;
}
