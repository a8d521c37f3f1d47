/** The daemon's foundations in `deno.exe`: what every other Windows test builds on. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { DENO_WINDOWS } from "../../scripts/support/npm_tools.ts";
import { sourceFiles } from "../../scripts/support/repo.ts";
import { resolveConfig } from "../../core/config.ts";
import { DataDirBusyError, lockDataDir } from "../../core/data_dir.ts";
import { readEnvironment } from "../../core/environment.ts";
import { MarkerFile } from "../../core/marker_file.ts";
import { logDir } from "../../core/paths.ts";
import { openStateStore } from "../../core/state/state_store.ts";
import { VERSION } from "../../core/version.ts";
import { EngineRig } from "../support/engine_rig.ts";
import { wide } from "./support/hcn_calls.ts";
import { runModule, TestChild } from "./support/processes.ts";

async function withTempDir(run: (directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "zt-smoke-" });
  try {
    await run(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test("this is deno.exe of the pinned version, on Wine 10 or later", () => {
  assertEquals([Deno.build.os, Deno.build.arch], ["windows", "x86_64"]);
  assertEquals(Deno.version.deno, DENO_WINDOWS.version);
  const ntdll = Deno.dlopen(
    "ntdll.dll",
    { wine_get_version: { parameters: [], result: "pointer" } } as const,
  );
  const version = ntdll.symbols.wine_get_version();
  assert(version !== null);
  assert(Number.parseInt(Deno.UnsafePointerView.getCString(version)) >= 10);
  ntdll.close();
});

Deno.test("every module of the program loads on Windows, and loading opens nothing", async () => {
  const files = sourceFiles().filter((path) => /^(core|ffi|ipc)\/|^mod\.ts$/.test(path));
  assert(files.length > 150, `${files.length} modules`);
  for (const path of files) await import(new URL(`../../${path}`, import.meta.url).href);
  await import("../../main.ts");
});

Deno.test("the program tells its version and refuses what it does not know", async () => {
  assertEquals(await runModule("../../../main.ts", "--version"), {
    code: 0,
    out: `zlayer-overlayd ${VERSION}\n`,
  });
  assertEquals((await runModule("../../../main.ts", "--no-such-flag")).code, 2);
});

Deno.test("foreign functions run, also beside the event loop", async () => {
  const kernel32 = Deno.dlopen(
    "kernel32.dll",
    {
      GetCurrentProcessId: { parameters: [], result: "u32" },
      CreateEventW: { parameters: ["pointer", "i32", "i32", "pointer"], result: "pointer" },
      SetEvent: { parameters: ["pointer"], result: "i32" },
      WaitForSingleObject: { parameters: ["pointer", "u32"], result: "u32", nonblocking: true },
      CloseHandle: { parameters: ["pointer"], result: "i32" },
    } as const,
  );
  assertEquals(kernel32.symbols.GetCurrentProcessId(), Deno.pid);
  const { CreateEventW, SetEvent, WaitForSingleObject, CloseHandle } = kernel32.symbols;
  const event = CreateEventW(null, 0, 0, null);
  // The call ends by what the event loop does meanwhile, or after a minute.
  const [WAIT_OBJECT_0, minute] = [0, 60_000];
  const waiting = WaitForSingleObject(event, minute);
  setTimeout(() => SetEvent(event), 5);
  assertEquals(await waiting, WAIT_OBJECT_0, "the call held the event loop up");
  CloseHandle(event);
  kernel32.close();
});

Deno.test("without flags everything is where Windows callers look for it", () => {
  const environment = readEnvironment();
  const config = resolveConfig({ service: true }, environment);
  assertEquals(environment.os, "windows");
  assertEquals(config.dataDir, "C:\\ProgramData\\ZLayer");
  assertEquals(config.socket, "\\\\.\\pipe\\zlayer-overlayd");
  assertEquals(logDir(config.dataDir, environment), "C:\\ProgramData\\ZLayer\\logs");
  assertEquals(config.service, true);
});

Deno.test("a data directory has one holder among processes, until that is killed", () =>
  withTempDir(async (directory) => {
    {
      await using child = await TestChild.start("lock", directory);
      assert(child.pid > 0);
      await assertRejects(() => lockDataDir(directory, { create: true }), DataDirBusyError);
    }
    using mine = await lockDataDir(directory, { create: true });
    assert(mine);
  }));

Deno.test("what the state store has committed survives the process that is killed", () =>
  withTempDir(async (directory) => {
    const path = join(directory, "overlayd.db");
    {
      await using _child = await TestChild.start("state", path);
    }
    const store = openStateStore(path);
    assertEquals(store.settings.hostSettings, { a: "1" });
    await store.commit("test", (write) => write.setting("hostSettings", { a: "2" }));
    store.close();
    const again = openStateStore(path);
    assertEquals(again.settings.hostSettings, { a: "2" });
    again.close();
  }));

Deno.test("the engine attaches over the fake host, restarts, and detaches", async () => {
  await using rig = await EngineRig.start();
  await rig.engine.setupServiceOverlay("web", "auto");
  rig.host.spawn(100);
  const handle = { platform: "linux_pid", pid: 100 } as const;
  const reply = await rig.engine.attachContainer({ handle, service: "web", joinGlobal: false });
  assert(reply.kind === "attached");
  await rig.restart();
  assertEquals((await rig.engine.status(true)).detail?.attachments.map(({ ip }) => ip), [reply.ip]);
  await rig.engine.detachContainer(handle);
  assertEquals((await rig.engine.status(true)).detail?.attachments, []);
});

const ENTRY = {
  owner: "base",
  kind: "hcn-internal",
  name: "n",
  id: "guid-1",
  subnet: "10.0.0.0/28",
} as const;

Deno.test("the marker is saved although somebody holds the old one open for a moment", () =>
  withTempDir(async (directory) => {
    const path = join(directory, "agent_network.json");
    const warnings: string[] = [];
    const log = {
      warn: (message: string, fields: unknown) => void warnings.push(message, JSON.stringify(fields)),
    };
    const file = new MarkerFile(path, { log });
    assertEquals(await file.upsert(ENTRY), true);
    const reader = new HeldFile(path);
    const saving = file.upsert({ ...ENTRY, id: "guid-2" });
    setTimeout(() => reader.close(), 50);
    assertEquals([await saving, warnings], [true, []]);
    assertEquals((await file.load()).networks.map(({ id }) => id), ["guid-2"]);
  }));

/** A file opened for reading so that others may read it, and not write, move or delete it. */
class HeldFile {
  readonly #kernel32 = Deno.dlopen(
    "kernel32.dll",
    {
      CreateFileW: {
        parameters: ["buffer", "u32", "u32", "pointer", "u32", "u32", "pointer"],
        result: "pointer",
      },
      CloseHandle: { parameters: ["pointer"], result: "i32" },
    } as const,
  );
  readonly #handle: Deno.PointerValue;

  constructor(path: string) {
    const [GENERIC_READ, FILE_SHARE_READ, OPEN_EXISTING] = [0x80000000, 1, 3];
    this.#handle = this.#kernel32.symbols.CreateFileW(
      ...[wide(path), GENERIC_READ, FILE_SHARE_READ, null] as const,
      ...[OPEN_EXISTING, 0, null] as const,
    );
    assert(Deno.UnsafePointer.value(this.#handle) < 0xffffffffffffffffn, `cannot open ${path}`);
  }

  close(): void {
    this.#kernel32.symbols.CloseHandle(this.#handle);
    this.#kernel32.close();
  }
}

Deno.test("the log reaches a pipe whole and in order, and signals can be listened for", async () => {
  const { code, out } = await runModule("./child.ts", "log");
  const lines = out.trim().split("\n");
  assertEquals([code, lines.length], [7, 2000]);
  assertEquals(lines.map((line) => JSON.parse(line).n ?? JSON.parse(line).fields?.n), [...lines.keys()]);
  assertStringIncludes(lines[0] ?? "", "line");
});
