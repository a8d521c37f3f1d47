import { assertEquals, assertRejects } from "@std/assert";
import { TimeSlice } from "../../../../core/backend/linux/time_slice.ts";

/** Runs conversations that take `eachMs`, all ready at once. @returns Their numbers, with a bar for a pause. */
async function schedule(count: number, eachMs: number): Promise<string> {
  const events: string[] = [];
  let now = 0;
  const pause = async (): Promise<void> => {
    events.push("|");
    await Promise.resolve();
  };
  const slice = new TimeSlice({ now: () => now, pause });
  const converse = (i: number): void => {
    now += eachMs;
    events.push(String(i));
  };
  await Promise.all(Array.from({ length: count }, (_, i) => slice.run(() => converse(i))));
  return events.join(" ");
}

Deno.test("TimeSlice.run() lets short conversations follow one another", async () => {
  assertEquals(await schedule(5, 1), "0 1 2 3 4");
});

Deno.test("TimeSlice.run() pauses after 5 ms and keeps the order", async () => {
  assertEquals(await schedule(5, 3), "0 1 | 2 3 | 4");
  assertEquals(await schedule(3, 100), "0 | 1 | 2");
});

Deno.test("TimeSlice.run() gives what the conversation gives, its failure too", async () => {
  const slice = new TimeSlice();
  assertEquals(await slice.run(() => 7), 7);
  assertEquals(await slice.run(() => Promise.resolve(7)), 7);
  await assertRejects(() => slice.run(() => Promise.reject(new RangeError("no"))), RangeError, "no");
  await assertRejects(
    () =>
      slice.run(() => {
        throw new RangeError("no");
      }),
    RangeError,
    "no",
  );
});
