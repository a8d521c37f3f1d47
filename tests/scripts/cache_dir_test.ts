import { assertEquals, assertThrows } from "@std/assert";
import { cacheDir, locate } from "../../scripts/support/cache_dir.ts";

const ROWS: { name: string; env: Record<string, string>; want: string }[] = [
  {
    name: "XDG_CACHE_HOME first",
    env: { XDG_CACHE_HOME: "/x", HOME: "/h" },
    want: "/x/zlayer-overlayd-test",
  },
  { name: "then HOME", env: { HOME: "/h" }, want: "/h/.cache/zlayer-overlayd-test" },
  { name: "empty and relative values count as unset", env: { XDG_CACHE_HOME: "x", HOME: "" }, want: "" },
  { name: "neither", env: {}, want: "" },
];

Deno.test("locate()", async (t) => {
  for (const { name, env, want } of ROWS) {
    await t.step(name, () => {
      assertEquals(locate((key) => env[key], 7), want || "/var/tmp/zlayer-overlayd-test-7");
    });
  }
});

Deno.test("cacheDir() does not use what another user owns", () => {
  const before = Deno.env.get("XDG_CACHE_HOME");
  const parent = Deno.makeTempDirSync();
  try {
    Deno.env.set("XDG_CACHE_HOME", parent);
    assertEquals(cacheDir(), `${parent}/zlayer-overlayd-test`);
    if (Deno.uid() !== 0) return;
    Deno.chownSync(cacheDir(), 1, 1);
    assertThrows(cacheDir, Deno.errors.PermissionDenied, "belongs to user 1");
  } finally {
    if (before === undefined) Deno.env.delete("XDG_CACHE_HOME");
    else Deno.env.set("XDG_CACHE_HOME", before);
    Deno.removeSync(parent, { recursive: true });
  }
});
