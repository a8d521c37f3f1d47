/**
 * `wintun.dll`: layer 3 adapters of Windows. Packets are exchanged through two rings in shared memory; that is
 * `wintun_port.ts`.
 *
 * An adapter goes with whoever made it: when its handle is closed, or its process ends. Names are for people, and
 * Wintun renames another adapter that has the one wanted; an adapter is known by its LUID.
 *
 * @see wintun.h of Wintun 0.14.
 */

import { FfiError, LibraryError } from "./errors.ts";
import { lazyLibrary } from "./library.ts";
import { encodeGuid, type Guid } from "./windows/guid.ts";
import { loadTrusted, type TrustedLibrary } from "./windows/trusted_library.ts";
import { encodeWide, readWide } from "./windows/wide_string.ts";
import { Win32Error } from "./windows/win32_error.ts";

/** The functions, with their C types. Those that install or remove devices take seconds. */
const WINTUN = {
  /** `HANDLE (LPCWSTR name, LPCWSTR tunnelType, const GUID* requested)` */
  WintunCreateAdapter: { parameters: ["buffer", "buffer", "buffer"], result: "usize", nonblocking: true },
  /** `HANDLE (LPCWSTR name)` */
  WintunOpenAdapter: { parameters: ["buffer"], result: "usize", nonblocking: true },
  /** `void (HANDLE adapter)` */
  WintunCloseAdapter: { parameters: ["usize"], result: "void", nonblocking: true },
  /** `BOOL (void)` */
  WintunDeleteDriver: { parameters: [], result: "i32", nonblocking: true },
  /** `void (HANDLE adapter, NET_LUID*)` */
  WintunGetAdapterLUID: { parameters: ["usize", "buffer"], result: "void" },
  /** `DWORD (void)`; 0 while the driver is not loaded. */
  WintunGetRunningDriverVersion: { parameters: [], result: "u32" },
  /** `void (void (*logger)(int level, DWORD64 time, LPCWSTR message))`; called from any thread. */
  WintunSetLogger: { parameters: ["function"], result: "void" },
  /** `HANDLE (HANDLE adapter, DWORD capacity)` */
  WintunStartSession: { parameters: ["usize", "u32"], result: "usize" },
  /** `void (HANDLE session)` */
  WintunEndSession: { parameters: ["usize"], result: "void" },
  /** `HANDLE (HANDLE session)` */
  WintunGetReadWaitEvent: { parameters: ["usize"], result: "usize" },
  /** `BYTE* (HANDLE session, DWORD* size)` */
  WintunReceivePacket: { parameters: ["usize", "pointer"], result: "usize" },
  /** `void (HANDLE session, const BYTE*)` */
  WintunReleaseReceivePacket: { parameters: ["usize", "usize"], result: "void" },
  /** `BYTE* (HANDLE session, DWORD size)` */
  WintunAllocateSendPacket: { parameters: ["usize", "u32"], result: "usize" },
  /** `void (HANDLE session, const BYTE*)` */
  WintunSendPacket: { parameters: ["usize", "usize"], result: "void" },
} as const satisfies Deno.ForeignLibraryInterface;

const KERNEL32 = {
  /** `DWORD (void)` */
  GetLastError: { parameters: [], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** `WINTUN_LOGGER_CALLBACK` */
const LOGGER = { parameters: ["i32", "u64", "pointer"], result: "void" } as const;

/** The functions as JavaScript calls them. */
export type WintunSymbols = Deno.StaticForeignLibraryInterface<typeof WINTUN>;

const kernel32 = lazyLibrary(["kernel32.dll"], KERNEL32);
const opened = new Map<string, TrustedLibrary<WintunSymbols>>();

/** Who signs the library, as its certificate has the name. */
const SIGNER = "WireGuard LLC";

/** Smallest ring: `WINTUN_MIN_RING_CAPACITY`. */
const MIN_CAPACITY_BYTES = 0x2_0000;
/** Largest ring: `WINTUN_MAX_RING_CAPACITY`. */
const MAX_CAPACITY_BYTES = 0x400_0000;

/** How grave a message of Wintun is: `WINTUN_LOGGER_LEVEL`. */
export type WintunLogLevel = "info" | "warn" | "error";
const LOG_LEVELS: readonly WintunLogLevel[] = ["info", "warn", "error"];

/**
 * The functions of the library at a path, opened once; it stays loaded as long as the process.
 *
 * @throws {LibraryError} Also if it is not to be trusted.
 */
export function wintunAt(path: string): TrustedLibrary<WintunSymbols> {
  let library = opened.get(path);
  if (library === undefined) {
    library = loadTrusted(path, (real) => lazyLibrary([real], WINTUN)(), { signer: SIGNER });
    opened.set(path, library);
  }
  return library;
}

/** The library. */
export class Wintun {
  readonly #symbols: WintunSymbols;
  readonly #onLog: (level: WintunLogLevel, message: string) => void;
  /** What is wrong with the place that it was loaded from, if anything is; its signature is right then. */
  readonly caution: string | undefined;
  /** The last line that told of an error. A call on another thread leaves no last error that could be seen. */
  #complaint = "";
  /** One at a time, so that a complaint belongs to whoever gets it. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(
    readonly path: string,
    onLog: (level: WintunLogLevel, message: string) => void,
  ) {
    const library = wintunAt(path);
    this.#symbols = library.loaded;
    this.caution = library.caution;
    this.#onLog = onLog;
    // Threads of Wintun may be in it at any time, so it is there until the process ends.
    const logger = Deno.UnsafeCallback.threadSafe(
      LOGGER,
      (level, _time, message) => this.#log(LOG_LEVELS[level] ?? "error", readWide(message)),
    );
    logger.unref();
    this.#symbols.WintunSetLogger(logger.pointer);
  }

  /**
   * Opens it. One per process: the logger is the last one's. One that others than administrators may have put there
   * is passed over, unless it is signed by its maker.
   *
   * @param places Absolute paths, tried in order.
   * @param onLog Told what Wintun has to say.
   * @throws {LibraryError} If it is in none of them, or not to be trusted; it names all, why, and where to get it.
   */
  static open(
    places: readonly string[],
    onLog: (level: WintunLogLevel, message: string) => void = () => {},
  ): Wintun {
    const failures: string[] = [];
    for (const path of places) {
      try {
        return new Wintun(path, onLog);
      } catch (error) {
        failures.push(`${path}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    const cause = new Error(`${failures.join("; ")}; put the wintun.dll of https://www.wintun.net there`);
    throw new LibraryError("wintun.dll", { cause });
  }

  /** Version of the driver, `0.14`; undefined while it is not loaded. */
  get driverVersion(): string | undefined {
    const version = this.#symbols.WintunGetRunningDriverVersion();
    return version === 0 ? undefined : `${version >>> 16}.${version & 0xffff}`;
  }

  /**
   * Makes an adapter.
   *
   * @param name 1 to 127 characters.
   * @param options `tunnelType`: what kind of thing it is, for people. `guid`: its identity, by which Windows knows
   * the network again.
   * @throws {FfiError} If Windows refuses: it takes LocalSystem or an administrator.
   */
  create(
    name: string,
    options: { readonly tunnelType: string; readonly guid: Guid },
  ): Promise<WintunAdapter> {
    const made = this.#last.then(() => this.#create(name, options));
    this.#last = made.catch(() => {});
    return made;
  }

  async #create(
    name: string,
    { tunnelType, guid }: { readonly tunnelType: string; readonly guid: Guid },
  ): Promise<WintunAdapter> {
    this.#complaint = "";
    const [wideName, wideType, id] = [encodeWide(name), encodeWide(tunnelType), encodeGuid(guid)];
    const handle = await this.#symbols.WintunCreateAdapter(wideName, wideType, id);
    if (handle !== 0n) return new WintunAdapter(this.#symbols, name, handle);
    const why = this.#complaint || "no reason given; it takes an administrator";
    const op = `create Wintun adapter ${name}`;
    throw new FfiError(op, `${op}: WintunCreateAdapter: ${why}`);
  }

  #log(level: WintunLogLevel, message: string): void {
    if (level === "error") this.#complaint = message;
    this.#onLog(level, message);
  }
}

/** An adapter of ours. */
export class WintunAdapter implements AsyncDisposable {
  readonly #symbols: WintunSymbols;
  #handle: bigint;
  /** What Windows knows it by. */
  readonly luid: bigint;

  /** Takes over a handle. */
  constructor(symbols: WintunSymbols, readonly name: string, handle: bigint) {
    this.#symbols = symbols;
    this.#handle = handle;
    const luid = new BigUint64Array(1);
    symbols.WintunGetAdapterLUID(handle, luid);
    this.luid = luid[0]!;
  }

  /**
   * Starts to exchange packets.
   *
   * @param capacity Bytes of each ring: a power of two from 128 KiB to 64 MiB.
   * @throws {RangeError} If it is not.
   * @throws {Win32Error} If there is a session already, or the adapter is gone.
   */
  startSession(capacity: number): WintunSession {
    checkCapacity(capacity);
    const session = this.#symbols.WintunStartSession(this.#handle, capacity);
    const code = kernel32().GetLastError();
    if (session === 0n) {
      throw new Win32Error(`start session of Wintun adapter ${this.name}`, "WintunStartSession", code);
    }
    return new WintunSession(this.#symbols, session);
  }

  /** Removes it; its session was ended before. Twice is fine. */
  async [Symbol.asyncDispose](): Promise<void> {
    const handle = this.#handle;
    this.#handle = 0n;
    if (handle !== 0n) await this.#symbols.WintunCloseAdapter(handle);
  }
}

/** @throws {RangeError} If a ring cannot have so many bytes. */
export function checkCapacity(capacity: number): void {
  const inRange = capacity >= MIN_CAPACITY_BYTES && capacity <= MAX_CAPACITY_BYTES;
  if (inRange && Number.isInteger(Math.log2(capacity))) return;
  throw new RangeError(`a Wintun ring has a power of two from 0x20000 to 0x4000000 bytes, got ${capacity}`);
}

/** The rings of an adapter. */
export class WintunSession implements Disposable {
  readonly #symbols: WintunSymbols;
  #handle: bigint;
  /** Handle of the event that is set when packets come after there were none. It is the session's to close. */
  readonly readEvent: number;

  /** Takes over a handle. */
  constructor(symbols: WintunSymbols, handle: bigint) {
    this.#symbols = symbols;
    this.#handle = handle;
    this.readEvent = Number(symbols.WintunGetReadWaitEvent(handle));
  }

  /** For a `WintunPort`, on the thread of the data path. @throws {TypeError} If it was ended. */
  get handle(): bigint {
    if (this.#handle === 0n) throw new TypeError("the Wintun session has ended");
    return this.#handle;
  }

  /** Ends it; a second call does nothing. Nobody may be using it, or waiting for its event. */
  [Symbol.dispose](): void {
    if (this.#handle !== 0n) this.#symbols.WintunEndSession(this.#handle);
    this.#handle = 0n;
  }
}
