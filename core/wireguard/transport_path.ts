/**
 * Transport data in and out, in two ways over the same rules.
 *
 * The data path of a device with batches and its own cipher takes counters by {@linkcode TransportPath.nextSendSlot}
 * and finds sessions by {@linkcode TransportPath.lookupReceive}, does the cipher itself on memory of its own, and
 * reports once for each batch. All others hand in single packets and datagrams.
 *
 * @see WireGuard paper §5.4.6, §6.
 */

import { EMPTY } from "./bytes.ts";
import {
  KEEPALIVE_TIMEOUT_MS,
  REJECT_AFTER_TIME_MS,
  REKEY_TIMEOUT_MS,
  TAG_BYTES,
  TRANSPORT_HEADER_BYTES,
  TRANSPORT_OVERHEAD_BYTES,
} from "./constants.ts";
import type { DeviceContext, Receiver } from "./context.ts";
import type { AeadKey } from "./crypto_provider.ts";
import type { PeerEndpoint } from "./endpoint.ts";
import type { HandshakeExchange } from "./exchange.ts";
import { packetLength } from "./ip_packet.ts";
import type { Keypair } from "./keypair.ts";
import { decodeTransport, encodeTransportHeader, paddedLength } from "./messages.ts";
import type { DropReason } from "./output.ts";
import type { Peer } from "./peer.ts";
import { UnreachableAnswers } from "./unreachable.ts";

/** A session found by its receiver index. */
export interface Session extends Receiver {
  readonly keypair: Keypair;
}

/** What a batch of messages to a peer is made with. One object, without meaning until it is filled for a batch. */
export class SendSlot {
  peer!: Peer;
  keypair!: Keypair;
  key!: AeadKey;
  endpoint!: PeerEndpoint;
  /** Counter of the first message, upper half; each further message has the next counter. */
  counterHigh = 0;
  /** Counter of the first message, lower half. */
  counterLow = 0;
  /** Receiver index to write into the headers. */
  remoteIndex = 0;
}

/** What a batch of authentic messages of one session amounts to. One object, filled again for each batch. */
export interface ReceiveBatch {
  session: Session;
  /** Where the last of them came from. */
  source: PeerEndpoint;
  /** Bytes of UDP payload. */
  bytes: number;
  /** Whether any of them was more than a keepalive. */
  hasData: boolean;
}

/** Age at which the initiator of a session renews it even if it only receives. */
const RENEW_ON_RECEIVE_MS = REJECT_AFTER_TIME_MS - KEEPALIVE_TIMEOUT_MS - REKEY_TIMEOUT_MS;

/** Transport data of a device. */
export class TransportPath {
  readonly #context: DeviceContext;
  readonly #exchange: HandshakeExchange;
  readonly #answers = new UnreachableAnswers();

  constructor(context: DeviceContext, exchange: HandshakeExchange) {
    this.#context = context;
    this.#exchange = exchange;
  }

  /**
   * Takes counters for a batch of messages to a peer.
   *
   * @param slot Filled on success.
   * @returns False when there is no session or no endpoint: {@linkcode TransportPath.stage} the packets.
   */
  nextSendSlot(peer: Peer, count: number, now: number, slot: SendSlot): boolean {
    const keypair = peer.keypairs.current;
    if (keypair === undefined || peer.endpoint === undefined || !keypair.canSend(now)) return false;
    slot.counterHigh = keypair.counterHigh;
    slot.counterLow = keypair.counterLow;
    if (!keypair.takeCounters(count)) return false;
    slot.peer = peer;
    slot.keypair = keypair;
    slot.key = keypair.sendKey;
    slot.remoteIndex = keypair.remoteIndex;
    slot.endpoint = peer.endpoint;
    return true;
  }

  /** Reports that a batch was sent. @param bytes Of UDP payload. */
  noteSent(slot: SendSlot, bytes: number, now: number): void {
    this.#sent(slot.peer, slot.keypair, { bytes, hasData: true, now });
  }

  /** Sends a packet as soon as there is a session, and starts a handshake if there is none. The packet is copied. */
  stage(peer: Peer, packet: Uint8Array, now: number): void {
    if (peer.endpoint === undefined) return this.#reject(packet, "noEndpoint", now);
    this.#context.drop("stagedOverflow", peer.staged.push(packet));
    this.flush(peer, now);
  }

  /** Finds the session of a transport data message. @param index u32. */
  lookupReceive(index: number): Session | undefined {
    const receiver = this.#context.receivers.get(index);
    return receiver?.keypair === undefined ? undefined : receiver as Session;
  }

  /** Reports authentic messages that were not replayed; before {@linkcode TransportPath.acceptPacket}. */
  noteReceived(batch: ReceiveBatch, now: number): void {
    const { session: { peer, keypair }, source, bytes, hasData } = batch;
    peer.rxBytes += bytes;
    this.#context.roam(peer, source);
    if (peer.keypairs.confirm(keypair)) {
      // The handshake of the peer has won; a response to one of ours could only be late.
      peer.dropHandshake();
      this.#exchange.completed(peer, now);
      this.flush(peer, now);
    }
    this.#renewOnReceive(peer, now);
    peer.timers.anyReceived(now);
    if (hasData) peer.timers.dataReceived(now);
  }

  /**
   * Checks a decrypted packet.
   *
   * @param available Bytes at `offset`, padding included.
   * @returns Its length without padding; 0 if it is malformed or its source is not the peer's, and was counted.
   */
  acceptPacket(peer: Peer, buffer: Uint8Array, offset: number, available: number): number {
    const length = packetLength(buffer, offset, available);
    if (length === 0) {
      this.#context.drop("malformedPacket");
    } else if (this.#context.allowedIps.lookupSource(buffer, offset, length) !== peer) {
      this.#context.drop("sourceNotAllowed");
      return 0;
    }
    return length;
  }

  /** Drops a packet and says so to who sent it. */
  #reject(packet: Uint8Array, reason: DropReason, now: number): void {
    this.#context.drop(reason);
    const bytes = this.#answers.answer(packet, now);
    if (bytes !== undefined) this.#context.emit({ kind: "rejection", bytes });
  }

  /** Sends a packet of the TUN to the peer that owns its destination. */
  sendPacket(packet: Uint8Array, now: number): void {
    const peer = this.#context.allowedIps.lookupDestination(packet, 0, packet.length);
    if (peer === undefined) this.#reject(packet, "noRoute", now);
    else this.stage(peer, packet, now);
  }

  /** Handles a transport data message, which is decrypted in place. */
  receive(datagram: Uint8Array, source: PeerEndpoint, now: number): void {
    const decoded = decodeTransport(datagram);
    if (!decoded.ok) return this.#context.drop(decoded.reason);
    const { receiver, counterHigh, counterLow, encryptedPacket } = decoded.message;
    const session = this.lookupReceive(receiver);
    if (session === undefined) return this.#context.drop("unknownIndex");
    const { peer, keypair } = session;
    if (!keypair.canReceive(now)) return this.#context.drop("expiredKeypair");
    if (!this.#context.crypto.packet.open(keypair.receiveKey, counterHigh, counterLow, encryptedPacket)) {
      return this.#context.drop("forged");
    }
    if (!keypair.replay.accept(counterHigh, counterLow)) return this.#context.drop("replayed");
    const available = encryptedPacket.length - TAG_BYTES;
    this.noteReceived({ session, source, bytes: datagram.length, hasData: available > 0 }, now);
    if (available === 0) return;
    const length = this.acceptPacket(peer, encryptedPacket, 0, available);
    if (length > 0) this.#context.emit({ kind: "packet", peer, bytes: encryptedPacket.subarray(0, length) });
  }

  /** Sends what is staged, or an empty message if nothing is. */
  sendKeepalive(peer: Peer, now: number): void {
    if (peer.endpoint === undefined) return;
    if (peer.staged.size === 0) peer.staged.push(EMPTY);
    this.flush(peer, now);
  }

  /** Sends what is staged if there is a session, or starts a handshake. */
  flush(peer: Peer, now: number): void {
    if (peer.staged.size === 0) return;
    const keypair = peer.keypairs.current;
    if (keypair === undefined || !keypair.canSend(now)) {
      return this.#exchange.initiate(peer, now, { isRetry: false });
    }
    for (const packet of peer.staged.takeAll()) this.#seal(peer, packet, now);
  }

  #seal(peer: Peer, packet: Uint8Array, now: number): void {
    const keypair = peer.keypairs.current;
    const { counterHigh, counterLow } = keypair ?? { counterHigh: 0, counterLow: 0 };
    if (keypair === undefined || peer.endpoint === undefined || !keypair.takeCounters(1)) return;
    const padded = paddedLength(packet.length, this.#context.mtuBytes);
    const datagram = new Uint8Array(padded + TRANSPORT_OVERHEAD_BYTES);
    encodeTransportHeader(datagram, { receiver: keypair.remoteIndex, counterHigh, counterLow });
    datagram.set(packet, TRANSPORT_HEADER_BYTES);
    const text = datagram.subarray(TRANSPORT_HEADER_BYTES);
    this.#context.crypto.packet.seal(keypair.sendKey, counterHigh, counterLow, text);
    this.#context.emit({ kind: "datagram", endpoint: peer.endpoint, bytes: datagram });
    this.#sent(peer, keypair, { bytes: datagram.length, hasData: packet.length > 0, now });
  }

  #sent(
    peer: Peer,
    keypair: Keypair,
    { bytes, hasData, now }: { readonly bytes: number; readonly hasData: boolean; readonly now: number },
  ): void {
    peer.txBytes += bytes;
    if (hasData) peer.timers.dataSent(now);
    peer.timers.anySent(now);
    if (keypair.needsRekey(now)) this.#exchange.initiate(peer, now, { isRetry: false });
  }

  #renewOnReceive(peer: Peer, now: number): void {
    const current = peer.keypairs.current;
    if (current === undefined || !current.isInitiator || peer.isRenewing) return;
    if (now - current.createdAt < RENEW_ON_RECEIVE_MS) return;
    peer.isRenewing = true;
    this.#exchange.initiate(peer, now, { isRetry: false });
  }
}
