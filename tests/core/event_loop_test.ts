import { assertEquals } from "@std/assert";
import { othersTurn } from "../../core/event_loop.ts";

/** @returns How many rounds a turn had in which each took so long; the last one of these times goes on. */
async function roundsOf(timesMs: readonly number[]): Promise<number> {
  let [now, count] = [0, 0];
  const round = (): Promise<void> => {
    now += timesMs[Math.min(count++, timesMs.length - 1)]!;
    return Promise.resolve();
  };
  await othersTurn({ now: () => now, round });
  return count;
}

Deno.test("othersTurn() ends early where rounds are timers, also when the first of them was short", async () => {
  assertEquals(await roundsOf([1]), 2);
  assertEquals(await roundsOf([0.1, 1]), 4);
});

Deno.test("othersTurn() has all its rounds where one of them had something to do", async () => {
  assertEquals(await roundsOf([0.002]), 64);
  assertEquals(await roundsOf([1, 0.002]), 64);
});
