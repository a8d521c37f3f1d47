/**
 * Overlapped operations of any number of handles, completed through one I/O completion port.
 *
 * One nonblocking call waits for all of them, so they occupy one thread of Deno's pool together. An operation
 * that has begun (`STATUS_PENDING`) ends with a packet from the port and only then; one that is done at once, or
 * refused, has none, which for the first kind is not so by default but asked for in {@linkcode CompletionPort.bind}.
 * Until its packet is out the kernel writes to an operation's OVERLAPPED and memory, also after a cancellation and
 * after the handle is closed, so both are kept reachable until then.
 *
 * Layouts, little-endian, 64-bit. OVERLAPPED (minwinbase.h), 32 bytes: Internal (an NTSTATUS) u64 @0,
 * InternalHigh (bytes moved) u64 @8, Offset u64 @16, hEvent u64 @24. OVERLAPPED_ENTRY, 32 bytes: lpCompletionKey
 * u64 @0, lpOverlapped u64 @8, Internal u64 @16, dwNumberOfBytesTransferred u32 @24.
 */
import { PinnedBuffer } from "../memory.ts";
import { type Handle, handleOf, INVALID_HANDLE_VALUE, type Kernel32 } from "./kernel32.ts";
import { FSCTL_PIPE_LISTEN, type Ntdll, STATUS_PENDING } from "./ntdll.ts";
import { win32OfStatus } from "./ntstatus.ts";
import { ERROR_INVALID_HANDLE, ERROR_SUCCESS } from "./constants.ts";
import { Win32Error } from "./win32_error.ts";

const OVERLAPPED_BYTES = 32;
const OVERLAPPED_INTERNAL_HIGH = 8;
const ENTRY_BYTES = 32;
const ENTRY_OVERLAPPED = 8;
const ENTRY_INTERNAL = 16;
const ENTRY_TRANSFERRED = 24;

/** Packets taken at once. */
const BATCH = 64;

/** OVERLAPPED structures kept for reuse. */
const MAX_SPARE = 256;

/**
 * Operations that may be done at once before the event loop has a turn. A client that always has more to say
 * would otherwise keep the thread to itself, timers included.
 */
const MAX_DONE_AT_ONCE = 128;

const INFINITE = 0xffff_ffff;

/** winbase.h: what is done at once sends no packet. */
const FILE_SKIP_COMPLETION_PORT_ON_SUCCESS = 1;

/** The LARGE_INTEGER of a read or write; pipes have no places. */
const OFFSET_BYTES = 8;

/** What a port works with. */
export interface CompletionPortDeps {
  readonly kernel32: Kernel32;
  readonly ntdll: Ntdll;
}

/** How an operation ended. */
export interface Completion {
  /** Win32 error code, 0 for success. */
  readonly code: number;
  /** Bytes moved. */
  readonly bytes: number;
}

/** An operation whose packet is not out yet. The fields that nobody reads keep memory reachable. */
interface PendingOperation {
  readonly overlapped: PinnedBuffer;
  readonly memory: Uint8Array | undefined;
  readonly resolve: (completion: Completion) => void;
}

/** A completion port. It is waited on for as long as operations are pending, and lives as long as the process. */
export class CompletionPort {
  readonly #kernel: Kernel32;
  readonly #ntdll: Ntdll;
  readonly #port: Handle;
  readonly #nowhere = new PinnedBuffer(OFFSET_BYTES);
  readonly #entries = new Uint8Array(new ArrayBuffer(BATCH * ENTRY_BYTES));
  readonly #removed = new Uint32Array(new ArrayBuffer(4));
  readonly #pending = new Map<number, PendingOperation>();
  readonly #spare: PinnedBuffer[] = [];
  #orphaned: PendingOperation[] = [];
  #waiting = false;
  #inOneTurn = 0;

  /** @throws {Win32Error} If the system refuses another port. */
  constructor({ kernel32: kernel, ntdll }: CompletionPortDeps) {
    this.#kernel = kernel;
    this.#ntdll = ntdll;
    const port = handleOf(kernel.CreateIoCompletionPort(INVALID_HANDLE_VALUE, 0n, 0n, 0));
    if (port === undefined) {
      throw new Win32Error("make a completion port", "CreateIoCompletionPort", kernel.GetLastError());
    }
    this.#port = port;
  }

  /** Operations whose packets have not come. */
  get pendingCount(): number {
    return this.#pending.size;
  }

  /**
   * Binds a handle that was opened with `FILE_FLAG_OVERLAPPED`; for good, there is no way back.
   *
   * @throws {Win32Error} If the handle cannot be bound.
   */
  bind(handle: Handle): void {
    const { CreateIoCompletionPort, SetFileCompletionNotificationModes, GetLastError } = this.#kernel;
    if (handleOf(CreateIoCompletionPort(handle, this.#port, 0n, 0)) === undefined) {
      throw new Win32Error("bind a handle", "CreateIoCompletionPort", GetLastError());
    }
    if (SetFileCompletionNotificationModes(handle, FILE_SKIP_COMPLETION_PORT_ON_SUCCESS) === 0) {
      throw new Win32Error("bind a handle", "SetFileCompletionNotificationModes", GetLastError());
    }
  }

  /**
   * Reads what there is, at most `into.length` bytes. Never rejects.
   *
   * @param handle Bound to this port; as for the other operations.
   * @param into Not used by the caller until it has ended.
   */
  read(handle: Handle, into: Uint8Array): Promise<Completion> {
    return this.#transfer("NtReadFile", handle, into);
  }

  /** Writes. Never rejects. @param bytes Not changed by the caller until it has ended. */
  write(handle: Handle, bytes: Uint8Array): Promise<Completion> {
    return this.#transfer("NtWriteFile", handle, bytes);
  }

  /**
   * Waits until a server's instance of a pipe has a client. Never rejects; `ERROR_PIPE_CONNECTED` says that one came
   * before, `ERROR_NO_DATA` that it has left again.
   */
  listen(handle: Handle): Promise<Completion> {
    return this.#run(
      undefined,
      (block) =>
        this.#ntdll.NtFsControlFile(handle, 0n, null, block, block, FSCTL_PIPE_LISTEN, null, 0, null, 0),
    );
  }

  #transfer(call: "NtReadFile" | "NtWriteFile", handle: Handle, bytes: Uint8Array): Promise<Completion> {
    // The buffer behind a short array may still be inside the array, and move with it: asking for it ends that.
    const memory = new Uint8Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length);
    return this.#run(
      memory,
      (block) =>
        this.#ntdll[call](handle, 0n, null, block, block, memory, memory.length, this.#nowhere.pointer, null),
    );
  }

  /**
   * Runs one operation to its end.
   *
   * @param memory What the operation reads or fills.
   * @param begin Calls the function with the OVERLAPPED and gives its status.
   */
  #run(memory: Uint8Array | undefined, begin: (block: Deno.PointerObject) => number): Promise<Completion> {
    const overlapped = this.#spare.pop() ?? new PinnedBuffer(OVERLAPPED_BYTES);
    overlapped.bytes.fill(0);
    const status = begin(overlapped.pointer);
    if (status !== STATUS_PENDING) {
      const code = win32OfStatus(status);
      const bytes = code === ERROR_SUCCESS ? overlapped.view.getUint32(OVERLAPPED_INTERNAL_HIGH, true) : 0;
      this.#recycle(overlapped);
      return this.#doneAtOnce({ code, bytes });
    }
    const { promise, resolve } = Promise.withResolvers<Completion>();
    this.#pending.set(overlapped.address, { overlapped, memory, resolve });
    if (!this.#waiting) void this.#wait();
    return promise;
  }

  #recycle(overlapped: PinnedBuffer): void {
    if (this.#spare.length < MAX_SPARE) this.#spare.push(overlapped);
  }

  async #doneAtOnce(completion: Completion): Promise<Completion> {
    if (++this.#inOneTurn > MAX_DONE_AT_ONCE) {
      await new Promise((resolve) => setTimeout(resolve, 0));
      this.#inOneTurn = 0;
    }
    return completion;
  }

  /** Takes packets until no operation is pending. */
  async #wait(): Promise<void> {
    this.#waiting = true;
    while (this.#pending.size > 0) {
      const { GetQueuedCompletionStatusEx: dequeue } = this.#kernel;
      const done = await dequeue(this.#port, this.#entries, BATCH, this.#removed, INFINITE, 0);
      this.#inOneTurn = 0;
      if (done === 0) this.#abandon();
      else for (let i = 0; i < this.#removed[0]!; i++) this.#complete(i * ENTRY_BYTES);
    }
    this.#waiting = false;
  }

  #complete(entry: number): void {
    const view = new DataView(this.#entries.buffer, entry, ENTRY_BYTES);
    const address = Number(view.getBigUint64(ENTRY_OVERLAPPED, true));
    const operation = this.#pending.get(address);
    if (operation === undefined) return;
    this.#pending.delete(address);
    this.#recycle(operation.overlapped);
    const code = win32OfStatus(view.getUint32(ENTRY_INTERNAL, true));
    operation.resolve({ code, bytes: view.getUint32(ENTRY_TRANSFERRED, true) });
  }

  /**
   * The port cannot be waited on, which only a handle that somebody else closed explains: what is pending fails,
   * and its memory is never used again, since the kernel may still write to it.
   */
  #abandon(): void {
    const operations = [...this.#pending.values()];
    this.#pending.clear();
    this.#orphaned = this.#orphaned.concat(operations);
    for (const { resolve } of operations) resolve({ code: ERROR_INVALID_HANDLE, bytes: 0 });
  }
}
