/**
 * Receiver indices: random u32 numbers that datagrams name sessions and handshakes by.
 *
 * Open addressing with linear probing. The indices are random, so their low bits are the hash, and a lookup
 * allocates nothing, which a `Map` with numbers of 32 bits as keys cannot promise.
 *
 * @see WireGuard paper §5.4.2.
 */

const LEAST_CAPACITY = 64;

/** Values by u32 index. */
export class IndexTable<T> {
  readonly #randomU32: () => number;
  #keys = new Uint32Array(LEAST_CAPACITY);
  #values: (T | undefined)[] = new Array(LEAST_CAPACITY).fill(undefined);
  #mask = LEAST_CAPACITY - 1;
  #size = 0;

  /** @param randomU32 Unpredictable numbers, 0 to 2^32-1. */
  constructor(randomU32: () => number) {
    this.#randomU32 = randomU32;
  }

  /** How many indices are taken. */
  get size(): number {
    return this.#size;
  }

  /** Takes an index that nobody has. */
  allocate(value: T): number {
    let index = this.#randomU32();
    while (this.get(index) !== undefined) index = this.#randomU32();
    // At most half full, so that probing is short.
    if ((this.#size + 1) * 2 > this.#keys.length) this.#grow();
    this.#insert(index, value);
    this.#size++;
    return index;
  }

  /** The value of an index, or undefined. @param index 0 to 2^32-1. */
  get(index: number): T | undefined {
    let slot = index & this.#mask;
    for (;;) {
      const value = this.#values[slot];
      if (value === undefined || this.#keys[slot] === index) return value;
      slot = (slot + 1) & this.#mask;
    }
  }

  /** Gives an index another value. @throws {TypeError} If it is not taken. */
  replace(index: number, value: T): void {
    const slot = this.#find(index);
    if (slot < 0) throw new TypeError(`receiver index ${index} is not taken`);
    this.#values[slot] = value;
  }

  /** Gives an index back; one that is not taken is fine. */
  release(index: number): void {
    let hole = this.#find(index);
    if (hole < 0) return;
    this.#values[hole] = undefined;
    this.#size--;
    // Entries behind the hole that probed past it move up, or they would not be found any more.
    for (
      let slot = (hole + 1) & this.#mask;
      this.#values[slot] !== undefined;
      slot = (slot + 1) & this.#mask
    ) {
      const home = this.#keys[slot]! & this.#mask;
      if (((slot - home) & this.#mask) < ((slot - hole) & this.#mask)) continue;
      this.#keys[hole] = this.#keys[slot]!;
      this.#values[hole] = this.#values[slot];
      this.#values[slot] = undefined;
      hole = slot;
    }
  }

  #find(index: number): number {
    let slot = index & this.#mask;
    while (this.#values[slot] !== undefined) {
      if (this.#keys[slot] === index) return slot;
      slot = (slot + 1) & this.#mask;
    }
    return -1;
  }

  #insert(index: number, value: T): void {
    let slot = index & this.#mask;
    while (this.#values[slot] !== undefined) slot = (slot + 1) & this.#mask;
    this.#keys[slot] = index;
    this.#values[slot] = value;
  }

  #grow(): void {
    const keys = this.#keys;
    const values = this.#values;
    this.#keys = new Uint32Array(keys.length * 2);
    this.#values = new Array(keys.length * 2).fill(undefined);
    this.#mask = keys.length * 2 - 1;
    for (const [slot, value] of values.entries()) {
      if (value !== undefined) this.#insert(keys[slot]!, value);
    }
  }
}
