/** What a device wants done, and what it counts. */

import type { MalformedReason } from "./messages.ts";
import type { PeerEndpoint } from "./endpoint.ts";
import type { Peer } from "./peer.ts";

/**
 * One thing for the caller to do.
 *
 * - `datagram`: send the bytes by UDP.
 * - `packet`: write the bytes to the TUN; they lie in the datagram that was handled.
 * - `rejection`: write the bytes to the TUN, an ICMP message about a packet that goes nowhere.
 * - `session`: news, a handshake with the peer was completed.
 * - `roamed`: news, the peer was heard from at another endpoint.
 * - `unreachable`: news, a handshake was tried for 90 s without answer.
 */
export type DeviceOutput =
  | { readonly kind: "datagram"; readonly endpoint: PeerEndpoint; readonly bytes: Uint8Array }
  | { readonly kind: "packet"; readonly peer: Peer; readonly bytes: Uint8Array }
  | { readonly kind: "rejection"; readonly bytes: Uint8Array }
  | { readonly kind: "session" | "roamed" | "unreachable"; readonly peer: Peer };

/** Why something was dropped. None of these is an error: the network may bring anything. */
export type DropReason =
  | MalformedReason
  /** The device has no private key yet. */
  | "noIdentity"
  /** MAC1 is wrong: not for our public key. */
  | "invalidMac1"
  /** Under load and without a cookie; a cookie reply was sent. */
  | "cookieSent"
  /** Under load, and the source has used up its tokens. */
  | "rateLimited"
  /** A handshake message or a cookie reply that does not decrypt. */
  | "invalidHandshake"
  /** An initiation of somebody who is no peer. */
  | "unknownPeer"
  /** An initiation whose timestamp is not greater than the last one. */
  | "replayedInitiation"
  /** An initiation too soon after another one of the same peer. */
  | "initiationFlood"
  /** A receiver index that is nobody's, or not of this kind. */
  | "unknownIndex"
  /** Transport data under a keypair of 180 s or more. */
  | "expiredKeypair"
  /** Transport data with a wrong tag. */
  | "forged"
  /** Transport data that was received before, or is too old to tell. */
  | "replayed"
  /** Decrypted bytes that are no IP packet. */
  | "malformedPacket"
  /** A decrypted packet from an address that is not the peer's. */
  | "sourceNotAllowed"
  /** A packet to send that no peer owns the destination of. */
  | "noRoute"
  /** A packet to send to a peer that nobody knows the endpoint of. */
  | "noEndpoint"
  /** A packet that waited for a handshake too long, or behind too many. */
  | "stagedOverflow";

/** How often something was dropped, by reason. */
export type DropCounters = Record<DropReason, number>;

/** Counters at zero. */
export function newDropCounters(): DropCounters {
  return {
    unknownType: 0,
    badLength: 0,
    noIdentity: 0,
    invalidMac1: 0,
    cookieSent: 0,
    rateLimited: 0,
    invalidHandshake: 0,
    unknownPeer: 0,
    replayedInitiation: 0,
    initiationFlood: 0,
    unknownIndex: 0,
    expiredKeypair: 0,
    forged: 0,
    replayed: 0,
    malformedPacket: 0,
    sourceNotAllowed: 0,
    noRoute: 0,
    noEndpoint: 0,
    stagedOverflow: 0,
  };
}
