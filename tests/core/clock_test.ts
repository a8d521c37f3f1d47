import { assert, assertEquals } from "@std/assert";
import { systemClock } from "../../core/clock.ts";
import { FakeClock } from "../support/fake_clock.ts";

Deno.test("systemClock() gives plausible values on all three bases", () => {
  const clock = systemClock();
  // Each between two looks at another clock, however long it takes to look. Uptime is in whole seconds.
  const looks: [string, () => number, () => number][] = [
    ["wall", () => Date.now() / 1000, () => clock.wallSeconds()],
    ["monotonic", () => clock.monotonicMs(), () => clock.monotonicMs()],
    ["boot", () => Deno.osUptime(), () => clock.boottimeMs() / 1000],
  ];
  for (const [name, other, ours] of looks) {
    const [before, now, after] = [other(), ours(), other()];
    assert(before - 2 < now && now < after + 2, `${name}: ${now} is not between ${before} and ${after}`);
  }
});

Deno.test("systemClock().after() fires once and can be cancelled", async () => {
  const clock = systemClock();
  const cancel = clock.after(0, () => assert(false, "cancelled timer fired"));
  cancel();
  const { promise, resolve } = Promise.withResolvers<void>();
  // The clock's timer does not keep the event loop alive: another one has to.
  const keepAlive = setTimeout(() => {}, 10_000);
  clock.after(1, resolve);
  await promise;
  clearTimeout(keepAlive);
});

Deno.test("FakeClock fires timers in order of due time and moves all bases", () => {
  const clock = new FakeClock();
  const fired: string[] = [];
  clock.after(20, () => fired.push(`b@${clock.monotonicMs()}`));
  clock.after(10, () => {
    fired.push(`a@${clock.monotonicMs()}`);
    clock.after(5, () => fired.push(`nested@${clock.monotonicMs()}`));
  });
  const cancel = clock.after(15, () => fired.push("cancelled"));
  cancel();
  clock.advance(30);
  assertEquals(fired, ["a@10", "nested@15", "b@20"]);
  assertEquals(clock.monotonicMs(), 30);
  assertEquals(clock.pendingTimers, 0);
});

Deno.test("FakeClock.sleep() leaves monotonic time alone", () => {
  const clock = new FakeClock();
  const wall = clock.wallSeconds();
  const boot = clock.boottimeMs();
  clock.sleep(60_000);
  assertEquals([clock.monotonicMs(), clock.wallSeconds() - wall, clock.boottimeMs() - boot], [0, 60, 60_000]);
});
