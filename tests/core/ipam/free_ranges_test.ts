import { assert, assertEquals } from "@std/assert";
import { FreeRanges } from "../../../core/ipam/free_ranges.ts";
import { seededTest } from "../../support/seeded_random.ts";

Deno.test("FreeRanges is empty when its end comes before its start", () => {
  const ranges = new FreeRanges(1n, 0n);
  assertEquals(ranges.lowest(), undefined);
  assertEquals(ranges.take(1n), false);
  assertEquals(ranges.free(1n), false);
});

Deno.test("FreeRanges joins gaps that come to touch", () => {
  const ranges = new FreeRanges(0n, 9n);
  for (let n = 0n; n < 10n; n++) assert(ranges.take(n));
  assertEquals(ranges.gaps, 0);
  for (const [n, gaps] of [[3n, 1], [5n, 2], [4n, 1], [0n, 2], [9n, 3], [2n, 3], [6n, 3]] as const) {
    assert(ranges.free(n));
    assertEquals(ranges.gaps, gaps, `after ${n}`);
  }
  const lowest = [0n, 1n, 4n, 7n].map((from) => ranges.lowest(from));
  assertEquals(lowest, [0n, 2n, 4n, 9n]);
  assertEquals(ranges.lowest(10n), undefined);
  assertEquals([ranges.free(10n), ranges.free(-1n), ranges.free(4n)], [false, false, false]);
});

seededTest("FreeRanges agrees with a plain set", (random) => {
  for (let round = 0; round < 40; round++) {
    const first = BigInt(random.below(5));
    const last = first + BigInt(random.below(30)) - 1n;
    const ranges = new FreeRanges(first, last);
    const model = new Set<bigint>();
    for (let n = first; n <= last; n++) model.add(n);
    for (let step = 0; step < 300; step++) {
      const n = BigInt(random.below(40) - 2);
      const taking = random.below(2) === 0;
      const want = taking ? model.delete(n) : n >= first && n <= last && !model.has(n);
      if (!taking && want) model.add(n);
      assertEquals(taking ? ranges.take(n) : ranges.free(n), want, `${taking ? "take" : "free"} ${n}`);
      const from = BigInt(random.below(40) - 2);
      const lowest = [...model].filter((one) => one >= from).sort((a, b) => Number(a - b))[0];
      assertEquals(ranges.lowest(from), lowest, `lowest from ${from}`);
      assertEquals(ranges.isFree(n), model.has(n));
    }
  }
});

Deno.test("FreeRanges of 2^128 numbers costs what its gaps cost", () => {
  // What is counted one by one would never be done.
  const ranges = new FreeRanges(0n, (1n << 128n) - 1n);
  for (let n = 0n; n < 20000n; n++) assert(ranges.take(n * 2n));
  assertEquals(ranges.gaps, 20000);
  for (let n = 0n; n < 20000n; n++) assert(ranges.free(n * 2n));
  assertEquals(ranges.gaps, 1);
  assertEquals(ranges.lowest(), 0n);
});
