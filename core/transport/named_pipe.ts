/**
 * The daemon's endpoint on Windows: a named pipe that only LocalSystem and Administrators may use, and only from
 * this computer.
 *
 * Source: spec/daemon.md §4, spec/windows.md §6.
 */
import { advapi32 } from "../../ffi/windows/advapi32.ts";
import { CompletionPort } from "../../ffi/windows/completion_port.ts";
import { kernel32 } from "../../ffi/windows/kernel32.ts";
import type { NamedPipe } from "../../ffi/windows/named_pipe.ts";
import { ntdll } from "../../ffi/windows/ntdll.ts";
import { openPipe, pipeExists } from "../../ffi/windows/pipe_client.ts";
import { PipeListener, type PipeListenerDeps } from "../../ffi/windows/pipe_listener.ts";
import { ERROR_ACCESS_DENIED, ERROR_FILE_NOT_FOUND } from "../../ffi/windows/constants.ts";
import { Win32Error } from "../../ffi/windows/win32_error.ts";
import {
  AlreadyExistsError,
  describeError,
  InvalidConfigError,
  OverlayError,
  PermissionError,
} from "../errors.ts";

/** Full access for LocalSystem and Administrators, nothing for others, nothing inherited. */
export const PIPE_SDDL = "D:P(A;;GA;;;SY)(A;;GA;;;BA)";

/** Pipes of this computer; the name may hold anything but a backslash. */
const PIPE_NAME = /^\\\\\.\\pipe\\[^\\\0]+$/i;

/** namedpipeapi.h: the whole name, `\\.\pipe\` included. */
const MAX_NAME_UNITS = 256;

/** Accepts the clients of one pipe. */
export interface PipeEndpoint {
  readonly name: string;
  /** The next client; rejects with `BadResource` once closed. */
  accept(): Promise<NamedPipe>;
  close(): void;
}

/** Where the endpoint tells what may be worth knowing. */
export interface PipeLog {
  debug(message: string, fields: Readonly<Record<string, unknown>>): void;
}

/**
 * Claims a pipe's name and listens.
 *
 * @param libraries Replaced by tests.
 * @throws {AlreadyExistsError} If another process has a pipe of that name.
 * @throws {InvalidConfigError} If it is no name of a pipe.
 */
export function listenPipe(name: string, log: PipeLog, libraries = pipeLibraries()): PipeEndpoint {
  checkName(name);
  const what = `cannot listen on ${name}`;
  try {
    // The first-instance flag decides; this only finds the usual case without touching the other's pipe.
    if (pipeExists(name, libraries.kernel32)) {
      throw new AlreadyExistsError(`${what}: another daemon answers there`);
    }
    return new Endpoint(name, new PipeListener(name, PIPE_SDDL, libraries), log);
  } catch (error) {
    if (isWin32(error, ERROR_ACCESS_DENIED)) {
      throw new AlreadyExistsError(`${what}: another process owns the pipe`, { cause: error });
    }
    if (error instanceof OverlayError) throw error;
    throw new OverlayError("unavailable", `${what}: ${describeError(error)}`, { cause: error });
  }
}

/**
 * Connects to a pipe.
 *
 * @param libraries Replaced by tests.
 * @throws {OverlayError} `unavailable` when nobody listens there, `permission_denied` when we may not. The cause is
 * an error of the class that Deno's own `connect` would throw.
 */
export async function dialPipe(name: string, libraries = pipeLibraries()): Promise<NamedPipe> {
  checkName(name);
  try {
    return await openPipe(name, libraries);
  } catch (error) {
    throw explainDial(name, error);
  }
}

function explainDial(name: string, error: unknown): OverlayError {
  const what = `cannot connect to ${name}`;
  if (isWin32(error, ERROR_FILE_NOT_FOUND)) {
    const cause = new Deno.errors.NotFound(describeError(error), { cause: error });
    return new OverlayError("unavailable", `${what}: no daemon listens there`, { cause });
  }
  if (isWin32(error, ERROR_ACCESS_DENIED)) {
    const cause = new Deno.errors.PermissionDenied(describeError(error), { cause: error });
    return new PermissionError(`${what}: access is denied; run as Administrator`, { cause });
  }
  return new OverlayError("unavailable", `${what}: ${describeError(error)}`, { cause: error });
}

function checkName(name: string): void {
  if (!PIPE_NAME.test(name)) {
    throw new InvalidConfigError(`${name} is not the name of a pipe; give one like \\\\.\\pipe\\NAME`);
  }
  if (name.length > MAX_NAME_UNITS) {
    throw new InvalidConfigError(
      `pipe name of ${name.length} characters is too long, the limit is ${MAX_NAME_UNITS}: ${name}`,
    );
  }
}

function isWin32(error: unknown, code: number): boolean {
  return error instanceof Win32Error && error.code === code;
}

let shared: PipeListenerDeps | undefined;

/** The libraries of this process, and the one completion port for all its pipes. */
export function pipeLibraries(): PipeListenerDeps {
  if (shared) return shared;
  const kernel = kernel32();
  return shared = {
    kernel32: kernel,
    advapi32: advapi32(),
    port: new CompletionPort({ kernel32: kernel, ntdll: ntdll() }),
  };
}

class Endpoint implements PipeEndpoint {
  readonly name: string;
  readonly #listener: PipeListener;
  readonly #log: PipeLog;

  constructor(name: string, listener: PipeListener, log: PipeLog) {
    this.name = name;
    this.#listener = listener;
    this.#log = log;
  }

  async accept(): Promise<NamedPipe> {
    const pipe = await this.#listener.accept();
    this.#log.debug("client connected", { pipe: this.name, pid: pipe.clientProcessId() });
    return pipe;
  }

  close(): void {
    this.#listener.close();
  }
}
