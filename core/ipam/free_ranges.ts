/**
 * Which numbers of a span are free, as a sorted list of gaps.
 *
 * Memory and time follow the number of gaps, not of numbers, so that a /8 or an IPv6 /64 costs what its
 * fragmentation costs: taking and freeing are a binary search plus a move within the list.
 */

/** A run of free numbers, both ends included. */
interface FreeRange {
  first: bigint;
  last: bigint;
}

/** Free numbers of a span that starts out wholly free. */
export class FreeRanges {
  /** Sorted, disjoint and never touching each other. */
  readonly #ranges: FreeRange[];

  /** An empty span if `last` is less than `first`. */
  constructor(readonly first: bigint, readonly last: bigint) {
    this.#ranges = last < first ? [] : [{ first, last }];
  }

  /** How many gaps there are: what this object costs. */
  get gaps(): number {
    return this.#ranges.length;
  }

  /** The lowest free number from `from` on. */
  lowest(from: bigint = this.first): bigint | undefined {
    const range = this.#ranges[this.#indexOf(from)];
    if (range === undefined) return undefined;
    return range.first > from ? range.first : from;
  }

  /** Whether the number lies in the span and is free. */
  isFree(number: bigint): boolean {
    return this.lowest(number) === number;
  }

  /** Takes a number; false if it was not free. */
  take(number: bigint): boolean {
    if (!this.isFree(number)) return false;
    const index = this.#indexOf(number);
    const { first, last } = this.#ranges[index]!;
    const rest: FreeRange[] = [];
    if (first < number) rest.push({ first, last: number - 1n });
    if (number < last) rest.push({ first: number + 1n, last });
    this.#ranges.splice(index, 1, ...rest);
    return true;
  }

  /** Frees a number; false if it was free already or lies outside the span. */
  free(number: bigint): boolean {
    if (number < this.first || number > this.last || this.isFree(number)) return false;
    const index = this.#indexOf(number);
    const before = this.#ranges[index - 1];
    const after = this.#ranges[index];
    const joinsBefore = before?.last === number - 1n;
    const joinsAfter = after?.first === number + 1n;
    if (joinsBefore && joinsAfter) {
      before.last = after.last;
      this.#ranges.splice(index, 1);
    } else if (joinsBefore) before.last = number;
    else if (joinsAfter) after.first = number;
    else this.#ranges.splice(index, 0, { first: number, last: number });
    return true;
  }

  /** Index of the first range that ends at or after the number. */
  #indexOf(number: bigint): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#ranges[middle]!.last < number) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
