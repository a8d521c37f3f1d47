/**
 * Random input that can be had again: a test that fails prints its seed, `ZLAYER_TEST_SEED` repeats it.
 */

/** Numbers from a seed (mulberry32). */
export class SeededRandom {
  #state: number;

  constructor(readonly seed: number) {
    this.#state = seed >>> 0;
  }

  /** An integer of 32 bits, unsigned. */
  uint32(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** An integer from 0 to below `bound`. */
  below(bound: number): number {
    return Math.floor((this.uint32() / 2 ** 32) * bound);
  }

  /** An integer of up to 128 bits, unsigned. */
  bits(count: number): bigint {
    let value = 0n;
    for (let have = 0; have < count; have += 32) value = (value << 32n) | BigInt(this.uint32());
    return BigInt.asUintN(count, value);
  }

  /** One of the items. */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** Bytes. */
  bytes(length: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length }, () => this.below(256));
  }

  /** Text of up to `maxLength` characters taken from `alphabet`. */
  text(alphabet: string, maxLength: number): string {
    const characters = [...alphabet];
    return Array.from({ length: this.below(maxLength + 1) }, () => this.pick(characters)).join("");
  }
}

/** Registers a test that gets random numbers; a failure names the seed. */
export function seededTest(name: string, run: (random: SeededRandom) => void | Promise<void>): void {
  Deno.test(name, async () => {
    const seed = Number(Deno.env.get("ZLAYER_TEST_SEED") ?? Math.floor(Math.random() * 2 ** 32));
    try {
      await run(new SeededRandom(seed));
    } catch (cause) {
      throw new Error(
        `failed with ZLAYER_TEST_SEED=${seed}: ${cause instanceof Error ? cause.message : cause}`,
        {
          cause,
        },
      );
    }
  });
}
