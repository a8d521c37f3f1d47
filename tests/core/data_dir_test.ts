import { assert, assertEquals, assertExists, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { DataDirBusyError, lockDataDir, lockFile, permissionHint } from "../../core/data_dir.ts";
import { unixTest, WINDOWS } from "../support/unix_test.ts";

async function withTempDir(run: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "zt-data-" });
  try {
    await run(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("lockDataDir() makes a missing directory with mode 0700 and names its holder", () =>
  withTempDir(async (dir) => {
    const path = join(dir, "a", "b");
    using lock = await lockDataDir(path, { create: true });
    assertExists(lock);
    assertEquals(await Deno.readTextFile(lockFile(path)), `${Deno.pid}\n`);
    if (WINDOWS) return;
    assertEquals((await Deno.stat(path)).mode! & 0o777, 0o700);
    assertEquals((await Deno.stat(lockFile(path))).mode! & 0o777, 0o600);
  }));

unixTest("lockDataDir() leaves the mode of an existing directory alone", () =>
  withTempDir(async (dir) => {
    await Deno.chmod(dir, 0o755);
    using lock = await lockDataDir(dir, { create: true });
    assertExists(lock);
    assertEquals((await Deno.stat(dir)).mode! & 0o777, 0o755);
  }));

Deno.test("lockDataDir() without create has nothing to guard in a missing directory", () =>
  withTempDir(async (dir) => {
    assertEquals(await lockDataDir(join(dir, "none"), { create: false }), undefined);
    await assertRejects(() => Deno.stat(join(dir, "none")), Deno.errors.NotFound);
  }));

Deno.test("lockDataDir() refuses a second holder, names the first, and lets go when disposed", () =>
  withTempDir(async (dir) => {
    {
      using first = await lockDataDir(dir, { create: true });
      assertExists(first);
      const error = await assertRejects(() => lockDataDir(dir, { create: true }), DataDirBusyError);
      assertEquals(error.holderPid, Deno.pid);
      assert(error.message.includes(dir) && error.message.includes(`pid ${Deno.pid}`), error.message);
    }
    using again = await lockDataDir(dir, { create: true });
    assertExists(again);
  }));

Deno.test("lockDataDir() does not take over a holder's text when it is refused", () =>
  withTempDir(async (dir) => {
    using first = await lockDataDir(dir, { create: true });
    assertExists(first);
    await Deno.writeTextFile(lockFile(dir), "not a pid");
    const error = await assertRejects(() => lockDataDir(dir, { create: false }), DataDirBusyError);
    assertEquals(error.holderPid, undefined);
    assertEquals(await Deno.readTextFile(lockFile(dir)), "not a pid");
  }));

Deno.test("lockDataDir() takes the file that is there, not one that was removed meanwhile", () =>
  withTempDir(async (dir) => {
    using old = await lockDataDir(dir, { create: true });
    assertExists(old);
    await Deno.remove(lockFile(dir));
    // On Windows a file that is open keeps its name, so nobody can take the directory from its holder.
    using fresh = WINDOWS ? undefined : await lockDataDir(dir, { create: true });
    if (!WINDOWS) assertExists(fresh);
    await assertRejects(() => lockDataDir(dir, { create: true }), DataDirBusyError);
  }));

Deno.test("whoever may not use a data directory is told what it takes", () => {
  assertEquals([null, 0, 1000].map(permissionHint), [
    " (run as Administrator, or as the service)",
    " (needs CAP_DAC_OVERRIDE where a directory is another user's)",
    "",
  ]);
});
