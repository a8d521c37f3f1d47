/** Random values that a seed repeats: a failed fuzz test prints its seed, `ZLAYER_TEST_SEED` runs it again. */

/** A generator; see {@linkcode withSeed}. */
export class SeededRandom {
  #state: number;

  constructor(readonly seed: number) {
    this.#state = seed >>> 0;
  }

  /** 32 random bits (mulberry32). */
  u32(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let z = this.#state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return (z ^ (z >>> 14)) >>> 0;
  }

  /** 0 to `limit` - 1. */
  below(limit: number): number {
    return this.u32() % limit;
  }

  /** True once in `n` times. */
  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  /** 64 random bits. */
  u64(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32());
  }

  /** Random bytes. */
  bytes(length: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length }, () => this.u32() & 0xff);
  }

  /** Random text of printable ASCII. */
  text(maxLength: number): string {
    return String.fromCharCode(
      ...Array.from({ length: this.below(maxLength + 1) }, () => 33 + this.below(94)),
    );
  }

  /** One of the values. */
  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!;
  }

  /** The value, or nothing half of the time. */
  maybe<K extends string, V>(key: K, value: V): { [P in K]?: V } {
    return this.oneIn(2) ? {} : { [key]: value } as { [P in K]: V };
  }
}

/** Runs a fuzz test; what it throws names the seed. */
export function withSeed(body: (random: SeededRandom) => void): void {
  const given = Deno.env.get("ZLAYER_TEST_SEED");
  const seed = given === undefined ? crypto.getRandomValues(new Uint32Array(1))[0]! : Number(given);
  try {
    body(new SeededRandom(seed));
  } catch (cause) {
    throw new Error(`failed with ZLAYER_TEST_SEED=${seed}: ${(cause as Error).message}`, { cause });
  }
}
