import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { logFiles, RotatingFile, type RotatingFileOptions } from "../../../core/logging/rotating_file.ts";

const encoder = new TextEncoder();

/** Runs with a log file in a directory that is not there yet. */
async function withFile(
  options: Partial<RotatingFileOptions>,
  use: (file: RotatingFile, path: string) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "zt" });
  const path = join(dir, "logs", "o.log");
  try {
    const makeDirectory = (): Promise<void> => Deno.mkdir(join(dir, "logs"), { recursive: true });
    using file = new RotatingFile(path, { makeDirectory, ...options });
    await use(file, path);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** What the file and those kept hold; absent ones left out. */
function contents(path: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of logFiles(path)) {
    try {
      found[name.slice(path.length)] = Deno.readTextFileSync(name);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return found;
}

Deno.test("RotatingFile appends to what a daemon before it has written, in a directory that it makes", () =>
  withFile({}, async (first, path) => {
    assertEquals(await first.write(encoder.encode("one\n")), 4);
    await first.write(encoder.encode("two\n"));
    using second = new RotatingFile(path, { makeDirectory: () => Promise.resolve() });
    await second.write(encoder.encode("three\n"));
    assertEquals(contents(path), { "": "one\ntwo\nthree\n" });
  }));

Deno.test("RotatingFile keeps so many full files, the latest as .1, and cuts no line", () =>
  withFile({ limitBytes: 8, keep: 2 }, async (file, path) => {
    const steps: readonly [string, Record<string, string>][] = [
      ["a23\n", { "": "a23\n" }],
      ["b23\n", { "": "a23\nb23\n" }],
      ["c\n", { "": "c\n", ".1": "a23\nb23\n" }],
      ["longer than a file\n", { "": "longer than a file\n", ".1": "c\n", ".2": "a23\nb23\n" }],
      ["d\n", { "": "d\n", ".1": "longer than a file\n", ".2": "c\n" }],
    ];
    for (const [line, want] of steps) {
      await file.write(encoder.encode(line));
      assertEquals(contents(path), want, line);
    }
  }));

Deno.test("RotatingFile finishes what a process that was killed has left half moved", () =>
  withFile({ limitBytes: 4 }, async (file, path) => {
    await file.write(encoder.encode("old\n"));
    await Deno.writeTextFile(`${path}.0`, "older\n");
    await Deno.writeTextFile(`${path}.1`, "oldest\n");
    await file.write(encoder.encode("new\n"));
    assertEquals(contents(path), { "": "new\n", ".1": "old\n", ".2": "older\n", ".3": "oldest\n" });
  }));

Deno.test("RotatingFile goes on in a file that cannot be moved, and tries again when as much has been written", () =>
  withFile({ limitBytes: 4, keep: 1 }, async (file, path) => {
    await file.write(encoder.encode("one\n"));
    // In the way of the move, as an editor that holds the file is on Windows.
    await Deno.mkdir(join(`${path}.0`, "full"), { recursive: true });
    await Deno.mkdir(join(`${path}.1`, "full"), { recursive: true });
    await file.write(encoder.encode("two\n"));
    assertEquals(await Deno.readTextFile(path), "one\ntwo\n");
    for (const number of [0, 1]) await Deno.remove(`${path}.${number}`, { recursive: true });
    await file.write(encoder.encode("three\n"));
    assertEquals(contents(path), { "": "three\n", ".1": "one\ntwo\n" });
  }));

Deno.test("RotatingFile tries again until the file can be written: nothing is lost", async () => {
  const dir = await Deno.makeTempDir({ prefix: "zt" });
  try {
    const path = join(dir, "in the way", "o.log");
    await Deno.writeTextFile(join(dir, "in the way"), "");
    let pauses = 0;
    using file = new RotatingFile(path, {
      makeDirectory: () => Deno.mkdir(join(dir, "in the way"), { recursive: true }),
      pause: async () => {
        if (++pauses === 3) await Deno.remove(join(dir, "in the way"));
      },
    });
    await file.write(encoder.encode("late\n"));
    assertEquals([pauses, contents(path)], [3, { "": "late\n" }]);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
