/**
 * Which counters of a keypair were seen: a ring of bits behind the greatest one.
 *
 * A counter is u64 on the wire and two u32 halves here, so that the hot path needs no `bigint` and allocates
 * nothing. The ring is twice the window, so words ahead of it can be cleared without touching the window.
 *
 * @see WireGuard paper §5.4.6; RFC 6479.
 */

import { REPLAY_WINDOW_PACKETS } from "./constants.ts";

const RING_WORDS = REPLAY_WINDOW_PACKETS * 2 / 32;
const RING_MASK = RING_WORDS - 1;
const TWO_32 = 2 ** 32;
/** {@linkcode REJECT_AFTER_MESSAGES} in halves. */
const REJECT_HIGH = 0xffff_ffff;
const REJECT_LOW = 0xffff_dfff;

/** Sliding window of 8,192 counters. */
export class ReplayWindow {
  readonly #ring = new Uint32Array(RING_WORDS);
  #greatestHigh = 0;
  #greatestLow = 0;

  /**
   * Takes a counter whose message was authentic.
   *
   * @param high Upper half, 0 to 2^32-1.
   * @param low Lower half, 0 to 2^32-1.
   * @returns False if it was taken before, is too old to tell, or is past the limit of a keypair.
   */
  accept(high: number, low: number): boolean {
    if (high === REJECT_HIGH && low >= REJECT_LOW) return false;
    // Loses precision only for differences far beyond the window.
    const ahead = (high - this.#greatestHigh) * TWO_32 + (low - this.#greatestLow);
    if (ahead > 0) this.#advance(high, low);
    else if (-ahead >= REPLAY_WINDOW_PACKETS) return false;
    const word = (low >>> 5) & RING_MASK;
    const bit = 1 << (low & 31);
    const seen = this.#ring[word]!;
    if ((seen & bit) !== 0) return false;
    this.#ring[word] = seen | bit;
    return true;
  }

  #advance(high: number, low: number): void {
    const from = this.#greatestLow >>> 5;
    const words = (high - this.#greatestHigh) * (TWO_32 / 32) + ((low >>> 5) - from);
    if (words >= RING_WORDS) this.#ring.fill(0);
    else for (let i = 1; i <= words; i++) this.#ring[(from + i) & RING_MASK] = 0;
    this.#greatestHigh = high;
    this.#greatestLow = low;
  }
}
