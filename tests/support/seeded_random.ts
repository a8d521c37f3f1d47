/** Random input that can be had again: a test that fails names its seed, `ZLAYER_TEST_SEED` repeats it. */

/** Numbers from a seed (mulberry32); see {@linkcode withSeed}. */
export class SeededRandom {
  #state: number;

  constructor(readonly seed: number) {
    this.#state = seed >>> 0;
  }

  /** 32 random bits. */
  u32(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let z = this.#state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return (z ^ (z >>> 14)) >>> 0;
  }

  /** 64 random bits. */
  u64(): bigint {
    return this.bits(64);
  }

  /** Up to 128 random bits. */
  bits(count: number): bigint {
    let value = 0n;
    for (let have = 0; have < count; have += 32) value = (value << 32n) | BigInt(this.u32());
    return BigInt.asUintN(count, value);
  }

  /** 0 to `limit` - 1. */
  below(limit: number): number {
    return Math.floor((this.u32() / 2 ** 32) * limit);
  }

  /** True once in `n` times. */
  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  /** One of the values. */
  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!;
  }

  /** The value under its key, or nothing half of the time. */
  maybe<K extends string, V>(key: K, value: V): { [P in K]?: V } {
    return this.oneIn(2) ? {} : { [key]: value } as { [P in K]: V };
  }

  /** Random bytes. */
  bytes(length: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length }, () => this.below(256));
  }

  /** Text of up to `maxLength` characters of the alphabet, printable ASCII unless given. */
  text(maxLength: number, alphabet?: string): string {
    const characters = [...alphabet ?? String.fromCharCode(...Array.from({ length: 94 }, (_, i) => 33 + i))];
    return Array.from({ length: this.below(maxLength + 1) }, () => this.pick(characters)).join("");
  }
}

/** Runs a test body with the seed of `ZLAYER_TEST_SEED`, or a fresh one; what it throws or rejects names it. */
export function withSeed<R extends void | Promise<void>>(body: (random: SeededRandom) => R): R {
  const given = Deno.env.get("ZLAYER_TEST_SEED");
  const seed = given === undefined ? crypto.getRandomValues(new Uint32Array(1))[0]! : Number(given);
  const fail = (cause: unknown): never => {
    throw new Error(`failed with ZLAYER_TEST_SEED=${seed}: ${(cause as Error).message}`, { cause });
  };
  try {
    const result = body(new SeededRandom(seed));
    return (result instanceof Promise ? result.catch(fail) : result) as R;
  } catch (cause) {
    return fail(cause);
  }
}

/** Registers a test that gets random numbers. */
export function seededTest(name: string, run: (random: SeededRandom) => void | Promise<void>): void {
  Deno.test(name, async () => await withSeed<void | Promise<void>>(run));
}
