import { assertEquals, assertRejects } from "@std/assert";
import { slicedBreath, Turnstile } from "../../core/turnstile.ts";

/** A breath that the test lets out. */
function scripted(): { breathe: () => Promise<void>; breaths: (() => void)[] } {
  const breaths: (() => void)[] = [];
  return { breathe: () => new Promise<void>((resolve) => breaths.push(resolve)), breaths };
}

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

Deno.test("Turnstile.run() lets work through one by one, in order, with a breath between", async () => {
  const { breathe, breaths } = scripted();
  const turns = new Turnstile(breathe);
  const log: string[] = [];
  const work = ["a", "b", "c"].map((name) =>
    turns.run(() => {
      log.push(name);
      return Promise.resolve(name);
    })
  );
  await settle();
  assertEquals(log, ["a"]);
  breaths.shift()!();
  await settle();
  assertEquals(log, ["a", "b"]);
  breaths.shift()!();
  await settle();
  assertEquals(log, ["a", "b", "c"]);
  assertEquals(await Promise.all(work), ["a", "b", "c"], "replies do not wait for a breath");
});

Deno.test("Turnstile.run() goes on after work that failed", async () => {
  const turns = new Turnstile(() => Promise.resolve());
  const failed = turns.run(() => Promise.reject(new RangeError("planted")));
  const next = turns.run(() => Promise.resolve(1));
  await assertRejects(() => failed, RangeError, "planted");
  assertEquals(await next, 1);
});

/** Breathes at the given times. @returns How many naps each breath took, when naps take what `napMs` gives. */
async function naps(times: readonly number[], napMs: () => number): Promise<number[]> {
  let now = 0;
  let count = 0;
  const breathe = slicedBreath({
    now: () => now,
    nap: () => {
      count++;
      now += napMs();
      return Promise.resolve();
    },
  });
  const counts: number[] = [];
  for (const time of times) {
    now = Math.max(now, time);
    count = 0;
    await breathe();
    counts.push(count);
  }
  return counts;
}

Deno.test("slicedBreath() naps when a millisecond has passed since the last time", async () => {
  assertEquals(await naps([0, 1.5, 2, 7, 7.9, 100], () => 1), [1, 0, 1, 1, 0, 1]);
});

Deno.test("slicedBreath() naps again when a timer comes late, four times at most", async () => {
  const late = [5, 5, 2];
  assertEquals(await naps([0], () => late.shift()!), [3]);
  assertEquals(await naps([0], () => 10), [4]);
});
