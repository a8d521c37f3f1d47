/** The kernel rig itself: what it reports, and that it neither hangs nor changes the host. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { commandInGuest, runInGuest } from "../support/kernel_rig.ts";

Deno.test("commandInGuest() returns the exit code and the console; the host keeps its files", async () => {
  const path = `/var/tmp/zt-guest-${crypto.randomUUID()}`;
  const script = `echo written > ${path} && cat ${path} && uname -r && exit 7`;
  const result = await commandInGuest(["sh", "-c", script], { timeoutMs: 20 * 60_000 });
  assertEquals(result.code, 7, result.log);
  assertEquals(result.timedOut, false);
  assertStringIncludes(result.log, "written");
  assert(!result.log.includes(Deno.osRelease()), "the guest runs the host's kernel");
  await assertRejects(() => Deno.stat(path), Deno.errors.NotFound);
});

Deno.test("runInGuest() reports failed and ignored tests as such", async () => {
  const result = await runInGuest(["tests/kernel/testdata/failing_guest.ts"], { timeoutMs: 20 * 60_000 });
  assertEquals(result.code, 1, result.log);
  assert(!("problem" in result.cases), result.log);
  const outcomes = result.cases.map(({ name, outcome }) => `${name}: ${outcome}`);
  assertEquals(outcomes, [
    "one and one: passed",
    "fails on purpose: failed",
    "ignored # skip: on purpose: skipped",
  ]);
});

Deno.test("commandInGuest() kills a guest that hangs", async () => {
  const result = await commandInGuest(["sleep", "1000"], { timeoutMs: 2_000 });
  assertEquals({ code: result.code, timedOut: result.timedOut }, { code: undefined, timedOut: true });
});
