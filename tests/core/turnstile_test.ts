import { assertEquals, assertRejects } from "@std/assert";
import { Turnstile } from "../../core/turnstile.ts";

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
