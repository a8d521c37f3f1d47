/** What Windows' client code may still use when the service cannot start. */
import { assertEquals, assertRejects } from "@std/assert";
import { ServiceDispatcher, type ServiceLibraries } from "../../../ffi/windows/service_dispatcher.ts";
import { Win32Error } from "../../../ffi/windows/win32_error.ts";

/** ServiceMain, called as the manager's client code does: from a thread that waits for it. */
const SERVICE_MAIN = { parameters: ["u32", "pointer"], result: "void", nonblocking: true } as const;
type ServiceMain = Omit<typeof SERVICE_MAIN, "nonblocking">;

Deno.test("ServiceDispatcher closes no callback that Windows is in, and all of them when it has returned", async () => {
  const connection = Promise.withResolvers<number>();
  const order: string[] = [];
  let table = new BigUint64Array();
  const libraries = {
    kernel32: { GetLastError: () => 1063 },
    advapi32: {
      StartServiceCtrlDispatcherW: (given: BigUint64Array<ArrayBuffer>) => {
        table = given;
        return connection.promise;
      },
      RegisterServiceCtrlHandlerExW: () => null,
    },
  } as unknown as ServiceLibraries;
  const { close } = Deno.UnsafeCallback.prototype;
  Deno.UnsafeCallback.prototype.close = function (): void {
    order.push("close");
    close.call(this);
  };
  try {
    const callbacks = { started: () => {}, control: () => 0 };
    const running = new ServiceDispatcher("zt", callbacks, libraries).run();
    const pointer = Deno.UnsafePointer.create<ServiceMain>(table[1]!)!;
    const main = new Deno.UnsafeFnPointer(pointer, SERVICE_MAIN).call(0, null)
      .then(() => order.push("returned"));
    await assertRejects(() => running, Win32Error, "RegisterServiceCtrlHandlerEx");
    await main;
    assertEquals(order, ["returned"]);
    connection.resolve(1);
    await connection.promise;
    await Promise.resolve();
    assertEquals(order, ["returned", "close", "close"]);
  } finally {
    Deno.UnsafeCallback.prototype.close = close;
  }
});
