import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { basename, fromFileUrl, join } from "@std/path";
import { EMPTY_MARKER, encodeMarker, type MarkerEntry } from "../../core/marker.ts";
import { MarkerFile } from "../../core/marker_file.ts";
import { HOST_FILES, type PrivateFileSystem } from "../../core/private_files.ts";
import { WINDOWS } from "../support/unix_test.ts";

const BASE: MarkerEntry = {
  owner: "base",
  kind: "hcn-internal",
  name: "n",
  id: "guid-1",
  subnet: "10.0.0.0/28",
};
const WEB: MarkerEntry = { ...BASE, owner: "service:web", id: "guid-2" };

class Warnings {
  readonly lines: string[] = [];
  warn(message: string, fields: Readonly<Record<string, unknown>>): void {
    this.lines.push(`${message} ${JSON.stringify(fields)}`);
  }
}

interface Fixture {
  readonly directory: string;
  readonly path: string;
  readonly log: Warnings;
  readonly file: MarkerFile;
}

function markerTest(
  name: string,
  run: (fixture: Fixture) => Promise<void>,
  files: PrivateFileSystem = HOST_FILES,
): void {
  Deno.test(name, async () => {
    const directory = await Deno.makeTempDir();
    try {
      const path = join(directory, "data", "agent_network.json");
      const log = new Warnings();
      await run({ directory, path, log, file: new MarkerFile(path, { log, files }) });
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  });
}

function modeOf(path: string): string {
  return (Deno.statSync(path).mode! & 0o777).toString(8);
}

function names(directory: string): string[] {
  return [...Deno.readDirSync(directory)].map((entry) => entry.name).sort();
}

markerTest(
  "a missing file is an empty marker, and loading makes none [daemon 44]",
  async ({ directory, file, log }) => {
    assertEquals(await file.load(), EMPTY_MARKER);
    assertEquals(await file.remove("base"), undefined);
    assertEquals(names(directory), []);
    assertEquals(log.lines, []);
  },
);

markerTest("what is saved is loaded [daemon 43]", async ({ path, file, log }) => {
  assertEquals(await file.upsert(BASE), true);
  assertEquals(await file.upsert(WEB), true);
  const again = await new MarkerFile(path, { log }).load();
  assertEquals(again.version, 1);
  assertEquals(again.networks.map((entry) => entry.id), ["guid-1", "guid-2"]);
  assertEquals(await Deno.readTextFile(path), encodeMarker({ version: 1, networks: [BASE, WEB] }));
  assertEquals((await file.remove("base"))?.id, "guid-1");
  assertEquals((await file.load()).networks.map((entry) => entry.owner), ["service:web"]);
});

if (!WINDOWS) {
  markerTest(
    "the file is private, and so is a directory made for it [daemon 49]",
    async ({ path, directory, file }) => {
      await file.upsert(BASE);
      const modes = (): string[] => [path, join(directory, "data")].map(modeOf);
      assertEquals(modes(), ["600", "700"]);
      // Not even for a moment, nor after a left-over of another mode.
      await Deno.writeTextFile(`${path}.tmp`, "left over", { mode: 0o644 });
      await Deno.chmod(`${path}.tmp`, 0o644);
      await Deno.chmod(path, 0o644);
      await file.upsert(WEB);
      assertEquals(modes(), ["600", "700"]);
      assertEquals(names(join(directory, "data")), ["agent_network.json"]);
    },
  );
}

markerTest("a directory that exists keeps its mode", async ({ path, directory, file }) => {
  const data = join(directory, "data");
  await Deno.mkdir(data);
  await Deno.chmod(data, 0o755);
  assertEquals(await file.upsert(BASE), true);
  if (!WINDOWS) assertEquals(modeOf(data), "755");
  assertEquals(names(data), [basename(path)]);
});

markerTest(
  "a file that is no marker counts as empty and is kept aside [daemon 47]",
  async ({ path, file, log }) => {
    await Deno.mkdir(join(path, ".."));
    await Deno.writeTextFile(path, '{"wg_private_key":"c2VjcmV0"');
    assertEquals(await file.load(), EMPTY_MARKER);
    assertEquals(await Deno.readTextFile(path), '{"wg_private_key":"c2VjcmV0"');
    assertStringIncludes(log.lines.join(), "unreadable and counts as empty");
    assertEquals(log.lines.join().includes("c2VjcmV0"), false);
    assertEquals(await file.upsert(BASE), true);
    assertEquals(await Deno.readTextFile(`${path}.bad`), '{"wg_private_key":"c2VjcmV0"');
    assertEquals((await file.load()).networks.map((entry) => entry.id), ["guid-1"]);
  },
);

Deno.test("a marker that cannot be read for a moment counts as empty, and is not replaced by a new one", async () => {
  const lines: string[] = [];
  const files = new ScriptedFiles();
  const file = new MarkerFile("/d/m.json", { log: { warn: (message) => void lines.push(message) }, files });
  await file.upsert(BASE);
  const text = files.contents.get("/d/m.json");
  files.stopAt = "read";
  assertEquals(await file.load(), EMPTY_MARKER);
  assertEquals(await file.upsert(WEB), false);
  files.stopAt = "";
  assertEquals([...files.contents], [["/d/m.json", text]]);
  assertEquals(lines, [
    "cannot read the network marker, which counts as empty",
    "cannot save the network marker",
  ]);
  assertEquals(await file.upsert(WEB), true);
  assertEquals((await file.load()).networks.length, 2);
});

markerTest("changes at the same time are all kept", async ({ file }) => {
  const owners = Array.from({ length: 30 }, (_, i) => `service:s${i}`);
  await Promise.all(owners.map((owner) => file.upsert({ ...BASE, owner })));
  assertEquals((await file.load()).networks.map((entry) => entry.owner), owners);
  await Promise.all(owners.slice(1).map((owner) => file.remove(owner)));
  assertEquals((await file.load()).networks.map((entry) => entry.owner), ["service:s0"]);
});

markerTest("a save that fails is a warning, and the next one works", async ({ directory, file, log }) => {
  const data = join(directory, "data");
  await Deno.writeTextFile(data, "in the way");
  assertEquals(await file.upsert(BASE), false);
  assertStringIncludes(log.lines.at(-1)!, "cannot save the network marker");
  await Deno.remove(data);
  assertEquals(await file.upsert(BASE), true);
});

/** Steps that a save takes, in order; `stopAt` dies there. */
class ScriptedFiles implements PrivateFileSystem {
  readonly steps: string[] = [];
  readonly contents = new Map<string, string>();
  stopAt = "";

  #step(name: string): void {
    if (name === this.stopAt) throw new Error(`died before ${name}`);
    this.steps.push(name);
  }

  readTextFile(path: string): Promise<string | undefined> {
    if (this.stopAt === "read") return Promise.reject(new Error("it is held by another process"));
    return Promise.resolve(this.contents.get(path));
  }

  // deno-lint-ignore require-await
  async ensureDirectory(path: string): Promise<void> {
    this.#step(`mkdir ${path}`);
  }

  // deno-lint-ignore require-await
  async writeFile(path: string, text: string): Promise<void> {
    this.#step(`write ${path}`);
    this.contents.set(path, text);
  }

  // deno-lint-ignore require-await
  async rename(from: string, to: string): Promise<void> {
    this.#step(`rename ${from} ${to}`);
    this.contents.set(to, this.contents.get(from)!);
    this.contents.delete(from);
  }

  // deno-lint-ignore require-await
  async syncDirectory(path: string): Promise<void> {
    this.#step(`sync ${path}`);
  }
}

Deno.test("a save writes a sibling, renames it over and syncs the directory, in this order", async () => {
  const files = new ScriptedFiles();
  await new MarkerFile("/d/agent_network.json", { log: new Warnings(), files }).upsert(BASE);
  assertEquals(files.steps, [
    "mkdir /d",
    "write /d/agent_network.json.tmp",
    "rename /d/agent_network.json.tmp /d/agent_network.json",
    "sync /d",
  ]);
});

Deno.test("whatever step a save dies at, the marker is the old or the new one [daemon 48]", async () => {
  const path = "/d/agent_network.json";
  const steps = ["mkdir /d", `write ${path}.tmp`, `rename ${path}.tmp ${path}`, "sync /d"];
  for (const step of steps) {
    const files = new ScriptedFiles();
    const log = new Warnings();
    await new MarkerFile(path, { log, files }).upsert(BASE);
    files.stopAt = step;
    assertEquals(await new MarkerFile(path, { log, files }).upsert({ ...BASE, id: "guid-9" }), false, step);
    const survivor = await new MarkerFile(path, { log, files }).load();
    assertEquals(
      survivor.networks.map((entry) => entry.id),
      [step === "sync /d" ? "guid-9" : "guid-1"],
      step,
    );
  }
});

markerTest("kill -9 between the write and the rename leaves the old marker [daemon 48]", async (fixture) => {
  const { path, file, directory } = fixture;
  await file.upsert(BASE);
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--cached-only",
      "--frozen",
      fromFileUrl(new URL("../support/marker_killed.ts", import.meta.url)),
      path,
    ],
    stdout: "null",
    stderr: "inherit",
  });
  const { signal, code } = await child.output();
  if (WINDOWS) assertEquals(code, 1); // As TerminateProcess was told; there are no signals.
  else assertEquals(signal, "SIGKILL");
  assert(names(join(directory, "data")).includes("agent_network.json.tmp"));
  assertEquals((await file.load()).networks.map((entry) => entry.id), ["guid-1"]);
  assertEquals(await file.upsert(WEB), true);
  assertEquals(names(join(directory, "data")), ["agent_network.json"]);
});
