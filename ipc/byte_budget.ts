/** A number of bytes that several holders share. */
export class ByteBudget {
  #free: number;

  /** @param bytes Bytes there are. */
  constructor(bytes: number) {
    this.#free = bytes;
  }

  /** Bytes nobody holds. */
  get freeBytes(): number {
    return this.#free;
  }

  /** Takes bytes, or gives back when negative. `false` and nothing taken when there are not enough. */
  take(bytes: number): boolean {
    if (bytes > this.#free) return false;
    this.#free -= bytes;
    return true;
  }
}
