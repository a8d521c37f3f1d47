/**
 * The service and its installer against the rig's Service Control Manager: a real library with threads of its own,
 * strict about what a service reports, and with answers that Wine's manager loses.
 */
import { assertEquals, assertRejects } from "@std/assert";
import { PreconditionError } from "../../core/errors.ts";
import {
  openServiceManager,
  runAsService,
  type SupervisedRun,
} from "../../core/transport/windows_service.ts";
import { SERVICE_NAME, serviceDefinition } from "../../core/windows_service/definition.ts";
import { installService, uninstallService } from "../../core/windows_service/install.ts";
import { ADVAPI32, advapi32 } from "../../ffi/windows/advapi32.ts";
import { kernel32 } from "../../ffi/windows/kernel32.ts";
import type { ServiceLibraries } from "../../ffi/windows/service_dispatcher.ts";
import { waitFor } from "../support/wait_for.ts";
import { FakeLibrary, fakePath } from "./support/fake_library.ts";

const { ConvertStringSecurityDescriptorToSecurityDescriptorW: _, ...SERVICES } = ADVAPI32;
const STATE = { stopped: 1, startPending: 2, stopPending: 3, running: 4 } as const;

/** Runs with the fake, which has nothing to complain of in the end. */
function scmTest(name: string, body: (scm: Scm) => Promise<void>): void {
  Deno.test(name, async () => {
    using fake = new FakeLibrary("scm_fake.dll");
    const library = Deno.dlopen(fakePath("scm_fake.dll"), SERVICES);
    await body(new Scm(fake, { kernel32: kernel32(), advapi32: { ...advapi32(), ...library.symbols } }));
    fake.assertClean();
    library.close();
  });
}

/** The fake and what it has seen. */
class Scm {
  constructor(readonly fake: FakeLibrary, readonly libraries: ServiceLibraries) {}

  /** Runs a service, started by the manager unless said otherwise. */
  run(run: SupervisedRun, options: { armed?: boolean } = {}): Promise<number> {
    if (options.armed ?? true) this.fake.request("arm", { name: SERVICE_NAME });
    return runAsService(SERVICE_NAME, run, { libraries: this.libraries, tickMs: 5 });
  }

  /** Sends a control and waits for the answer. */
  async control(code: number): Promise<number> {
    const count = this.#controls().length;
    this.fake.request("control", { code });
    return await waitFor(`control ${code}`, () => {
      const { result } = this.#controls()[count] ?? { result: null };
      return result === null ? undefined : { result };
    }).then(({ result }) => result);
  }

  /** States reported, repetitions left out. */
  states(): number[] {
    return this.#statuses().map(({ state }) => state).filter((state, i, all) => state !== all[i - 1]);
  }

  /** The last report. */
  last(): { state: number; exitCode: number; checkPoint: number; waitHint: number } | undefined {
    return this.#statuses().at(-1);
  }

  #statuses(): { state: number; exitCode: number; checkPoint: number; waitHint: number }[] {
    return this.fake.request("statuses").statuses;
  }

  #controls(): { result: number | null }[] {
    return this.fake.request("controls").controls;
  }
}

scmTest("[windows T89] states in order, with hints and rising checkpoints, exit code 0", async (scm) => {
  const [ready, closed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const running = scm.run(async (supervisor) => {
    await ready.promise;
    supervisor.running();
    await supervisor.stopRequested;
    await closed.promise;
    await waitFor("checkpoints", () => (scm.last()?.checkPoint ?? 0) >= 3);
    return 0;
  });
  await waitFor("checkpoints", () => (scm.last()?.checkPoint ?? 0) >= 3);
  assertEquals([scm.last()?.state, scm.last()?.waitHint], [STATE.startPending, 10_000]);
  ready.resolve();
  await waitFor("RUNNING", () => scm.last()?.state === STATE.running);
  assertEquals(await scm.control(1), 0);
  assertEquals([scm.last()?.state, scm.last()?.waitHint], [STATE.stopPending, 15_000]);
  closed.resolve();
  assertEquals(await running, 0);
  assertEquals(scm.states(), [STATE.startPending, STATE.running, STATE.stopPending, STATE.stopped]);
  assertEquals(scm.last()?.exitCode, 0);
});

scmTest("[windows T89] a failure while starting is STOPPED with exit code 1", async (scm) => {
  assertEquals(await scm.run(() => Promise.resolve(1)), 1);
  assertEquals(scm.states(), [STATE.startPending, STATE.stopped]);
  assertEquals(scm.last()?.exitCode, 1);
});

for (const [name, code] of [["STOP", 1], ["SHUTDOWN", 5], ["PRESHUTDOWN", 15]] as const) {
  scmTest(`[windows T90] ${name} stops once; others are answered, all while a call hangs`, async (scm) => {
    const hanging = Promise.withResolvers<void>();
    const reasons: string[] = [];
    const running = scm.run(async (supervisor) => {
      supervisor.running();
      reasons.push(await supervisor.stopRequested);
      await hanging.promise;
      return 0;
    });
    await waitFor("RUNNING", () => scm.last()?.state === STATE.running);
    assertEquals([await scm.control(4), await scm.control(0x80), await scm.control(2)], [0, 120, 120]);
    assertEquals(await scm.control(code), 0);
    assertEquals(await scm.control(4), 0);
    assertEquals(reasons, [code === 1 ? "service stop" : "system shutdown"]);
    hanging.resolve();
    assertEquals(await running, 0);
  });
}

scmTest("[windows T91] a process that the manager did not start is refused", async (scm) => {
  const run = (): Promise<number> => Promise.reject(new Error("it ran"));
  await assertRejects(
    () => scm.run(run, { armed: false }),
    PreconditionError,
    "must be started by the Service",
  );
});

scmTest(
  "a service is installed as the zlayer installer does, replaced while it runs, and removed",
  async (scm) => {
    const pause = (milliseconds: number): Promise<void> =>
      new Promise((resolve) => setTimeout(resolve, milliseconds));
    using manager = openServiceManager(scm.libraries);
    const program = ["C:\\Program Files\\ZLayer\\zlayer-overlayd.exe"];
    for (const dataDir of ["C:\\ProgramData\\Old", "C:\\ProgramData\\ZLayer"]) {
      const installed = await installService(manager, serviceDefinition(program, { dataDir }), {
        start: true,
        pause,
      });
      assertEquals(installed, { replaced: dataDir.endsWith("ZLayer"), started: true });
    }
    const { services } = scm.fake.request("services");
    assertEquals(services.length, 1);
    const { name, displayName, type, start, errorControl, path, account, dependencies, state } = services[0];
    assertEquals({ name, displayName, account, path }, {
      name: "ZLayerDaemon-Overlayd",
      displayName: "ZLayer Daemon (overlayd)",
      account: "LocalSystem",
      path: '"C:\\Program Files\\ZLayer\\zlayer-overlayd.exe" --data-dir C:\\ProgramData\\ZLayer --service',
    });
    assertEquals([type, start, errorControl, state], [0x10, 2, 1, STATE.running]);
    assertEquals(dependencies || "", "");
    assertEquals(await uninstallService(manager, SERVICE_NAME, pause), true);
    assertEquals(await uninstallService(manager, SERVICE_NAME, pause), false);
    assertEquals(scm.fake.request("services").services, []);
  },
);
