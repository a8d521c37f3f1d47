/**
 * Whether the device is under load: more handshake messages than it can compute.
 *
 * A kernel looks at the length of its queue. We have none, so messages whose MAC1 was right are counted in a
 * leaky bucket that drains as fast as the provider computes. When it overflows the device is under load, and for
 * a second after.
 *
 * @see WireGuard paper §5.3.
 */

import { UNDER_LOAD_MS } from "./constants.ts";

/** Leaky bucket of handshake messages. */
export class LoadMeter {
  readonly #perSecond: number;
  #level = 0;
  #drainedAt = 0;
  #overflowedAt = -Infinity;

  /** @param perSecond Handshake messages the device computes in a second; half a second's worth may come at once. */
  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** Counts a message. @returns Whether the device is under load. */
  count(now: number): boolean {
    const drained = (now - this.#drainedAt) * this.#perSecond / 1000;
    const most = this.#perSecond / 2;
    this.#level = Math.max(0, this.#level - drained) + 1;
    this.#drainedAt = now;
    if (this.#level > most) {
      // Not above the brim, or a long flood would be felt long after its end.
      this.#level = most;
      this.#overflowedAt = now;
    }
    return this.isUnderLoad(now);
  }

  /** Whether there was an overflow in the last second. */
  isUnderLoad(now: number): boolean {
    return now - this.#overflowedAt < UNDER_LOAD_MS;
  }
}
