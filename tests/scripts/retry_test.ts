import { assertEquals } from "@std/assert";
import { retry } from "../../scripts/support/retry.ts";

/** Tries a thing that has these problems, one after the other. @returns What came of it, and what was told. */
async function tried(problems: readonly string[]): Promise<{ end: string | undefined; told: string[] }> {
  const left = [...problems];
  const told: string[] = [];
  const end = await retry(() => Promise.resolve(left.shift()), {
    pausesMs: [0, 1],
    onRetry: (problem, pauseMs) => told.push(`${problem}, ${pauseMs}`),
  });
  return { end, told };
}

Deno.test("retry() ends with the first try that goes well", async () => {
  assertEquals(await tried([]), { end: undefined, told: [] });
  assertEquals(await tried(["a"]), { end: undefined, told: ["a, 0"] });
  assertEquals(await tried(["a", "b"]), { end: undefined, told: ["a, 0", "b, 1"] });
});

Deno.test("retry() gives what was wrong at last", async () => {
  assertEquals(await tried(["a", "b", "c", "d"]), { end: "c", told: ["a, 0", "b, 1"] });
});
