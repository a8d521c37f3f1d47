/**
 * A service's connection to the Service Control Manager.
 *
 * The manager's client code calls ServiceMain on a thread of its own, and the control handler on the one that is
 * in `StartServiceCtrlDispatcherW`. Deno runs both on the thread of this module, between other tasks, while the
 * caller waits: so they do what is quick, and no long synchronous call may be made while the service runs.
 *
 * Layout of SERVICE_TABLE_ENTRYW (winsvc.h), 16 bytes: lpServiceName u64 @0, lpServiceProc u64 @8. The table ends
 * with an entry of zeros.
 */
import type { Advapi32 } from "./advapi32.ts";
import type { Kernel32 } from "./kernel32.ts";
import { encodeServiceStatus, type ServiceStatus } from "./service_status.ts";
import { encodeWide } from "./wide_string.ts";
import { Win32Error } from "./win32_error.ts";

/** `void (DWORD argc, LPWSTR* argv)` */
const SERVICE_MAIN = { parameters: ["u32", "pointer"], result: "void" } as const;
/** `DWORD (DWORD control, DWORD eventType, LPVOID eventData, LPVOID context)` */
const HANDLER_EX = { parameters: ["u32", "u32", "pointer", "pointer"], result: "u32" } as const;

/** What the manager asks. Both return at once and throw nothing. */
export interface ServiceCallbacks {
  /** The service is to start; from now on its status may be reported. */
  started(report: (status: ServiceStatus) => void): void;
  /** A control; the result is a Win32 error code, 0 when it was understood. */
  control(code: number): number;
}

/** What the dispatcher works with. */
export interface ServiceLibraries {
  readonly kernel32: Kernel32;
  readonly advapi32: Advapi32;
}

/** A process that is one service. */
export class ServiceDispatcher {
  readonly #libraries: ServiceLibraries;
  readonly #callbacks: ServiceCallbacks;
  readonly #name: Uint16Array<ArrayBuffer>;
  readonly #table = new BigUint64Array(4);
  readonly #main = Deno.UnsafeCallback.threadSafe(SERVICE_MAIN, () => this.#start());
  readonly #handler = Deno.UnsafeCallback.threadSafe(HANDLER_EX, (code) => this.#callbacks.control(code));
  readonly #failed = Promise.withResolvers<never>();

  constructor(name: string, callbacks: ServiceCallbacks, libraries: ServiceLibraries) {
    this.#libraries = libraries;
    this.#callbacks = callbacks;
    this.#name = encodeWide(name);
    this.#table[0] = Deno.UnsafePointer.value(Deno.UnsafePointer.of(this.#name));
    this.#table[1] = Deno.UnsafePointer.value(this.#main.pointer);
  }

  /**
   * Connects, and stays connected until the service has reported that it is stopped. Call once.
   *
   * @returns Whether there was a connection: `false` in a process that the manager did not start.
   * @throws {Win32Error} If the manager does not take the control handler.
   */
  async run(): Promise<boolean> {
    const connection = this.#connect();
    // After a failure Windows is still in a callback, and the process is to end whatever it is waiting for.
    this.#failed.promise.catch(() => {
      this.#main.unref();
      this.#handler.unref();
    });
    return await Promise.race([connection, this.#failed.promise]) !== 0;
  }

  /** Until it returns nothing of this may move or go: the manager's code has the addresses. */
  async #connect(): Promise<number> {
    try {
      return await this.#libraries.advapi32.StartServiceCtrlDispatcherW(this.#table);
    } finally {
      this.#table.fill(0n);
      this.#main.close();
      this.#handler.close();
    }
  }

  #start(): void {
    const { advapi32, kernel32 } = this.#libraries;
    const handle = advapi32.RegisterServiceCtrlHandlerExW(this.#name, this.#handler.pointer, null);
    if (handle === null) {
      const code = kernel32.GetLastError();
      return this.#failed.reject(new Win32Error("start the service", "RegisterServiceCtrlHandlerEx", code));
    }
    this.#callbacks.started((status) => void advapi32.SetServiceStatus(handle, encodeServiceStatus(status)));
  }
}
