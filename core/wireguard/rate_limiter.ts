/**
 * How many handshake messages a source may send: a token bucket for each /32 and /64.
 *
 * Asked only for sources that have shown by a cookie that they own their address, or a forged source could use
 * up the tokens of a real one.
 *
 * @see WireGuard paper §5.3; Linux `drivers/net/wireguard/ratelimiter.c` for rate and burst.
 */

import { HANDSHAKES_BURST, HANDSHAKES_PER_SECOND } from "./constants.ts";
import type { PeerEndpoint } from "./endpoint.ts";

/** Cost of one message; a bucket fills by one per millisecond. */
const COST_MS = 1000 / HANDSHAKES_PER_SECOND;
const FULL_MS = COST_MS * HANDSHAKES_BURST;
/** Buckets not touched for this long are full again and need not be kept. */
const FORGET_AFTER_MS = 1000;
/** Sources beyond this many at once are refused, which bounds the memory an attacker can take. */
const MAX_SOURCES = 65_536;

interface Bucket {
  tokensMs: number;
  filledAt: number;
}

/** Token buckets by source. */
export class RateLimiter {
  readonly #buckets = new Map<string, Bucket>();
  #sweptAt = -Infinity;

  /** Takes a token of the source; false when it has none left. */
  allow(source: PeerEndpoint, now: number): boolean {
    this.#sweep(now);
    const key = source.sourceKey();
    const bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      if (this.#buckets.size >= MAX_SOURCES) return false;
      this.#buckets.set(key, { tokensMs: FULL_MS - COST_MS, filledAt: now });
      return true;
    }
    bucket.tokensMs = Math.min(FULL_MS, bucket.tokensMs + now - bucket.filledAt);
    bucket.filledAt = now;
    if (bucket.tokensMs < COST_MS) return false;
    bucket.tokensMs -= COST_MS;
    return true;
  }

  /** How many sources it remembers. */
  get size(): number {
    return this.#buckets.size;
  }

  #sweep(now: number): void {
    if (now - this.#sweptAt < FORGET_AFTER_MS) return;
    this.#sweptAt = now;
    for (const [key, bucket] of this.#buckets) {
      if (now - bucket.filledAt >= FORGET_AFTER_MS) this.#buckets.delete(key);
    }
  }
}
