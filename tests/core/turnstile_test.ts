import { assertEquals, assertRejects } from "@std/assert";
import { slicedBreath, Turnstile } from "../../core/turnstile.ts";
import { unixTest } from "../support/unix_test.ts";

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

/** Breathes at the given times. @returns How many rounds each breath took. */
async function rounds(times: readonly number[], roundMs = 0): Promise<number[]> {
  let now = 0;
  let count = 0;
  const round = (): Promise<void> => {
    count++;
    now += roundMs;
    return Promise.resolve();
  };
  const breathe = slicedBreath({ now: () => now, round });
  const counts: number[] = [];
  for (now of times) {
    count = 0;
    await breathe();
    counts.push(count);
  }
  return counts;
}

Deno.test("slicedBreath() does nothing until a millisecond has passed since the last time", async () => {
  assertEquals(await rounds([0, 0.5, 2, 7, 7.9, 100]), [64, 0, 64, 64, 0, 64]);
});

Deno.test("slicedBreath() is over after two rounds in which the thread slept", async () => {
  assertEquals(await rounds([0, 10], 0.98), [2, 2]);
  assertEquals(await rounds([0], 0.6), [64]);
});

unixTest(
  "slicedBreath() lets what has come in by a socket be read, though the thread never sleeps",
  async () => {
    const path = await Deno.makeTempFile({ prefix: "zt" });
    await Deno.remove(path);
    using listener = Deno.listen({ transport: "unix", path });
    const [accepted, client] = await Promise.all([
      listener.accept(),
      Deno.connect({ transport: "unix", path }),
    ]);
    using server = accepted;
    using _ = client;
    // Its own clock, or a busy machine might end the breath early.
    let now = 0;
    const breathe = slicedBreath({ now: () => now });
    for (let i = 0; i < 100; i++) {
      let heard = false;
      const reading = server.read(new Uint8Array(8)).then(() => heard = true);
      await client.write(Uint8Array.of(i));
      now += 10; // work that came before the breath
      await breathe();
      assertEquals(heard, true, `byte ${i}`);
      await reading;
    }
  },
);
