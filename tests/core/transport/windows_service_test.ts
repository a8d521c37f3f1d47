import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { PermissionError, PreconditionError } from "../../../core/errors.ts";
import {
  openServiceManager,
  runAsService,
  type SupervisedRun,
} from "../../../core/transport/windows_service.ts";
import { Win32Error } from "../../../ffi/windows/win32_error.ts";
import { FakeAdvapi32 } from "../../support/windows/fake_advapi32.ts";
import { FakeKernel32 } from "../../support/windows/fake_kernel32.ts";
import { waitFor } from "../../support/wait_for.ts";

const NAME = "zt-service";
const STOPPED = 1;
const START_PENDING = 2;
const STOP_PENDING = 3;
const RUNNING = 4;

/** Runs a service under a fake manager, which calls it from another thread. */
function start(advapi: FakeAdvapi32, run: SupervisedRun): Promise<number> {
  const libraries = { kernel32: new FakeKernel32().api, advapi32: advapi.api };
  return runAsService(NAME, run, { libraries, tickMs: 1 });
}

/** The states reported, repetitions left out. */
function states(advapi: FakeAdvapi32): number[] {
  return advapi.reports.map(({ state }) => state).filter((state, i, all) => state !== all[i - 1]);
}

Deno.test("[windows T89] runAsService() reports the states in order, with rising checkpoints", async () => {
  const advapi = new FakeAdvapi32();
  const ready = Promise.withResolvers<void>();
  const running = start(advapi, async (supervisor) => {
    await ready.promise;
    supervisor.running();
    assertEquals(await supervisor.stopRequested, "service stop");
    supervisor.stopping();
    await waitFor("checkpoints", () => advapi.reports.at(-1)!.checkPoint >= 3);
    return 0;
  });
  await waitFor("checkpoints", () => (advapi.reports.at(-1)?.checkPoint ?? 0) >= 3);
  assertEquals(states(advapi), [START_PENDING]);
  ready.resolve();
  await advapi.reported(RUNNING);
  assertEquals(await advapi.control(1), 0);
  assertEquals(await running, 0);
  assertEquals(advapi.serviceName, NAME);
  assertEquals(states(advapi), [START_PENDING, RUNNING, STOP_PENDING, STOPPED]);
  assertEquals(advapi.reports.at(-1)?.exitCode, 0);
});

Deno.test("[windows T89] a daemon that fails is STOPPED with exit code 1", async () => {
  const failed = new FakeAdvapi32();
  assertEquals(await start(failed, () => Promise.resolve(1)), 1);
  assertEquals(states(failed), [START_PENDING, STOPPED]);
  assertEquals(failed.reports.at(-1)?.exitCode, 1);
  const thrown = new FakeAdvapi32();
  await assertRejects(() => start(thrown, () => Promise.reject(new TypeError("a defect"))), TypeError);
  assertEquals(thrown.reports.at(-1)?.exitCode, 1);
});

Deno.test("[windows T90] controls are answered while a call of the daemon hangs", async () => {
  const advapi = new FakeAdvapi32();
  const hanging = Promise.withResolvers<void>();
  const running = start(advapi, async (supervisor) => {
    supervisor.running();
    await supervisor.stopRequested;
    supervisor.stopping();
    await hanging.promise;
    return 0;
  });
  await advapi.reported(RUNNING);
  assertEquals([await advapi.control(4), await advapi.control(0x80)], [0, 120]);
  assertEquals([await advapi.control(5), await advapi.control(1)], [0, 0]);
  assertEquals(await advapi.control(4), 0);
  assertEquals(states(advapi), [START_PENDING, RUNNING, STOP_PENDING]);
  hanging.resolve();
  assertEquals(await running, 0);
});

Deno.test("[windows T91] a process that the manager did not start says so", async () => {
  const advapi = new FakeAdvapi32();
  advapi.startedByManager = false;
  let ran = false;
  const run = (): Promise<number> => Promise.resolve(Number(ran = true));
  const error = await assertRejects(() => start(advapi, run), PreconditionError);
  assertStringIncludes(error.message, "must be started by the Service Control Manager (SCM)");
  assert(!ran);
});

Deno.test("a manager that takes no handler is an error, and nothing runs", async () => {
  const advapi = new FakeAdvapi32();
  advapi.takesHandler = false;
  const kernel32 = { ...new FakeKernel32().api, GetLastError: () => 1060 };
  const libraries = { kernel32, advapi32: advapi.api };
  await assertRejects(
    () => runAsService(NAME, () => Promise.resolve(0), { libraries }),
    Win32Error,
    "RegisterServiceCtrlHandlerEx: error 1060",
  );
});

Deno.test("openServiceManager() needs an Administrator, and says so", () => {
  const advapi32 = { ...new FakeAdvapi32().api, OpenSCManagerW: () => null };
  const kernel32 = { ...new FakeKernel32().api, GetLastError: () => 5 };
  const error = ((): unknown => {
    try {
      return openServiceManager({ kernel32, advapi32 });
    } catch (error) {
      return error;
    }
  })();
  assert(error instanceof PermissionError);
  assertStringIncludes(error.message, "run as Administrator");
});
