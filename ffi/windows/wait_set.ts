/**
 * Events of Windows and waiting on several of them: the counterpart of `poll_set.ts`.
 *
 * A handle is a number here: handles have 32 significant bits, on 64-bit Windows too.
 *
 * @see synchapi.h; "Interprocess Communication Between 32-bit and 64-bit Applications".
 */

import { lazyLibrary } from "../library.ts";
import { PinnedBuffer } from "../memory.ts";
import { Win32Error } from "./win32_error.ts";

const SYMBOLS = {
  /** `HANDLE (SECURITY_ATTRIBUTES*, BOOL manualReset, BOOL initialState, LPCWSTR name)` */
  CreateEventW: { parameters: ["pointer", "i32", "i32", "pointer"], result: "usize" },
  /** `BOOL (HANDLE)` */
  SetEvent: { parameters: ["usize"], result: "i32" },
  /** `BOOL (HANDLE)` */
  CloseHandle: { parameters: ["usize"], result: "i32" },
  /** `DWORD (DWORD count, const HANDLE*, BOOL waitAll, DWORD ms)` */
  WaitForMultipleObjects: { parameters: ["u32", "pointer", "i32", "u32"], result: "u32" },
  /** `DWORD (void)` */
  GetLastError: { parameters: [], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;

const kernel32 = lazyLibrary(["kernel32.dll"], SYMBOLS);

/** `INFINITE`, which a wait in ms stays below. */
const INFINITE = 0xffff_ffff;
const WAIT_FAILED = 0xffff_ffff;

/** An event without a name. */
export class WindowsEvent implements Disposable {
  #handle: number;

  /**
   * Makes it, unset.
   *
   * @param reset `auto`: a wait that it ends unsets it. `manual`: it stays set until somebody unsets it.
   * @throws {Win32Error} If the system has no more.
   */
  constructor(reset: "auto" | "manual") {
    const { CreateEventW, GetLastError } = kernel32();
    const handle = CreateEventW(null, reset === "manual" ? 1 : 0, 0, null);
    const code = GetLastError();
    if (handle === 0n) throw new Win32Error("make an event", "CreateEventW", code);
    this.#handle = Number(handle);
  }

  /** The handle. It stays this object's to close. @throws {TypeError} If it was closed. */
  get handle(): number {
    if (this.#handle === 0) throw new TypeError("the event is closed");
    return this.#handle;
  }

  /** Sets it: ends the wait under way, or the next one. */
  signal(): void {
    kernel32().SetEvent(BigInt(this.handle));
  }

  /** Closes it; a second call does nothing. Nobody may be waiting. */
  [Symbol.dispose](): void {
    if (this.#handle !== 0) kernel32().CloseHandle(BigInt(this.#handle));
    this.#handle = 0;
  }
}

/** Events to wait on; they stay whoever made them's to close, and open as long as this object is used. */
export class WaitSet {
  readonly #handles: PinnedBuffer;
  readonly #count: number;

  /** @param handles 1 to 64. */
  constructor(handles: readonly number[]) {
    this.#count = handles.length;
    this.#handles = new PinnedBuffer(handles.length * 8);
    for (const [i, handle] of handles.entries()) this.#handles.view.setBigUint64(8 * i, BigInt(handle), true);
  }

  /**
   * Blocks this thread until one of them is set, or so many ms have passed.
   *
   * @throws {Win32Error} If one of them is closed: to go on would keep the thread busy for ever.
   */
  wait(timeoutMs: number): void {
    const limited = Math.max(0, Math.ceil(Math.min(timeoutMs, INFINITE - 1)));
    const { WaitForMultipleObjects, GetLastError } = kernel32();
    const result = WaitForMultipleObjects(this.#count, this.#handles.pointer, 0, limited);
    const code = GetLastError();
    if (result === WAIT_FAILED) throw new Win32Error("wait for packets", "WaitForMultipleObjects", code);
  }
}
