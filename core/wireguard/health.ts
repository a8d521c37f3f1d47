/** Whether a peer is healthy: the one place that judges. Pure. */

import { REJECT_AFTER_TIME_MS } from "./constants.ts";

/** What a peer is judged by. */
export interface PeerSigns {
  /** Time of the last handshake in ms, undefined for never. */
  readonly lastHandshakeAt: number | undefined;
  /** Whether another one was tried since for 90 s, without answer. */
  readonly hasGivenUp: boolean;
  /** Whether there should have been a newer one: keepalives are on, or something was sent to the peer. */
  readonly isExpected: boolean;
}

/**
 * Whether the last handshake with a peer is less than 180 s old: its session is then still of use.
 *
 * @param lastHandshakeAt Time of the last handshake in ms, undefined for never.
 * @param now The same clock now.
 */
export function isPeerHealthy(lastHandshakeAt: number | undefined, now: number): boolean {
  return lastHandshakeAt !== undefined && now - lastHandshakeAt < REJECT_AFTER_TIME_MS;
}

/**
 * Judges a peer: healthy while its last handshake is less than 180 s old and none has failed since. When it
 * gets older, that says something only if a newer one was to be expected. WireGuard is silent by design, so a
 * peer without keepalive that nobody sends to stays what it was.
 *
 * @param before The verdict so far, undefined for none: then an old handshake is none.
 */
export function judgePeer(signs: PeerSigns, now: number, before: boolean | undefined): boolean {
  if (signs.hasGivenUp || signs.lastHandshakeAt === undefined) return false;
  if (isPeerHealthy(signs.lastHandshakeAt, now)) return true;
  return !signs.isExpected && before === true;
}
