/** The fake SCM: the dispatcher's threads, statuses in order, the database, and planted mistakes. */
import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { waitFor } from "../../support/wait_for.ts";
import { FakeLibrary, fakePath } from "../support/fake_library.ts";
import { readWide, wide } from "../support/hcn_calls.ts";

const SYMBOLS = {
  StartServiceCtrlDispatcherW: { parameters: ["buffer"], result: "i32", nonblocking: true },
  RegisterServiceCtrlHandlerExW: { parameters: ["buffer", "function", "pointer"], result: "pointer" },
  SetServiceStatus: { parameters: ["pointer", "buffer"], result: "i32" },
  OpenSCManagerW: { parameters: ["buffer", "buffer", "u32"], result: "pointer" },
  CreateServiceW: {
    parameters: [
      ...["pointer", "buffer", "buffer", "u32", "u32", "u32", "u32"] as const,
      ...["buffer", "buffer", "buffer", "buffer", "buffer", "buffer"] as const,
    ],
    result: "pointer",
  },
  OpenServiceW: { parameters: ["pointer", "buffer", "u32"], result: "pointer" },
  StartServiceW: { parameters: ["pointer", "u32", "buffer"], result: "i32" },
  ControlService: { parameters: ["pointer", "u32", "buffer"], result: "i32" },
  QueryServiceStatus: { parameters: ["pointer", "buffer"], result: "i32" },
  ChangeServiceConfig2W: { parameters: ["pointer", "u32", "buffer"], result: "i32" },
  DeleteService: { parameters: ["pointer"], result: "i32" },
  CloseServiceHandle: { parameters: ["pointer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

const KERNEL32 = { GetLastError: { parameters: [], result: "u32" } } as const;

type Scm = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

function scmTest(name: string, run: (scm: Scm, fake: FakeLibrary) => void | Promise<void>): void {
  Deno.test(`fake SCM: ${name}`, async () => {
    using fake = new FakeLibrary("scm_fake.dll");
    const library = Deno.dlopen(fakePath("scm_fake.dll"), SYMBOLS);
    await run(library.symbols, fake);
    fake.reset();
    fake.assertClean();
    library.close();
  });
}

const [STOPPED, START_PENDING, STOP_PENDING, RUNNING] = [1, 2, 3, 4];
const NAME = "ZLayerDaemon-Overlayd";

/** SERVICE_STATUS of an own process. */
function status(
  state: number,
  more: { accepts?: number; checkPoint?: number; type?: number } = {},
): Uint8Array<ArrayBuffer> {
  const fields = [more.type ?? 0x10, state, more.accepts ?? 0, 0, 0, more.checkPoint ?? 0, 0];
  return new Uint8Array(Uint32Array.from(fields).buffer);
}

/** A service that registers and reports RUNNING, and does with controls what it is told. */
class TestService {
  readonly arguments: string[] = [];
  readonly controls: number[] = [];
  handle: Deno.PointerValue = null;
  readonly #main = Deno.UnsafeCallback.threadSafe(
    { parameters: ["u32", "pointer"], result: "void" } as const,
    (count, vector) => this.#run(count, vector),
  );
  readonly #handler = Deno.UnsafeCallback.threadSafe(
    { parameters: ["u32", "u32", "pointer", "pointer"], result: "u32" } as const,
    (code) => {
      this.controls.push(code);
      return code === 0x80 ? 120 : 0;
    },
  );
  readonly #name = wide(NAME);
  readonly #table = new BigUint64Array(4);

  constructor(readonly scm: Scm) {
    this.#table[0] = Deno.UnsafePointer.value(Deno.UnsafePointer.of(this.#name));
    this.#table[1] = Deno.UnsafePointer.value(this.#main.pointer);
  }

  /** Resolves when the dispatcher returns. */
  run(): Promise<number> {
    return this.scm.StartServiceCtrlDispatcherW(this.#table);
  }

  report(bytes: Uint8Array<ArrayBuffer>): boolean {
    return this.scm.SetServiceStatus(this.handle, bytes) !== 0;
  }

  close(): void {
    this.#main.close();
    this.#handler.close();
  }

  #run(count: number, vector: Deno.PointerValue): void {
    assert(vector !== null);
    const view = new Deno.UnsafePointerView(vector);
    for (let i = 0; i < count; i++) {
      const text = view.getPointer(i * 8);
      if (text !== null) this.arguments.push(readWide(text));
    }
    this.handle = this.scm.RegisterServiceCtrlHandlerExW(this.#name, this.#handler.pointer, null);
    this.report(status(START_PENDING, { checkPoint: 1 }));
    this.report(status(RUNNING, { accepts: 5 }));
  }
}

scmTest(
  "outside the SCM the dispatcher refuses, and so does the handler's registration",
  async (scm, fake) => {
    const service = new TestService(scm);
    assertEquals(await service.run(), 0);
    assertEquals(scm.RegisterServiceCtrlHandlerExW(wide(NAME), null, null), null);
    assertEquals(fake.log().map(({ result }) => result), ["1063", "1060"]);
    service.close();
  },
);

scmTest("a service starts, is asked, is stopped; statuses are kept in order", async (scm, fake) => {
  fake.request("arm", { name: NAME, arguments: ["a b"] });
  const service = new TestService(scm);
  const ended = service.run();
  await waitFor("RUNNING", () => fake.request("statuses").statuses.at(-1)?.state === RUNNING);
  assertEquals(service.arguments, [NAME, "a b"]);
  for (const code of [4, 0x80, 1]) fake.request("control", { code });
  assertThrows(() => fake.request("control", { code: 15 }), Error, "not now");
  const done = (): boolean =>
    fake.request("controls").controls.every((one: { result: number | null }) => one.result !== null);
  await waitFor("the handler", done);
  const results = fake.request("controls").controls.map((one: { result: number }) => one.result);
  assertEquals([service.controls, results], [[4, 0x80, 1], [0, 120, 0]]);
  service.report(status(STOP_PENDING, { checkPoint: 1 }));
  service.report(status(STOP_PENDING, { checkPoint: 2 }));
  service.report(status(STOPPED));
  assertEquals(await ended, 1);
  const states = fake.request("statuses").statuses.map((one: { state: number }) => one.state);
  assertEquals(states, [START_PENDING, RUNNING, STOP_PENDING, STOP_PENDING, STOPPED]);
  fake.assertClean();
  service.close();
});

scmTest("what the SCM would mind about statuses is a violation", async (scm, fake) => {
  fake.request("arm", { name: NAME });
  const service = new TestService(scm);
  const ended = service.run();
  await waitFor("RUNNING", () => fake.request("statuses").statuses.at(-1)?.state === RUNNING);
  service.report(status(RUNNING, { checkPoint: 3 }));
  service.report(status(START_PENDING, { accepts: 1 }));
  service.report(status(STOP_PENDING, { checkPoint: 1, type: 0x20 }));
  service.report(status(STOP_PENDING, { checkPoint: 1 }));
  service.report(status(RUNNING));
  service.report(status(STOPPED));
  service.report(status(STOPPED));
  await ended;
  assertEquals(fake.violations(), [
    "SetServiceStatus: check point or wait hint in state 4",
    "SetServiceStatus: accepts controls while it starts",
    "SetServiceStatus: type 32",
    "SetServiceStatus: the check point does not rise",
    "SetServiceStatus: RUNNING after STOP_PENDING",
    "SetServiceStatus: after STOPPED",
  ]);
  service.close();
});

const ALL = 0xf003f;
const SERVICE_ALL = 0xf01ff;

scmTest("services are made, found, started, stopped and deleted, with Windows' refusals", (scm, fake) => {
  const kernel32 = Deno.dlopen("kernel32.dll", KERNEL32);
  const lastError = (): number => kernel32.symbols.GetLastError();
  const manager = scm.OpenSCManagerW(null, null, ALL);
  const make = (): Deno.PointerValue =>
    scm.CreateServiceW(
      ...[manager, wide(NAME), wide("ZLayer Daemon (overlayd)"), SERVICE_ALL, 0x10, 2, 1] as const,
      ...[wide("C:\\zlayer-overlayd.exe --service"), null, null, null, null, null] as const,
    );
  assertEquals([scm.OpenServiceW(manager, wide(NAME), 4), lastError()], [null, 1060]);
  const service = make();
  assertNotEquals(service, null);
  assertEquals([make(), lastError()], [null, 1073]);
  const bytes = new Uint8Array(28);
  assertEquals([scm.ControlService(service, 1, bytes), lastError()], [0, 1062]);
  assertEquals(scm.StartServiceW(service, 0, null), 1);
  assertEquals([scm.StartServiceW(service, 0, null), lastError()], [0, 1056]);
  assertEquals([scm.QueryServiceStatus(service, bytes), bytes[4]], [1, RUNNING]);
  assertEquals([scm.ControlService(service, 1, bytes), bytes[4]], [1, STOPPED]);
  assertEquals(scm.ChangeServiceConfig2W(service, 3, Uint32Array.of(1)), 1);
  const reader = scm.OpenServiceW(manager, wide(NAME), 4);
  assertEquals([scm.DeleteService(reader), lastError()], [0, 5]);
  const [row] = fake.request("services").services;
  assertEquals([row.path, row.account, row.delayed], [
    "C:\\zlayer-overlayd.exe --service",
    "LocalSystem",
    true,
  ]);
  assertEquals(scm.DeleteService(service), 1);
  assertEquals([make(), lastError()], [null, 1072]);
  for (const handle of [reader, service]) scm.CloseServiceHandle(handle);
  assertEquals(fake.request("services").services, []);
  scm.CloseServiceHandle(manager);
  fake.assertClean();
  scm.CloseServiceHandle(manager);
  assertEquals(fake.violations(), ["CloseServiceHandle: bad handle"]);
  kernel32.close();
});
