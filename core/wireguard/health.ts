/** Whether a peer is healthy, judged by its last handshake. */

import { REJECT_AFTER_TIME_MS } from "./constants.ts";

/**
 * Whether the last handshake with a peer is less than 180 s old: its session is then still of use.
 *
 * @param lastHandshakeAt Time of the last handshake in ms, undefined for never.
 * @param now The same clock now.
 */
export function isPeerHealthy(lastHandshakeAt: number | undefined, now: number): boolean {
  return lastHandshakeAt !== undefined && now - lastHandshakeAt < REJECT_AFTER_TIME_MS;
}
