import { assert, assertEquals } from "@std/assert";
import { REJECT_AFTER_MESSAGES, REPLAY_WINDOW_PACKETS } from "../../../core/wireguard/constants.ts";
import { ReplayWindow } from "../../../core/wireguard/replay_window.ts";
import { seededTest } from "../../support/seeded_random.ts";

const WINDOW = BigInt(REPLAY_WINDOW_PACKETS);

function accept(window: ReplayWindow, counter: bigint): boolean {
  return window.accept(Number(counter >> 32n), Number(counter & 0xffff_ffffn));
}

/** The rule, said plainly. */
class NaiveWindow {
  readonly #seen = new Set<bigint>();
  #greatest = 0n;

  accept(counter: bigint): boolean {
    if (counter >= REJECT_AFTER_MESSAGES || counter + WINDOW <= this.#greatest || this.#seen.has(counter)) {
      return false;
    }
    this.#seen.add(counter);
    if (counter > this.#greatest) this.#greatest = counter;
    return true;
  }
}

Deno.test("ReplayWindow takes each counter once, in any order within 8192", () => {
  const window = new ReplayWindow();
  for (let counter = WINDOW - 1n; counter >= 0n; counter--) assert(accept(window, counter), `${counter}`);
  for (let counter = 0n; counter < WINDOW; counter++) assert(!accept(window, counter), `${counter}`);
});

Deno.test("ReplayWindow reaches back exactly 8191 counters", () => {
  for (const greatest of [WINDOW, 31n + WINDOW, 2n ** 32n, 2n ** 32n + 5n, 2n ** 60n]) {
    const window = new ReplayWindow();
    assert(accept(window, greatest));
    assertEquals(accept(window, greatest - WINDOW), false, `${greatest}`);
    assertEquals(accept(window, greatest - WINDOW + 1n), true, `${greatest}`);
  }
});

Deno.test("ReplayWindow refuses counters from 2^64 - 2^13 - 1 on", () => {
  const window = new ReplayWindow();
  assertEquals(accept(window, REJECT_AFTER_MESSAGES), false);
  assertEquals(accept(window, 2n ** 64n - 1n), false);
  assertEquals(accept(window, REJECT_AFTER_MESSAGES - 1n), true);
  assertEquals(accept(window, REJECT_AFTER_MESSAGES - 1n), false);
});

seededTest("ReplayWindow agrees with a naive one on random walks", (random) => {
  const steps = [1n, 2n, 31n, 32n, 33n, 64n, WINDOW - 1n, WINDOW, WINDOW + 1n, WINDOW * 2n, 2n ** 33n];
  for (let round = 0; round < 20; round++) {
    const [window, naive] = [new ReplayWindow(), new NaiveWindow()];
    let front = random.pick([0n, 2n ** 32n - 100n, 2n ** 53n - 100n, 2n ** 61n]);
    for (let i = 0; i < 3_000; i++) {
      if (random.below(3) === 0) front += random.pick(steps);
      const back = BigInt(random.below(random.pick([4, 40, 9_000])));
      const counter = front > back ? front - back : 0n;
      assertEquals(accept(window, counter), naive.accept(counter), `${counter} behind ${front}`);
    }
  }
});
