/**
 * One end of a named pipe in byte mode: reads and writes over a completion port.
 *
 * @see namedpipeapi.h; Microsoft, "Named Pipe Operations".
 */
import { FfiError } from "../errors.ts";
import type { CompletionPort } from "./completion_port.ts";
import type { Handle, Kernel32 } from "./kernel32.ts";
import { ERROR_BROKEN_PIPE, ERROR_PIPE_NOT_CONNECTED, ERROR_SUCCESS } from "./constants.ts";
import { Win32Error } from "./win32_error.ts";

/**
 * Longest single write. The kernel holds a copy of what the other end has not read yet, and a write ends only when
 * all of it fits into the pipe's buffer or is read.
 */
const MAX_WRITE_BYTES = 64 * 1024;

/** A connected pipe. One read and one write may be pending at once. */
export class NamedPipe {
  readonly #kernel: Kernel32;
  readonly #port: CompletionPort;
  readonly #handle: Handle;
  #closed = false;

  /** @param handle Bound to the port, connected; the object closes it. */
  constructor(kernel: Kernel32, port: CompletionPort, handle: Handle) {
    this.#kernel = kernel;
    this.#port = port;
    this.#handle = handle;
  }

  /**
   * Reads what there is, at most `into.length` bytes; `null` once the other end is closed and all is read.
   *
   * @throws {Win32Error} `ERROR_OPERATION_ABORTED` when the pipe is closed meanwhile, or what else Windows says.
   */
  async read(into: Uint8Array): Promise<number | null> {
    if (into.length === 0) return 0;
    for (;;) {
      const { code, bytes } = await this.#port.read(this.#open("NtReadFile"), into);
      if (code === ERROR_BROKEN_PIPE || code === ERROR_PIPE_NOT_CONNECTED) return null;
      if (code !== ERROR_SUCCESS) throw new Win32Error("read from the pipe", "NtReadFile", code);
      // A write of nothing at the other end is a read of nothing here, and no end.
      if (bytes > 0) return bytes;
    }
  }

  /**
   * Writes some of the bytes, at most 64 KiB; resolves to how many.
   *
   * @throws {Win32Error} `ERROR_NO_DATA` or `ERROR_BROKEN_PIPE` when the other end is closed,
   * `ERROR_OPERATION_ABORTED` when this one is meanwhile.
   */
  async write(bytes: Uint8Array): Promise<number> {
    if (bytes.length === 0) return 0;
    const { code, bytes: written } = await this.#port.write(
      this.#open("NtWriteFile"),
      bytes.subarray(0, MAX_WRITE_BYTES),
    );
    if (code !== ERROR_SUCCESS) throw new Win32Error("write to the pipe", "NtWriteFile", code);
    return written;
  }

  /** Process id of the client, at the server's end; `undefined` when Windows does not say. */
  clientProcessId(): number | undefined {
    const id = new Uint32Array(1);
    if (this.#closed || this.#kernel.GetNamedPipeClientProcessId(this.#handle, id) === 0) return undefined;
    return id[0];
  }

  /**
   * Cancels what is pending and closes the handle; may be called twice. What the other end has not read yet stays
   * readable there.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#kernel.CancelIoEx(this.#handle, null);
    this.#kernel.CloseHandle(this.#handle);
  }

  /** @throws {FfiError} If the pipe is closed. */
  #open(call: string): Handle {
    if (this.#closed) throw new FfiError(call, "the pipe is closed");
    return this.#handle;
  }
}
