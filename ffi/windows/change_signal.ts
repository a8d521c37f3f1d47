/**
 * Whether addresses, routes or interfaces of this host have changed, by the notifications of IP Helper.
 *
 * Windows calls back on threads of its own. What it calls here is `SetEvent` of kernel32 itself, with an event as the
 * context: the first parameter of both is a pointer in the same register, on x64 and on ARM64, and `SetEvent` looks
 * at no other. So no foreign thread ever enters JavaScript, none waits for it, `CancelMibChangeNotify2`, which waits
 * for callbacks under way, has nothing to wait for, and a burst of changes costs as much as one. Callbacks of Deno
 * would make the thread wait until the event loop has time, and cancelling would then wait for that thread on the
 * very loop that it needs.
 *
 * @see netioapi.h `NotifyUnicastIpAddressChange`, `NotifyRouteChange2`, `NotifyIpInterfaceChange`.
 */

import { LibraryError } from "../errors.ts";
import { lazyLibrary } from "../library.ts";
import { cString } from "../memory.ts";
import { WindowsEvent } from "./wait_set.ts";
import { encodeWide } from "./wide_string.ts";
import { Win32Error } from "./win32_error.ts";

/** `DWORD (ADDRESS_FAMILY, callback, void* context, BOOLEAN initial, HANDLE*)` */
const NOTIFY = { parameters: ["u16", "pointer", "usize", "u8", "buffer"], result: "u32" } as const;

const IPHLPAPI = {
  NotifyUnicastIpAddressChange: NOTIFY,
  NotifyRouteChange2: NOTIFY,
  NotifyIpInterfaceChange: NOTIFY,
  /** `DWORD (HANDLE)` */
  CancelMibChangeNotify2: { parameters: ["usize"], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;

const KERNEL32 = {
  /** `HMODULE (LPCWSTR)`; the module stays loaded as long as the process. */
  GetModuleHandleW: { parameters: ["buffer"], result: "pointer" },
  /** `FARPROC (HMODULE, LPCSTR)` */
  GetProcAddress: { parameters: ["pointer", "buffer"], result: "pointer" },
  /** `DWORD (HANDLE, DWORD ms)` */
  WaitForSingleObject: { parameters: ["usize", "u32"], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;

const kernel32 = lazyLibrary(["kernel32.dll"], KERNEL32);

const AF_UNSPEC = 0;
const WAIT_OBJECT_0 = 0;
const CALLS = ["NotifyUnicastIpAddressChange", "NotifyRouteChange2", "NotifyIpInterfaceChange"] as const;

/** See the module. */
export class ChangeSignal implements Disposable {
  readonly #symbols: Deno.StaticForeignLibraryInterface<typeof IPHLPAPI>;
  readonly #event = new WindowsEvent("auto");
  readonly #notifications: bigint[] = [];

  /**
   * Registers.
   *
   * @param path Absolute: `%SystemRoot%\\System32\\iphlpapi.dll`.
   * @throws {LibraryError} If it is not there.
   * @throws {Win32Error} If Windows refuses; nothing stays registered.
   */
  constructor(path: string) {
    this.#symbols = lazyLibrary([path], IPHLPAPI)();
    try {
      for (const call of CALLS) this.#register(call);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  #register(call: typeof CALLS[number]): void {
    const handle = new BigUint64Array(1);
    const code = this.#symbols[call](AF_UNSPEC, setEvent(), BigInt(this.#event.handle), 0, handle);
    if (code !== 0) throw new Win32Error("watch addresses and routes of this host", call, code);
    this.#notifications.push(handle[0]!);
  }

  /** Whether anything has changed since the last time; changes of our own too. Does not wait. */
  take(): boolean {
    return kernel32().WaitForSingleObject(BigInt(this.#event.handle), 0) === WAIT_OBJECT_0;
  }

  /** Ends it; a second call does nothing. No callback comes after that. */
  [Symbol.dispose](): void {
    for (const handle of this.#notifications.splice(0)) this.#symbols.CancelMibChangeNotify2(handle);
    this.#event[Symbol.dispose]();
  }
}

/** Address of the function. */
function setEvent(): Deno.PointerObject {
  const { GetModuleHandleW, GetProcAddress } = kernel32();
  const address = GetProcAddress(GetModuleHandleW(encodeWide("kernel32.dll")), cString("SetEvent"));
  if (address === null) throw new LibraryError("kernel32.dll", { cause: new Error("SetEvent is not in it") });
  return address;
}
