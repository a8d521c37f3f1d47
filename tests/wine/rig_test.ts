/** The Windows rig itself: what it reports, and that it neither hangs nor changes the host nor sees the network. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { cacheDir } from "../../scripts/support/cache_dir.ts";
import { buildForWindows } from "../../scripts/support/windows_build.ts";
import { findWineRoot } from "../../scripts/support/wine_root.ts";
import { waitFor } from "../support/wait_for.ts";
import { DENO_EXE, runInWine, testInWine } from "../support/wine_rig.ts";

const evaluate = (code: string): string[] => [DENO_EXE, "eval", code];

Deno.test("runInWine() gives the whole exit code and the output, with arguments as they are", async () => {
  const code = `console.log(JSON.stringify(Deno.args)); console.error("aside"); Deno.exit(300)`;
  const args = ["a b", 'say "hi"', "back\\slash\\", ""];
  const result = await runInWine([...evaluate(code), ...args]);
  assertEquals([result.code, result.timedOut], [300, false], result.output);
  assertStringIncludes(result.output, JSON.stringify(args));
  assertStringIncludes(result.output, "aside");
});

Deno.test("runInWine() sees an uncaught error and a process that is killed", async () => {
  assertEquals((await runInWine(evaluate("throw new Error('x')"))).code, 1);
  const end = "Deno.kill(Deno.pid, 'SIGKILL'); await new Promise(() => setTimeout(() => {}, 60000))";
  assertEquals((await runInWine(evaluate(end))).code, 1);
});

Deno.test("runInWine() kills what hangs, and nothing is left of it", async () => {
  const mark = crypto.randomUUID();
  const code =
    `new Deno.Command(Deno.execPath(), { args: ["eval", "setTimeout(() => {}, 1e6)", "${mark}"] }).spawn();
    setTimeout(() => {}, 1e6)`;
  const result = await runInWine([...evaluate(code), mark], { timeoutMs: 5_000 });
  assertEquals([result.code, result.timedOut], [undefined, true]);
  await waitFor("nothing to be left", () => processesWith(mark).length === 0);
});

/** Command lines on this machine that contain the text. */
function processesWith(text: string): string[] {
  const pids = [...Deno.readDirSync("/proc")].map(({ name }) => name).filter((name) => /^\d+$/.test(name));
  return pids.flatMap((pid) => {
    try {
      const line = Deno.readTextFileSync(`/proc/${pid}/cmdline`);
      return line.includes(text) ? [line] : [];
    } catch {
      return []; // It ended meanwhile.
    }
  });
}

Deno.test("the repository cannot be written from the rig, and what it writes elsewhere is gone afterwards", async () => {
  const name = `zt-${crypto.randomUUID()}`;
  const code =
    `Deno.writeTextFileSync("C:\\\\${name}", "x"); Deno.writeTextFileSync("Z:\\\\deno-dir\\\\${name}", "x");
    try { Deno.writeTextFileSync("Z:\\\\repo\\\\${name}", "x") } catch (error) { console.log(error.name) }`;
  const result = await runInWine(evaluate(code));
  assertEquals(result.code, 0, result.output);
  assertEquals(result.output.trim(), "PermissionDenied");
  const root = findWineRoot(cacheDir());
  await assertRejects(() => Deno.stat(`${root}/prefix/drive_c/${name}`), Deno.errors.NotFound);
  await assertRejects(() => Deno.stat(new URL(`../../${name}`, import.meta.url)), Deno.errors.NotFound);
});

Deno.test("the rig has a loopback of its own and no other interface", async () => {
  const code = `const l = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const [a, b] = await Promise.all([Deno.connect({ hostname: "127.0.0.1", port: l.addr.port }), l.accept()]);
    await a.write(new Uint8Array(3)); console.log("echo", await b.read(new Uint8Array(8)));
    console.log("interfaces", Deno.networkInterfaces().map((one) => one.address).join());
    Deno.exit(0)`;
  const { output } = await runInWine(evaluate(code));
  assertStringIncludes(output, "echo 3");
  assertStringIncludes(output, "interfaces ::1,127.0.0.1\n");
});

Deno.test("testInWine() reports failed and ignored tests as such", async () => {
  const result = await testInWine(["tests/wine/testdata/failing_windows.ts"]);
  assertEquals(result.code, 1, result.output);
  assert(!("problem" in result.cases), result.output);
  const outcomes = result.cases.map(({ name, outcome }) => `${name}: ${outcome}`);
  assertEquals(outcomes, [
    "one and one: passed",
    "fails on purpose: failed",
    "ignored # skip: on purpose: skipped",
  ]);
});

Deno.test("an unchanged tree builds nothing", async () => {
  const first = await buildForWindows(cacheDir());
  const made = Deno.statSync(first).mtime;
  assertEquals([await buildForWindows(cacheDir()), Deno.statSync(first).mtime], [first, made]);
});
