/**
 * The daemon's endpoint in the file system: how it is claimed, who may use it, how it goes away. On Windows it is a
 * named pipe instead, which `core/transport/named_pipe.ts` has.
 *
 * Nothing that lives is ever taken over: a socket that answers belongs to another daemon, and what is not a
 * socket belongs to somebody else. Only a socket that refuses is a leftover, and is replaced.
 *
 * Source: spec/daemon.md §3.
 */

import {
  AlreadyExistsError,
  describeError,
  InvalidConfigError,
  OverlayError,
  PermissionError,
} from "../core/errors.ts";
import { type IpcLog, SILENT_LOG } from "./log.ts";
import type { IpcListener, IpcStream } from "./stream.ts";

/** `sizeof(sockaddr_un.sun_path)` less the NUL: unix(7), and sys/un.h on macOS. */
const MAX_PATH_BYTES = { linux: 107, other: 103 };

/** Owner and group read and write. */
const SOCKET_MODE = 0o660;

/** Leaves {@linkcode SOCKET_MODE} of the 0777 that bind(2) asks for. */
const SOCKET_UMASK = 0o117;

/** Who gets at the endpoint, besides root. Not for pipes, which have their own rules. */
export interface ListenOptions {
  /** Group of the socket; unchanged when absent. */
  readonly groupId?: number;
  /** Owner of the socket; unchanged when absent. */
  readonly ownerUid?: number;
  readonly log?: IpcLog;
}

/**
 * Claims a socket path and listens on it. The socket has mode 0660 from its first moment; group and owner
 * are set as far as the process may.
 *
 * @param path Absolute, missing directories above it are made; the name of a pipe on Windows.
 * @throws {AlreadyExistsError} If another daemon answers there, or the path is something else than a socket.
 * @throws {InvalidConfigError} If the path is too long for a socket.
 * @throws {PermissionError} If a directory or the socket may not be made.
 */
export async function listenEndpoint(path: string, options: ListenOptions = {}): Promise<IpcListener> {
  const log = options.log ?? SILENT_LOG;
  if (Deno.build.os === "windows") return (await pipes()).listenPipe(path, log);
  checkEndpoint(path);
  try {
    Deno.mkdirSync(parentOf(path), { recursive: true });
    await clearLeftover(path, log);
    const listener = bind(path);
    shareSocket(path, options, log);
    return new UnixEndpoint(path, listener, log);
  } catch (error) {
    throw explain(`cannot listen on ${path}`, error);
  }
}

/**
 * Connects to an endpoint, once.
 *
 * @throws {OverlayError} `unavailable` when nobody listens there, `permission_denied` when we may not.
 */
export async function dialEndpoint(path: string): Promise<IpcStream> {
  if (Deno.build.os === "windows") return await (await pipes()).dialPipe(path);
  checkEndpoint(path);
  try {
    return await Deno.connect({ transport: "unix", path });
  } catch (error) {
    throw explain(`cannot connect to ${path}`, error);
  }
}

/** Loaded on Windows only. */
async function pipes(): Promise<typeof import("../core/transport/named_pipe.ts")> {
  return await import("../core/transport/named_pipe.ts");
}

function checkEndpoint(path: string): void {
  const limit = Deno.build.os === "linux" ? MAX_PATH_BYTES.linux : MAX_PATH_BYTES.other;
  const length = new TextEncoder().encode(path).length;
  if (length > limit) {
    throw new InvalidConfigError(
      `socket path of ${length} bytes is too long, the limit is ${limit}: ${path}; give a shorter --socket`,
    );
  }
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "." : path.slice(0, slash) || "/";
}

/** Makes sure that nothing is at the path, or throws if what is there is not ours to remove. */
async function clearLeftover(path: string, log: IpcLog): Promise<void> {
  const found = lstat(path);
  if (!found) return;
  if (!found.isSocket) {
    throw new AlreadyExistsError("something that is not a socket is there; remove it first");
  }
  if (await answers(path)) throw new AlreadyExistsError("another daemon answers there");
  // Look again, with nothing in between: another daemon that starts now may have put its own there.
  const now = lstat(path);
  if (now && (now.ino !== found.ino || now.dev !== found.dev)) {
    throw new AlreadyExistsError("another daemon is starting there");
  }
  if (now) Deno.removeSync(path);
  log.debug("stale socket removed", { path });
}

/** Whether something accepts connections. Everything but a plain refusal counts as a yes. */
async function answers(path: string): Promise<boolean> {
  try {
    (await Deno.connect({ transport: "unix", path })).close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused || error instanceof Deno.errors.NotFound) return false;
    if (error instanceof Deno.errors.WouldBlock) return true; // Its backlog is full.
    throw error;
  }
}

function bind(path: string): Deno.UnixListener {
  // The umask is the whole process's: nothing else may run in between, so no await.
  const umask = Deno.umask(SOCKET_UMASK);
  try {
    return Deno.listen({ transport: "unix", path });
  } finally {
    Deno.umask(umask);
  }
}

/** Mode, group and owner. Each is best effort: the daemon serves root anyway. */
function shareSocket(path: string, options: ListenOptions, log: IpcLog): void {
  const attempt = (what: string, change: () => void): void => {
    try {
      change();
    } catch (error) {
      log.debug(`cannot set the ${what} of the socket`, { path, err: describeError(error) });
    }
  };
  attempt("mode", () => Deno.chmodSync(path, SOCKET_MODE));
  if (options.groupId !== undefined) attempt("group", () => Deno.chownSync(path, null, options.groupId!));
  if (options.ownerUid !== undefined) attempt("owner", () => Deno.chownSync(path, options.ownerUid!, null));
}

function lstat(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

class UnixEndpoint implements IpcListener {
  readonly name: string;
  readonly #listener: Deno.UnixListener;
  readonly #file: Deno.FileInfo;
  readonly #log: IpcLog;
  #closed = false;

  constructor(path: string, listener: Deno.UnixListener, log: IpcLog) {
    this.name = path;
    this.#listener = listener;
    this.#file = Deno.lstatSync(path);
    this.#log = log;
  }

  accept(): Promise<IpcStream> {
    return this.#listener.accept();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const now = lstat(this.name);
    if (now && (now.ino !== this.#file.ino || now.dev !== this.#file.dev)) {
      // Deno's close removes whatever is at the path (seen with 2.9.6). Nobody can reach our socket any more,
      // so it may as well stay open until the process ends.
      this.#listener.unref();
      this.#log.warn("socket was replaced by somebody else, leaving theirs", { path: this.name });
    } else {
      // Deno removes the file too, but only in a later turn, once the pending accept is gone (seen with 2.9.6):
      // a process that ends at once would leave it behind.
      if (now) Deno.removeSync(this.name);
      this.#listener.close();
    }
  }
}

/** An error of the operating system with what we were doing and what may be done about it. */
function explain(what: string, error: unknown): unknown {
  const cause = { cause: error };
  if (error instanceof AlreadyExistsError) return new AlreadyExistsError(`${what}: ${error.message}`, cause);
  if (error instanceof OverlayError) return error;
  if (error instanceof Deno.errors.PermissionDenied) {
    return new PermissionError(
      `${what}: permission denied; run as root or as a member of group zlayer`,
      cause,
    );
  }
  if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.ConnectionRefused) {
    return new OverlayError("unavailable", `${what}: no daemon listens there`, cause);
  }
  return new OverlayError("unavailable", `${what}: ${describeError(error)}`, cause);
}
