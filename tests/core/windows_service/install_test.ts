import { assertEquals, assertRejects } from "@std/assert";
import { OverlayError, PermissionError } from "../../../core/errors.ts";
import { SERVICE_NAME, serviceDefinition } from "../../../core/windows_service/definition.ts";
import { type Installed, installService, uninstallService } from "../../../core/windows_service/install.ts";
import { FakeServiceManager } from "../../support/windows/fake_service_manager.ts";

const NEW = serviceDefinition(["new.exe"], { dataDir: "D" });
const OLD = serviceDefinition(["old.exe"], { dataDir: "D" });

function install(manager: FakeServiceManager, start = true): Promise<Installed> {
  return installService(manager, NEW, { start, pause: () => Promise.resolve() });
}

function uninstall(manager: FakeServiceManager): Promise<boolean> {
  return uninstallService(manager, SERVICE_NAME, () => Promise.resolve());
}

/** A manager that has the old service, running. */
function withOld(): FakeServiceManager {
  const manager = new FakeServiceManager();
  manager.create(OLD);
  manager.start(SERVICE_NAME);
  manager.calls.length = 0;
  return manager;
}

Deno.test("installService() creates the service and starts it, unless told not to", async () => {
  for (const start of [true, false]) {
    const manager = new FakeServiceManager();
    assertEquals(await install(manager, start), { replaced: false, started: start });
    assertEquals(manager.calls, start ? ["create", "start"] : ["create"]);
    assertEquals(manager.services.get(SERVICE_NAME)?.definition, NEW);
  }
});

Deno.test("installService() stops, deletes and creates again what exists: error 1073", async (t) => {
  const rows = [
    { name: "at once", stopTakes: 0, deleteTakes: 0 },
    { name: "with a stop that takes its time", stopTakes: 20, deleteTakes: 0 },
    { name: "with a deletion that somebody holds up for a while: error 1072", stopTakes: 0, deleteTakes: 20 },
  ];
  for (const { name, ...takes } of rows) {
    await t.step(name, async () => {
      const manager = Object.assign(withOld(), takes);
      assertEquals(await install(manager), { replaced: true, started: true });
      assertEquals(manager.services.get(SERVICE_NAME)?.definition, NEW);
      assertEquals(manager.calls.filter((call) => call === "remove").length, 1);
      assertEquals(manager.calls.at(-1), "start");
    });
  }
});

Deno.test("installService() gives up on a service that does not stop, or does not go", async () => {
  const stubborn = Object.assign(withOld(), { stopTakes: Infinity });
  await assertRejects(
    () => install(stubborn),
    OverlayError,
    `service ${SERVICE_NAME} has not stopped within 20 s`,
  );
  assertEquals(stubborn.services.get(SERVICE_NAME)?.definition, OLD);
  const held = Object.assign(withOld(), { deleteTakes: Infinity });
  await assertRejects(
    () => install(held),
    OverlayError,
    "error 1072, it is marked for deletion and still in use",
  );
});

Deno.test("installService() names what was refused, with code and remedy", async (t) => {
  const rows = [
    {
      call: "create",
      code: 5,
      says: "cannot create service ZLayerDaemon-Overlayd: error 5, access is denied; run as",
    },
    {
      call: "start",
      code: 1053,
      says: "cannot start service ZLayerDaemon-Overlayd: error 1053, the process did not",
    },
    { call: "create", code: 4321, says: "cannot create service ZLayerDaemon-Overlayd: error 4321" },
  ];
  for (const { call, code, says } of rows) {
    await t.step(`${call} ${code}`, async () => {
      const manager = new FakeServiceManager();
      manager.refusals[call] = code;
      await assertRejects(() => install(manager), code === 5 ? PermissionError : OverlayError, says);
    });
  }
});

Deno.test("a service that runs already is started enough: error 1056", async () => {
  const manager = new FakeServiceManager();
  manager.refusals["start"] = 1056;
  assertEquals(await install(manager), { replaced: false, started: true });
});

Deno.test("uninstallService() stops and deletes; what is not there, or going already, is no error", async () => {
  const manager = withOld();
  assertEquals(await uninstall(manager), true);
  assertEquals(manager.calls, ["query", "stop", "query", "remove"]);
  assertEquals(await uninstall(manager), true); // marked for deletion: 1072
  assertEquals(await uninstall(new FakeServiceManager()), false);
});

Deno.test("uninstallService() names what was refused", async () => {
  for (const [call, what] of [["query", "query"], ["stop", "stop"], ["remove", "delete"]] as const) {
    const manager = withOld();
    manager.refusals[call] = 5;
    await assertRejects(
      () => uninstall(manager),
      PermissionError,
      `cannot ${what} service ${SERVICE_NAME}: error 5`,
    );
  }
});

Deno.test("uninstallService() asks again a service that takes no control yet: error 1061", async () => {
  const manager = withOld();
  manager.refusals["stop"] = 1061;
  let pauses = 0;
  const pause = (): Promise<void> => {
    if (++pauses === 3) delete manager.refusals["stop"];
    return Promise.resolve();
  };
  assertEquals(await uninstallService(manager, SERVICE_NAME, pause), true);
});
