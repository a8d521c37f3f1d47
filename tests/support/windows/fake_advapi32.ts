/**
 * `advapi32.dll` in memory: descriptors from text, and a Service Control Manager that calls a service back from
 * another thread, as the real one does.
 */
import { assert, assertEquals } from "@std/assert";
import type { Advapi32 } from "../../../ffi/windows/advapi32.ts";
import { decodeServiceStatus, type ServiceStatus } from "../../../ffi/windows/service_status.ts";
import { readWide } from "../../../ffi/windows/wide_string.ts";
import { wide } from "./fake_kernel32.ts";

const SERVICE_MAIN = { parameters: ["u32", "pointer"], result: "void", nonblocking: true } as const;
const HANDLER_EX = {
  parameters: ["u32", "u32", "pointer", "pointer"],
  result: "u32",
  nonblocking: true,
} as const;

type MainPointer = Deno.PointerObject<Omit<typeof SERVICE_MAIN, "nonblocking">>;
type HandlerPointer = Deno.PointerObject<Omit<typeof HANDLER_EX, "nonblocking">>;

/** Address of the descriptor that every text converts to. */
export const DESCRIPTOR = 0xd000n;

const STOPPED = 1;
const STATUS_HANDLE = 0x5e00n;

/** A library of its own for each test. */
export class FakeAdvapi32 {
  /** Texts that were made into descriptors. */
  readonly descriptors: string[] = [];
  /** What the service has reported. */
  readonly reports: ServiceStatus[] = [];
  /** Whether this process was started by the manager. */
  startedByManager = true;
  /** Whether the manager takes the service's handler. */
  takesHandler = true;
  /** Name of the service that connected. */
  serviceName: string | undefined;
  #handler: Deno.PointerObject | undefined;
  readonly #stopped = Promise.withResolvers<void>();
  readonly #waiters: { readonly state: number; readonly resolve: () => void }[] = [];

  /** Resolves when the service has reported a state. */
  reported(state: number): Promise<void> {
    if (this.reports.some((report) => report.state === state)) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push({ state, resolve }));
  }

  /** Sends a control and gives the handler's answer. */
  async control(code: number): Promise<number> {
    assert(this.#handler !== undefined, "no handler is registered");
    return await new Deno.UnsafeFnPointer(this.#handler as HandlerPointer, HANDLER_EX).call(
      code,
      0,
      null,
      null,
    );
  }

  /** The functions that the program uses. */
  readonly api: Advapi32 = {
    ConvertStringSecurityDescriptorToSecurityDescriptorW: (text, revision, out) => {
      assertEquals(revision, 1);
      this.descriptors.push(wide(text));
      (out as BigUint64Array)[0] = DESCRIPTOR;
      return 1;
    },
    StartServiceCtrlDispatcherW: (table) => this.#dispatch(table as BigUint64Array<ArrayBuffer>),
    RegisterServiceCtrlHandlerExW: (name, handler) => {
      assertEquals(wide(name), this.serviceName);
      if (!this.takesHandler) return null;
      this.#handler = handler ?? undefined;
      return Deno.UnsafePointer.create(STATUS_HANDLE);
    },
    SetServiceStatus: (handle, status) => {
      assertEquals(Deno.UnsafePointer.value(handle), STATUS_HANDLE);
      const report = decodeServiceStatus(status as Uint8Array<ArrayBuffer>);
      this.reports.push(report);
      for (const waiter of this.#waiters) if (waiter.state === report.state) waiter.resolve();
      if (report.state === STOPPED) this.#stopped.resolve();
      return 1;
    },
  } as Partial<Advapi32> as Advapi32;

  /** Calls ServiceMain and returns when the service has stopped. */
  async #dispatch(table: BigUint64Array<ArrayBuffer>): Promise<number> {
    if (!this.startedByManager) return 0;
    assertEquals([table[2], table[3]], [0n, 0n], "the table ends with zeros");
    this.serviceName = readWide(Deno.UnsafePointer.create(table[0]!));
    const main = Deno.UnsafePointer.create(table[1]!) as MainPointer | null;
    assert(main !== null);
    await new Deno.UnsafeFnPointer(main, SERVICE_MAIN).call(0, null);
    await this.#stopped.promise;
    return 1;
  }
}
