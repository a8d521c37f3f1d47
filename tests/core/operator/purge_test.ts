import { assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import type { InventoryEntry } from "../../../core/backend/backend.ts";
import { DataDirBusyError } from "../../../core/data_dir.ts";
import { type PurgeDeps, runPurge } from "../../../core/operator/purge.ts";
import {
  findOwnFiles,
  removeEmptyDirs,
  removeLockFile,
  removeOwnFile,
} from "../../../core/operator/purge_files.ts";
import { describePlan, isEmptyPlan, planPurge } from "../../../core/operator/purge_plan.ts";
import { unixTest } from "../../support/unix_test.ts";

const OURS = "zlayer-overlayd/prod/00112233:";

function entry(kind: InventoryEntry["kind"], name: string, tag: string): InventoryEntry {
  return { kind, name, tag, up: true, mtuBytes: 1420, addresses: [], routes: [] };
}

const INVENTORY = [
  entry("bridge", "zl-web-b", `${OURS}service:web`),
  entry("veth", "veth-9-s", `${OURS}attachment:pid:9`),
  entry("wireguard", "zl-g", `${OURS}global`),
  entry("veth", "veth-7-s", `${OURS}attachment:pid:7`),
  entry("bridge", "zl-other-b", "zlayer-overlayd/prod/ffff0000:service:web"),
  entry("bridge", "zl-old-b", ""),
];

const isOurs = (tag: string): boolean => tag.startsWith(OURS);

Deno.test("planPurge() takes what carries the tag, ports before bridges, and lists the rest", () => {
  const plan = planPurge(
    { inventory: INVENTORY, hostSettings: { "net.x": "0" }, files: ["/d/overlayd.db"] },
    isOurs,
  );
  assertEquals(describePlan(plan, "would remove"), [
    "would remove veth veth-7-s",
    "would remove veth veth-9-s",
    "would remove wireguard zl-g",
    "would remove bridge zl-web-b",
    "would restore net.x = 0",
    "would remove /d/overlayd.db",
    "leave zl-other-b: belongs to zlayer-overlayd/prod/ffff0000:service:web",
    "leave zl-old-b: carries no tag of zlayer-overlayd",
  ]);
  assertEquals(isEmptyPlan(plan), false);
});

/** A host whose objects, settings and files go as they are removed; `fail` names steps that throw. */
class FakeHost {
  inventory = [...INVENTORY];
  hostSettings: Record<string, string> = { "net.x": "0" };
  files = ["/d/agent_network.json", "/d/overlayd.db"];
  out: string[] = [];
  err: string[] = [];
  steps: string[] = [];
  busy = 0;
  fail = new Set<string>();

  deps(): PurgeDeps {
    return {
      backend: {
        inventory: () => Promise.resolve([...this.inventory]),
        removeEntry: (entry) =>
          this.#step(entry.name, () => {
            this.inventory = this.inventory.filter((one) => one.name !== entry.name);
          }),
        restoreHostSettings: () => this.#step("restore", () => void (this.hostSettings = {})),
      },
      isOurs,
      findings: () => Promise.resolve({ hostSettings: this.hostSettings, files: [...this.files] }),
      removeFile: (path) =>
        this.#step(path, () => void (this.files = this.files.filter((one) => one !== path))),
      removeLockFile: () => this.#step("remove lock file", () => {}),
      removeEmptyDirs: () => this.#step("remove directories", () => {}),
      lock: () => {
        if (this.busy-- > 0) return Promise.reject(new DataDirBusyError("/d", 42));
        this.steps.push("lock");
        return Promise.resolve({ [Symbol.dispose]: () => void this.steps.push("unlock") });
      },
      stopDaemon: () => this.#step("stop daemon", () => {}),
      pause: () => Promise.resolve(),
      out: (text) => Promise.resolve(void this.out.push(text)),
      err: (text) => Promise.resolve(void this.err.push(text)),
    };
  }

  #step(name: string, effect: () => void): Promise<void> {
    this.steps.push(name);
    if (this.fail.has(name)) return Promise.reject(new Error("EPERM"));
    effect();
    return Promise.resolve();
  }
}

const PURGE = { dryRun: false, stopDaemon: false };

Deno.test("runPurge() removes objects, restores settings, removes files; a second run has nothing to do", async () => {
  const host = new FakeHost();
  assertEquals(await runPurge(PURGE, host.deps()), 0);
  assertEquals(host.steps, [
    "lock",
    "veth-7-s",
    "veth-9-s",
    "zl-g",
    "zl-web-b",
    "restore",
    "/d/agent_network.json",
    "/d/overlayd.db",
    "remove lock file",
    "unlock",
    "remove directories",
  ]);
  assertEquals(host.inventory.map(({ name }) => name), ["zl-other-b", "zl-old-b"]);
  host.out = [];
  assertEquals(await runPurge(PURGE, host.deps()), 0);
  assertEquals(host.out[0], "nothing to remove");
});

Deno.test("runPurge() with dryRun changes nothing and does not care for a running daemon", async () => {
  const host = new FakeHost();
  host.busy = 1;
  assertEquals(await runPurge({ dryRun: true, stopDaemon: false }, host.deps()), 0);
  assertEquals(host.steps, []);
  assertEquals(host.out.filter((line) => line.startsWith("would")).length, 7);
});

Deno.test("runPurge() refuses while a daemon runs, unless it may stop it", async () => {
  const refused = new FakeHost();
  refused.busy = 1;
  await assertRejects(() => runPurge(PURGE, refused.deps()), DataDirBusyError, "pid 42");
  assertEquals(refused.steps, []);
  const stopped = new FakeHost();
  stopped.busy = 3;
  assertEquals(await runPurge({ dryRun: false, stopDaemon: true }, stopped.deps()), 0);
  assertEquals(stopped.steps.slice(0, 3), ["stop daemon", "lock", "veth-7-s"]);
});

Deno.test("runPurge() goes on over a failure, keeps the database for the next run, which does the rest", async () => {
  const host = new FakeHost();
  host.fail.add("veth-7-s");
  assertEquals(await runPurge(PURGE, host.deps()), 1);
  assertEquals(host.err, ["error: cannot remove veth-7-s: EPERM"]);
  assertEquals(host.files.length, 2);
  assertEquals(host.inventory.length, 3);
  host.fail.clear();
  assertEquals(await runPurge(PURGE, host.deps()), 0);
  assertEquals(host.files, []);
});

Deno.test("runPurge() on Windows: networks go, the marker in any case, and the exit code tells [windows T76] [windows T77]", async (t) => {
  for (const failures of [[], ["cannot remove HCN network zlayer-overlay: why"]]) {
    await t.step(failures.length === 0 ? "all goes well" : "one network stays", async () => {
      const host = new FakeHost();
      const purgeNetworks = (): Promise<string[]> => Promise.resolve(failures);
      assertEquals(await runPurge(PURGE, { ...host.deps(), purgeNetworks }), failures.length);
      assertEquals(host.err, failures.map((text) => `error: ${text}`));
      assertEquals(host.files, failures.length === 0 ? [] : ["/d/overlayd.db"]);
      assertEquals(host.out.at(-1)!.startsWith("remove HCN networks"), true);
    });
  }
  await t.step("what stays is told last", async () => {
    const host = new FakeHost();
    const purgeNetworks = (): Promise<string[]> => Promise.resolve([]);
    const leftBehind = (): Promise<string[]> => Promise.resolve(["leave HCN namespace x: why"]);
    assertEquals(await runPurge(PURGE, { ...host.deps(), purgeNetworks, leftBehind }), 0);
    assertEquals(host.out.at(-1), "leave HCN namespace x: why");
  });
  const host = new FakeHost();
  const purgeNetworks = (): Promise<string[]> => Promise.reject(new Error("not in a dry run"));
  assertEquals(await runPurge({ ...PURGE, dryRun: true }, { ...host.deps(), purgeNetworks }), 0);
  assertEquals(host.out.at(-1)!.startsWith("would remove HCN networks"), true);
});

unixTest("findOwnFiles() and removeEmptyDirs() spare the caller's files and live sockets", async () => {
  const root = await Deno.makeTempDir({ prefix: "zt-purge-" });
  try {
    const dataDir = join(root, "data");
    await Deno.mkdir(join(dataDir, "run"), { recursive: true });
    for (const name of ["daemon.json", "overlayd.db", "overlayd.lock", "agent_network.json.bad"]) {
      await Deno.writeTextFile(join(dataDir, name), "");
    }
    const stale = join(dataDir, "run", "stale.sock");
    await makeStaleSocket(stale);
    using _live = Deno.listen({ transport: "unix", path: join(root, "live.sock") });
    const files = await findOwnFiles(dataDir, [stale, join(root, "live.sock"), join(root, "none.sock")]);
    const names = ["agent_network.json.bad", "overlayd.db"].map((name) => join(dataDir, name));
    assertEquals(files, [stale, ...names]);
    for (const path of files) await removeOwnFile(path);
    await removeOwnFile(stale);
    await removeLockFile(dataDir);
    await removeEmptyDirs(dataDir, join(dataDir, "run", "wireguard"));
    assertEquals([...Deno.readDirSync(dataDir)].map(({ name }) => name), ["daemon.json"]);
    await Deno.remove(join(dataDir, "daemon.json"));
    await removeLockFile(dataDir);
    await removeEmptyDirs(dataDir, join(dataDir, "run", "wireguard"));
    await removeEmptyDirs(dataDir, join(dataDir, "run", "wireguard"));
    assertEquals([...Deno.readDirSync(root)].map(({ name }) => name), ["live.sock"]);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test("findOwnFiles() knows the log of a service and all that is kept of it", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "zt-purge-" });
  try {
    const logs = join(dataDir, "logs");
    await Deno.mkdir(logs);
    const own = ["overlayd.log", "overlayd.log.0", "overlayd.log.4"].map((name) => join(logs, name));
    for (const path of [...own, join(logs, "daemon.log")]) await Deno.writeTextFile(path, "");
    const files = await findOwnFiles(dataDir, [], { logFile: own[0]! });
    assertEquals(files, own);
    for (const path of files) await removeOwnFile(path);
    await removeEmptyDirs(dataDir, join(dataDir, "run"));
    assertEquals([...Deno.readDirSync(logs)].map(({ name }) => name), ["daemon.log"]);
    await Deno.remove(join(logs, "daemon.log"));
    await removeEmptyDirs(dataDir, join(dataDir, "run"));
    await assertRejects(() => Deno.lstat(dataDir), Deno.errors.NotFound);
  } finally {
    await Deno.remove(dataDir, { recursive: true }).catch(() => {});
  }
});

/** A socket file that nobody listens on: `close()` removes the file, so it listens under another name. */
async function makeStaleSocket(path: string): Promise<void> {
  const listener = Deno.listen({ transport: "unix", path: `${path}.tmp` });
  await Deno.rename(`${path}.tmp`, path);
  listener.close();
}
