/** Randomness that can be replayed: the seed is printed by a failing test and taken from the environment. */

/** A generator of pseudo-random numbers (mulberry32). */
export class SeededRandom {
  #state: number;

  constructor(readonly seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 to 2^32 - 1. */
  u32(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** 0 to `limit` - 1. */
  below(limit: number): number {
    return this.u32() % limit;
  }

  /** One of the items. */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** Random bytes. */
  bytes(length: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length }, () => this.below(256));
  }
}

/** Runs a test body with the seed of `ZLAYER_TEST_SEED`, or a fresh one; a failure names it. */
export async function withSeed(body: (random: SeededRandom) => void | Promise<void>): Promise<void> {
  const given = Deno.env.get("ZLAYER_TEST_SEED");
  const random = new SeededRandom(given === undefined ? Date.now() % 2 ** 32 : Number(given));
  try {
    await body(random);
  } catch (cause) {
    throw new Error(`failed with ZLAYER_TEST_SEED=${random.seed}`, { cause });
  }
}
