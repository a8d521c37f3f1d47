/**
 * Handshake messages in and out: which are answered, what they change, what they make known.
 *
 * An initiation or response is looked at in the order of what the look costs: MAC1, then under load MAC2 and the
 * rate of its source, then the X25519 operations.
 *
 * @see WireGuard paper §5.3, §5.4.2 to §5.4.4; §6.1 and §6.4 for when initiations are sent.
 */

import { compareBytes, hex, wipe } from "./bytes.ts";
import { INITIATION_INTERVAL_MS, KEY_BYTES, REKEY_TIMEOUT_MS } from "./constants.ts";
import type { DeviceContext } from "./context.ts";
import type { PeerEndpoint } from "./endpoint.ts";
import { Initiator, Responder, type SessionKeys, type StaticKeys } from "./handshake.ts";
import { Keypair, type KeypairFields } from "./keypair.ts";
import { decodeCookieReply, decodeInitiation, decodeResponse, type Initiation } from "./messages.ts";
import type { DropReason } from "./output.ts";
import type { Peer } from "./peer.ts";

/** Handshakes of a device. */
export class HandshakeExchange {
  readonly #context: DeviceContext;

  constructor(context: DeviceContext) {
    this.#context = context;
  }

  /**
   * Sends an initiation unless one went out, or was answered, in the last 5 s.
   *
   * @param options `isRetry`: an attempt by timer. All others start counting the 90 s anew.
   */
  initiate(peer: Peer, now: number, options: { readonly isRetry: boolean }): void {
    if (!options.isRetry) peer.timers.handshakeWanted(now);
    if (now - peer.handshakeSentAt < REKEY_TIMEOUT_MS) {
      // We answered an initiation of the peer meanwhile. Should that come to nothing, ours is still wanted.
      if (options.isRetry) peer.timers.handshakeInitiated(now);
      return;
    }
    const own = this.#context.identity;
    if (own === undefined || peer.endpoint === undefined) return;
    peer.dropHandshake();
    this.#shareStatic(own, peer);
    const localIndex = this.#context.receivers.allocate({ peer, keypair: undefined });
    const ephemeralPrivate = this.#context.randomBytes(KEY_BYTES);
    const timestamp = this.#context.timestamps.next();
    const started = Initiator.start(this.#context.crypto.handshake, { own, peer }, {
      ephemeralPrivate,
      timestamp,
      sender: localIndex,
    });
    if (started === undefined) {
      this.#context.receivers.release(localIndex);
      return this.#context.drop("invalidHandshake");
    }
    peer.handshake = { initiator: started.handshake, localIndex };
    peer.timers.handshakeInitiated(now);
    this.#send(peer, started.message, now);
  }

  /**
   * Whether a handshake message is worth computing for; if not, it was counted and perhaps answered by a cookie.
   */
  admits(datagram: Uint8Array, source: PeerEndpoint, now: number): boolean {
    const { identity, load, limiter } = this.#context;
    if (identity === undefined) return this.#refuse("noIdentity");
    if (!identity.cookies.hasValidMac1(datagram)) return this.#refuse("invalidMac1");
    if (!load.count(now)) return true;
    if (!identity.cookies.hasValidMac2(datagram, source, now)) {
      const bytes = identity.cookies.reply(datagram, source, now);
      this.#context.emit({ kind: "datagram", endpoint: source, bytes });
      return this.#refuse("cookieSent");
    }
    return limiter.allow(source, now) || this.#refuse("rateLimited");
  }

  /** Answers an initiation that was admitted. */
  receiveInitiation(datagram: Uint8Array, source: PeerEndpoint, now: number): void {
    const decoded = decodeInitiation(datagram);
    if (!decoded.ok) return this.#context.drop(decoded.reason);
    const own = this.#context.identity;
    if (own === undefined) return this.#context.drop("noIdentity");
    const responder = Responder.open(this.#context.crypto.handshake, own, decoded.message);
    if (responder === undefined) return this.#context.drop("invalidHandshake");
    const peer = this.#initiatorOf(responder, own, now);
    if (typeof peer === "string") this.#context.drop(peer);
    else this.#respond({ responder, own, peer }, { initiation: decoded.message, source, now });
    if (typeof peer !== "string") peer.rxBytes += datagram.length;
    responder.wipe();
  }

  /**
   * Completes our handshake by a response that was admitted.
   *
   * @returns The peer there is a session with now, which has to be told by a message under it.
   */
  receiveResponse(datagram: Uint8Array, source: PeerEndpoint, now: number): Peer | undefined {
    const decoded = decodeResponse(datagram);
    if (!decoded.ok) return this.#dropped(decoded.reason);
    const peer = this.#context.receivers.get(decoded.message.receiver)?.peer;
    const handshake = peer?.handshake;
    if (peer === undefined || handshake?.localIndex !== decoded.message.receiver) {
      return this.#dropped("unknownIndex");
    }
    const own = this.#context.identity;
    if (own === undefined) return this.#dropped("noIdentity");
    const keys = handshake.initiator.complete(decoded.message, { own, peer });
    if (keys === undefined) return this.#dropped("invalidHandshake");
    handshake.initiator.wipe();
    peer.handshake = undefined;
    this.#install({ peer, keys }, {
      localIndex: handshake.localIndex,
      remoteIndex: decoded.message.sender,
      isInitiator: true,
      isPreferred: isGreater(own, peer),
      createdAt: now,
    });
    peer.rxBytes += datagram.length;
    peer.timers.anyReceived(now);
    this.#context.roam(peer, source);
    this.completed(peer, now);
    return peer;
  }

  /** Keeps the cookie of a reply for the next initiation or response to that peer. */
  receiveCookieReply(datagram: Uint8Array, now: number): void {
    const decoded = decodeCookieReply(datagram);
    if (!decoded.ok) return this.#context.drop(decoded.reason);
    const receiver = this.#context.receivers.get(decoded.message.receiver);
    if (receiver === undefined) return this.#context.drop("unknownIndex");
    if (!receiver.peer.cookies.consume(decoded.message, now)) this.#context.drop("invalidHandshake");
  }

  /** Both sides are known to have the keys of a session. */
  completed(peer: Peer, now: number): void {
    peer.timers.handshakeComplete();
    peer.isRenewing = false;
    peer.lastHandshakeAt = now;
    peer.lastHandshakeUnixMs = this.#context.wallClockMs();
    this.#context.emit({ kind: "session", peer });
  }

  /** The peer that proved to have sent an initiation, or why it is not answered. */
  #initiatorOf(responder: Responder, own: StaticKeys, now: number): Peer | DropReason {
    const peer = this.#context.peers.get(hex(responder.claimedStatic));
    if (peer === undefined) return "unknownPeer";
    this.#shareStatic(own, peer);
    const timestamp = peer.staticShared && responder.finish(peer.staticShared);
    if (timestamp === undefined) return "invalidHandshake";
    if (compareBytes(timestamp, peer.latestTimestamp) <= 0) return "replayedInitiation";
    if (now - peer.initiationAcceptedAt < INITIATION_INTERVAL_MS) return "initiationFlood";
    peer.latestTimestamp.set(timestamp);
    peer.initiationAcceptedAt = now;
    return peer;
  }

  #respond(
    { responder, own, peer }: {
      readonly responder: Responder;
      readonly own: StaticKeys;
      readonly peer: Peer;
    },
    { initiation, source, now }: {
      readonly initiation: Initiation;
      readonly source: PeerEndpoint;
      readonly now: number;
    },
  ): void {
    const localIndex = this.#context.receivers.allocate({ peer, keypair: undefined });
    const ephemeralPrivate = this.#context.randomBytes(KEY_BYTES);
    const response = responder.respond(peer, { ephemeralPrivate, sender: localIndex });
    if (response === undefined) {
      this.#context.receivers.release(localIndex);
      return this.#context.drop("invalidHandshake");
    }
    this.#install({ peer, keys: response.keys }, {
      localIndex,
      remoteIndex: initiation.sender,
      isInitiator: false,
      isPreferred: !isGreater(own, peer),
      createdAt: now,
    });
    peer.timers.anyReceived(now);
    this.#context.roam(peer, source);
    this.#send(peer, response.message, now);
  }

  /** Makes a keypair of session keys, which are zeroed, and gives it its index. */
  #install(
    { peer, keys }: { readonly peer: Peer; readonly keys: SessionKeys },
    fields: Omit<KeypairFields, "sendKey" | "receiveKey">,
  ): void {
    const keypair = new Keypair({
      ...fields,
      sendKey: this.#context.crypto.packet.importKey(keys.send),
      receiveKey: this.#context.crypto.packet.importKey(keys.receive),
    });
    wipe(keys.send, keys.receive);
    this.#context.receivers.replace(fields.localIndex, { peer, keypair });
    peer.keypairs.add(keypair);
    peer.timers.sessionDerived(fields.createdAt);
  }

  /** Computed with the first handshake and then kept, so that a thousand peers can be added at once. */
  #shareStatic(own: StaticKeys, peer: Peer): void {
    peer.staticShared ??= this.#context.crypto.handshake.x25519(own.privateKey, peer.publicKey);
  }

  #send(peer: Peer, message: Uint8Array, now: number): void {
    if (peer.endpoint === undefined) return;
    peer.cookies.addMacs(message, now);
    peer.handshakeSentAt = now;
    peer.txBytes += message.length;
    peer.timers.anySent(now);
    this.#context.emit({ kind: "datagram", endpoint: peer.endpoint, bytes: message });
  }

  #refuse(reason: DropReason): false {
    this.#context.drop(reason);
    return false;
  }

  #dropped(reason: DropReason): undefined {
    this.#context.drop(reason);
    return undefined;
  }
}

/** An order of the two sides that both agree on, for when both initiate at once. */
function isGreater(own: StaticKeys, peer: Peer): boolean {
  return compareBytes(own.publicKey, peer.publicKey) > 0;
}
