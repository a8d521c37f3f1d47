import { assertEquals, assertThrows } from "@std/assert";
import { median, quantile, summarise } from "../../bench/support/statistics.ts";

const HUNDRED = Array.from({ length: 100 }, (_, i) => 100 - i);

Deno.test("quantile() takes the sample of the nearest rank", async (t) => {
  const rows = [
    { name: "the only sample", samples: [7], q: 0.99, want: 7 },
    { name: "the lower of two in the middle", samples: [4, 1, 3, 2], q: 0.5, want: 2 },
    { name: "the middle of an odd number", samples: [9, 1, 5], q: 0.5, want: 5 },
    { name: "99 of 1 to 100", samples: HUNDRED, q: 0.99, want: 99 },
    { name: "the largest of fewer than 100", samples: HUNDRED.slice(0, 99), q: 0.99, want: 100 },
    { name: "no rank too high by rounding", samples: HUNDRED, q: 0.07, want: 7 },
    { name: "all", samples: HUNDRED, q: 1, want: 100 },
    { name: "the smallest", samples: HUNDRED, q: 1e-300, want: 1 },
    { name: "numbers, not texts", samples: [10, 9, 100], q: 1, want: 100 },
  ];
  for (const { name, samples, q, want } of rows) {
    await t.step(name, () => assertEquals(quantile(samples, q), want));
  }
});

Deno.test("quantile() leaves the samples in their order", () => {
  const samples = [3, 1, 2];
  median(samples);
  assertEquals(samples, [3, 1, 2]);
});

Deno.test("quantile() refuses what has no answer", () => {
  assertThrows(() => quantile([], 0.5), RangeError, "at least one sample");
  assertThrows(() => quantile([1, NaN], 0.5), RangeError, "not a number");
  for (const q of [0, -1, 1.01, NaN]) assertThrows(() => quantile([1], q), RangeError, "not above 0");
});

Deno.test("summarise() gives count, ends and quantiles", () => {
  assertEquals(summarise(HUNDRED), { count: 100, min: 1, p50: 50, p99: 99, max: 100 });
});
