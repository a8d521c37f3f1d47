/**
 * The client's side of a named pipe.
 *
 * @see fileapi.h `CreateFile`; namedpipeapi.h `WaitNamedPipe`.
 */
import type { CompletionPort } from "./completion_port.ts";
import { handleOf, type Kernel32 } from "./kernel32.ts";
import { NamedPipe } from "./named_pipe.ts";
import { encodeWide } from "./wide_string.ts";
import { ERROR_PIPE_BUSY, ERROR_SEM_TIMEOUT } from "./constants.ts";
import { Win32Error } from "./win32_error.ts";

// winnt.h, winbase.h
const GENERIC_READ_WRITE = 0xc000_0000;
const OPEN_EXISTING = 3;
const FILE_FLAG_OVERLAPPED = 0x4000_0000;
/** `SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION`: the server may learn who we are, not act as us. */
const IDENTIFICATION_ONLY = 0x0011_0000;

/** First and longest pause between tries while all instances are busy, in milliseconds. */
const BUSY_PAUSE_MS = { first: 2, longest: 50 };

/** What a client works with. */
export interface PipeClientDeps {
  readonly kernel32: Kernel32;
  readonly port: CompletionPort;
}

/**
 * Opens a pipe. A server whose instances are all busy makes new ones at once, so that is waited for.
 *
 * @param name Such as `\\.\pipe\name`.
 * @param options.busyMs How long all instances may be busy, in milliseconds. Default 5000: a thousand clients at
 * once are served within 3 s under Wine.
 * @throws {Win32Error} `ERROR_FILE_NOT_FOUND` when there is no such pipe, `ERROR_ACCESS_DENIED`, or
 * `ERROR_PIPE_BUSY` when it stays busy.
 */
export async function openPipe(
  name: string,
  deps: PipeClientDeps,
  options: { readonly busyMs?: number } = {},
): Promise<NamedPipe> {
  const { busyMs = 5000 } = options;
  let pause = BUSY_PAUSE_MS.first;
  for (let waited = 0;; waited += pause, pause = Math.min(2 * pause, BUSY_PAUSE_MS.longest)) {
    const opened = tryOpen(name, deps);
    if (opened instanceof NamedPipe) return opened;
    if (opened !== ERROR_PIPE_BUSY || waited >= busyMs) {
      throw new Win32Error(`open ${name}`, "CreateFile", opened);
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

/** The pipe, or the error code. */
function tryOpen(name: string, { kernel32, port }: PipeClientDeps): NamedPipe | number {
  const flags = FILE_FLAG_OVERLAPPED | IDENTIFICATION_ONLY;
  const opened = handleOf(
    kernel32.CreateFileW(encodeWide(name), GENERIC_READ_WRITE, 0, null, OPEN_EXISTING, flags, 0n),
  );
  if (opened === undefined) return kernel32.GetLastError();
  try {
    port.bind(opened);
  } catch (error) {
    kernel32.CloseHandle(opened);
    throw error;
  }
  return new NamedPipe(kernel32, port, opened);
}

/**
 * Whether a process has a pipe of that name. Connects to none: clients that say nothing are for others to wonder
 * about.
 */
export function pipeExists(name: string, kernel: Kernel32): boolean {
  const oneMillisecond = 1;
  if (kernel.WaitNamedPipeW(encodeWide(name), oneMillisecond) !== 0) return true;
  return kernel.GetLastError() === ERROR_SEM_TIMEOUT; // It is there, and all its instances are busy.
}
