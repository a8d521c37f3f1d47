/**
 * Random delays of timers. Not a secret, and drawn while packets are handled, so a fast generator is enough; only
 * its seed comes from a real source.
 */

import { REKEY_JITTER_MAX_MS } from "./constants.ts";

/**
 * Makes a source of delays, 0 to 333 ms.
 *
 * @param seed Any u32 from a random source.
 * @see George Marsaglia, "Xorshift RNGs", 2003.
 */
export function jitterSource(seed: number): () => number {
  let state = seed | 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % (REKEY_JITTER_MAX_MS + 1);
  };
}
