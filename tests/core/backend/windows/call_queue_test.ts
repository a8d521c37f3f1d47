import { assert, assertEquals, assertRejects } from "@std/assert";
import { CallQueue, type Leave } from "../../../../core/backend/windows/call_queue.ts";
import { FakeClock } from "../../../support/fake_clock.ts";

const late = (): Error => new Error("late");

Deno.test("CallQueue lets so many through, and the next one in order when one leaves", async () => {
  const queue = new CallQueue(2, new FakeClock());
  const first = queue.enter();
  assert(first !== undefined && queue.enter() !== undefined);
  assertEquals(queue.enter(), undefined);
  const turns: string[] = [];
  const wait = (name: string): Promise<Leave> =>
    queue.wait(undefined, late).then((leave) => {
      turns.push(name);
      return leave;
    });
  const waiting = [wait("a"), wait("b")];
  assertEquals(queue.length, 2);
  first();
  const a = await waiting[0]!;
  assertEquals([turns, queue.enter()], [["a"], undefined]);
  a();
  (await waiting[1]!)();
  assertEquals([turns, queue.length], [["a", "b"], 0]);
  assert(queue.enter() !== undefined, "a place that nobody waited for is free");
});

Deno.test("who waits in a CallQueue for longer than it may is late, and takes no place", async () => {
  const clock = new FakeClock();
  const queue = new CallQueue(1, clock);
  const leave = queue.enter()!;
  const waiting = assertRejects(() => queue.wait(clock.monotonicMs() + 100, late), Error, "late");
  clock.advance(99);
  assertEquals(queue.length, 1);
  clock.advance(1);
  await waiting;
  leave();
  assert(queue.enter() !== undefined);
});

Deno.test("a CallQueue that sends everybody away leaves no timer", async () => {
  const clock = new FakeClock();
  const queue = new CallQueue(1, clock);
  queue.enter();
  const waiting = [queue.wait(undefined, late), queue.wait(clock.monotonicMs() + 100, late)];
  queue.refuseAll(() => new Error("closed"));
  for (const one of waiting) await assertRejects(() => one, Error, "closed");
  assertEquals([queue.length, clock.pendingTimers], [0, 0]);
});
