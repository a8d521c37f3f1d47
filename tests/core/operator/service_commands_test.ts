import { assertEquals } from "@std/assert";
import { PermissionError } from "../../../core/errors.ts";
import { runServiceCommand, type ServiceCommand } from "../../../core/operator/service_commands.ts";
import { FakeServiceManager } from "../../support/windows/fake_service_manager.ts";

/** Runs a command; the result is its exit code and what it wrote. */
async function run(
  command: ServiceCommand,
  options: {
    os?: string;
    manager?: FakeServiceManager;
    socketGiven?: boolean;
    denied?: boolean;
    dataDir?: string;
  } = {},
): Promise<{ code: number; out: string; err: string }> {
  const written = { out: "", err: "" };
  const manager = options.manager ?? new FakeServiceManager();
  const code = await runServiceCommand(command, {
    config: {
      dataDir: options.dataDir ?? "D:\\z",
      socket: "\\\\.\\pipe\\p",
      socketGiven: options.socketGiven ?? false,
    },
    context: {
      out: (text) => Promise.resolve(void (written.out += text)),
      err: (text) => Promise.resolve(void (written.err += text)),
    },
    os: options.os ?? "windows",
    program: ["o.exe"],
    absolute: (path) => path.includes(":") ? path : `C:\\here\\${path}`,
    openManager: () =>
      options.denied
        ? Promise.reject(new PermissionError("cannot change services"))
        : Promise.resolve(manager),
    pause: () => Promise.resolve(),
  });
  return { code, ...written };
}

Deno.test("service install says what it did, and closes its connection", async () => {
  const manager = new FakeServiceManager();
  const done = { code: 0, err: "" };
  assertEquals(await run({ kind: "service install", start: false }, { manager }), {
    ...done,
    out: "ZLayerDaemon-Overlayd installed\n",
  });
  assertEquals(manager.closed, true);
  assertEquals(await run({ kind: "service install", start: true }, { manager, socketGiven: true }), {
    ...done,
    out: "ZLayerDaemon-Overlayd replaced and started\n",
  });
  const { definition } = manager.services.get("ZLayerDaemon-Overlayd")!;
  assertEquals(definition.commandLine, "o.exe --data-dir D:\\z --socket \\\\.\\pipe\\p --service");
});

Deno.test("service install names the data directory in full: a service starts in a directory of Windows", async () => {
  const manager = new FakeServiceManager();
  await run({ kind: "service install", start: false }, { manager, dataDir: "my data" });
  const { definition } = manager.services.get("ZLayerDaemon-Overlayd")!;
  assertEquals(definition.commandLine, 'o.exe --data-dir "C:\\here\\my data" --service');
});

Deno.test("service uninstall succeeds whether there is one or not", async () => {
  const manager = new FakeServiceManager();
  await run({ kind: "service install", start: true }, { manager });
  const texts = ["ZLayerDaemon-Overlayd removed\n", "ZLayerDaemon-Overlayd is not installed\n"];
  for (const [i, out] of texts.entries()) {
    const on = i === 0 ? manager : new FakeServiceManager();
    assertEquals(await run({ kind: "service uninstall" }, { manager: on }), { code: 0, out, err: "" });
  }
});

Deno.test("service install and uninstall tell why they failed, and are for Windows", async () => {
  for (const command of [{ kind: "service install", start: true }, { kind: "service uninstall" }] as const) {
    assertEquals(await run(command, { denied: true }), {
      code: 1,
      out: "",
      err: "error: cannot change services\n",
    });
    assertEquals(await run(command, { os: "linux" }), {
      code: 1,
      out: "",
      err: `error: '${command.kind}' is for Windows; here the host's service manager has its units\n`,
    });
  }
});
