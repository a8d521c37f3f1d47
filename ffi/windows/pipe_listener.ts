/**
 * The server's side of a named pipe: instances that wait for clients, and those that have one.
 *
 * A client that finds no waiting instance is refused (`ERROR_PIPE_BUSY`), and callers open a pipe plainly, without
 * waiting for one. So several instances wait at any time, and each that gets a client is replaced before that
 * client is served. A client may be gone again by then; that costs its instance and nothing else.
 *
 * @see namedpipeapi.h `CreateNamedPipe`, `ConnectNamedPipe`.
 */
import type { Advapi32 } from "./advapi32.ts";
import type { CompletionPort } from "./completion_port.ts";
import { type Handle, handleOf, type Kernel32 } from "./kernel32.ts";
import { NamedPipe } from "./named_pipe.ts";
import { SecurityAttributes } from "./security_attributes.ts";
import { encodeWide } from "./wide_string.ts";
import { ERROR_PIPE_CONNECTED, ERROR_SUCCESS } from "./constants.ts";
import { Win32Error } from "./win32_error.ts";

/** Instances that wait for a client: as many clients may come within one turn of the event loop. */
export const SPARE_INSTANCES = 16;

// winbase.h
const PIPE_ACCESS_DUPLEX = 3;
const FILE_FLAG_FIRST_PIPE_INSTANCE = 0x0008_0000;
const FILE_FLAG_OVERLAPPED = 0x4000_0000;
/** Byte stream, blocking (in the sense of the pipe's own modes), not for clients on other computers. */
const PIPE_REJECT_REMOTE_CLIENTS = 8;
const PIPE_UNLIMITED_INSTANCES = 255;
const BUFFER_BYTES = 64 * 1024;

/** What a listener works with. */
export interface PipeListenerDeps {
  readonly kernel32: Kernel32;
  readonly advapi32: Advapi32;
  readonly port: CompletionPort;
}

interface Waiter {
  readonly resolve: (pipe: NamedPipe) => void;
  readonly reject: (error: unknown) => void;
}

/** Accepts clients of one pipe. */
export class PipeListener {
  readonly #deps: PipeListenerDeps;
  readonly #name: string;
  readonly #wideName: Uint16Array<ArrayBuffer>;
  readonly #security: SecurityAttributes;
  readonly #spare = new Set<Handle>();
  readonly #connected: NamedPipe[] = [];
  readonly #waiters: Waiter[] = [];
  #closed = false;

  /**
   * Claims a name and makes instances that wait.
   *
   * @param name Such as `\\.\pipe\name`.
   * @param sddl Who may use the pipe.
   * @throws {Win32Error} `ERROR_ACCESS_DENIED` when another process has instances of that name.
   */
  constructor(name: string, sddl: string, deps: PipeListenerDeps) {
    this.#deps = deps;
    this.#name = name;
    this.#wideName = encodeWide(name);
    this.#security = new SecurityAttributes(sddl, deps);
    try {
      this.#listen(this.#create(FILE_FLAG_FIRST_PIPE_INSTANCE));
    } catch (error) {
      this.#security[Symbol.dispose]();
      throw error;
    }
    this.#refill();
  }

  /**
   * The next client.
   *
   * @throws {Win32Error} When no instance waits and none can be made; a later call tries again.
   * @throws {Deno.errors.BadResource} When the listener is or gets closed.
   */
  accept(): Promise<NamedPipe> {
    if (this.#closed) return Promise.reject(closedError(this.#name));
    const pipe = this.#connected.shift();
    if (pipe) return Promise.resolve(pipe);
    const { promise, resolve, reject } = Promise.withResolvers<NamedPipe>();
    this.#waiters.push({ resolve, reject });
    this.#refill();
    return promise;
  }

  /** Closes all instances but those handed out; may be called twice. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const handle of this.#spare) this.#drop(handle);
    for (const pipe of this.#connected) pipe.close();
    for (const { reject } of this.#waiters.splice(0)) reject(closedError(this.#name));
    this.#security[Symbol.dispose]();
  }

  /** Makes instances until enough wait. What hinders it is told to those who wait when no instance does. */
  #refill(): void {
    try {
      for (let made = 0; made < SPARE_INSTANCES && this.#spare.size < SPARE_INSTANCES; made++) {
        this.#listen(this.#create(0));
      }
    } catch (error) {
      if (this.#spare.size > 0) return;
      for (const { reject } of this.#waiters.splice(0)) reject(error);
    }
  }

  #create(flags: number): Handle {
    const { kernel32, port } = this.#deps;
    const created = handleOf(kernel32.CreateNamedPipeW(
      this.#wideName,
      (PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | flags) >>> 0,
      PIPE_REJECT_REMOTE_CLIENTS,
      PIPE_UNLIMITED_INSTANCES,
      BUFFER_BYTES,
      BUFFER_BYTES,
      0,
      this.#security.bytes,
    ));
    if (created === undefined) {
      throw new Win32Error(`create ${this.#name}`, "CreateNamedPipe", kernel32.GetLastError());
    }
    try {
      port.bind(created);
      return created;
    } catch (error) {
      kernel32.CloseHandle(created);
      throw error;
    }
  }

  #listen(handle: Handle): void {
    this.#spare.add(handle);
    void this.#deps.port.listen(handle).then(({ code }) => this.#settle(handle, code));
  }

  /** An instance has a client, or had one that left at once (`ERROR_NO_DATA`). */
  #settle(handle: Handle, code: number): void {
    if (this.#closed) return; // The handle is closed already.
    this.#spare.delete(handle);
    if (code === ERROR_SUCCESS || code === ERROR_PIPE_CONNECTED) this.#deliver(handle);
    else this.#drop(handle);
    this.#refill(); // In the same turn: whoever the client was given to has not begun yet.
  }

  #deliver(handle: Handle): void {
    const pipe = new NamedPipe(this.#deps.kernel32, this.#deps.port, handle);
    const waiter = this.#waiters.shift();
    if (waiter) waiter.resolve(pipe);
    else this.#connected.push(pipe);
  }

  #drop(handle: Handle): void {
    const { kernel32 } = this.#deps;
    kernel32.CancelIoEx(handle, null);
    kernel32.DisconnectNamedPipe(handle);
    kernel32.CloseHandle(handle);
  }
}

function closedError(name: string): Error {
  return new Deno.errors.BadResource(`${name} was closed`);
}
