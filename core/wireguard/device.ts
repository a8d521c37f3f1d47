/**
 * A WireGuard device without sockets, TUN, clock or randomness of its own: what comes in, and when, goes through
 * methods; what is to be done comes back as outputs.
 *
 * `now` is a monotonic clock in milliseconds that also counts while the machine sleeps. It never goes back.
 *
 *     handleUdp(), handleTun()   a datagram or packet came in
 *     tick()                     the deadline has passed
 *     nextSendSlot() …           the same for data paths that batch and bring their own cipher
 *
 * @see WireGuard paper; `output.ts` for what comes back.
 */

import type { IpPrefix } from "../ip/prefix.ts";
import { equalBytes, hex } from "./bytes.ts";
import { KEY_BYTES, MESSAGE_COOKIE_REPLY, MESSAGE_INITIATION, MESSAGE_RESPONSE } from "./constants.ts";
import { DeviceContext, type DeviceEnvironment } from "./context.ts";
import type { HeapEntry } from "./deadline_heap.ts";
import type { PeerEndpoint } from "./endpoint.ts";
import { HandshakeExchange } from "./exchange.ts";
import { messageType } from "./messages.ts";
import type { DeviceOutput, DropCounters } from "./output.ts";
import { Peer } from "./peer.ts";
import type { TimerAction } from "./timers.ts";
import { type ReceiveBatch, type SendSlot, type Session, TransportPath } from "./transport_path.ts";

/** How a device is set up. */
export interface DeviceOptions {
  /** Packets are not padded past it. 0 for no limit. */
  readonly mtuBytes?: number;
  /** Handshake messages per second from which on the device is under load; as many as its provider computes. */
  readonly handshakesPerSecond?: number;
}

/** How a peer is set up. */
export interface PeerOptions {
  /** 32 bytes, copied. */
  readonly presharedKey?: Uint8Array;
  readonly endpoint?: PeerEndpoint;
  /** 0 for off, to 65535. */
  readonly persistentKeepaliveSeconds?: number;
  readonly allowedIps?: readonly IpPrefix[];
}

/** About what the slowest provider, noble, computes on half a core. */
const DEFAULT_HANDSHAKES_PER_SECOND = 100;

/** A WireGuard device. */
export class Device {
  readonly #context: DeviceContext;
  readonly #exchange: HandshakeExchange;
  readonly #transport: TransportPath;
  readonly #wakeups = new Map<Peer, HeapEntry<Peer>>();

  constructor(environment: DeviceEnvironment, options: DeviceOptions = {}) {
    this.#context = new DeviceContext(environment, {
      mtuBytes: options.mtuBytes ?? 0,
      handshakesPerSecond: options.handshakesPerSecond ?? DEFAULT_HANDSHAKES_PER_SECOND,
    });
    this.#exchange = new HandshakeExchange(this.#context);
    this.#transport = new TransportPath(this.#context, this.#exchange);
  }

  // Configuration. What it makes the device send is left for takeOutputs(). Peers, sessions and slots that a data
  // path holds are not to be used again after a change.

  /** Public key, 32 bytes; undefined before there is a private one. */
  get publicKey(): Uint8Array | undefined {
    return this.#context.identity?.publicKey;
  }

  /** How often something was dropped, by reason. */
  get drops(): Readonly<DropCounters> {
    return this.#context.drops;
  }

  /** Changes the limit of padding. */
  set mtuBytes(mtuBytes: number) {
    this.#context.mtuBytes = mtuBytes;
  }

  /**
   * Changes the private key. Sessions end for sending and new handshakes start with the next packet; a peer that
   * has the new public key is removed.
   *
   * @param privateKey 32 bytes, copied; undefined for none.
   */
  setPrivateKey(privateKey: Uint8Array | undefined): void {
    if (privateKey !== undefined) checkKey(privateKey, "private key");
    const before = this.#context.identity?.privateKey;
    if (before && privateKey && equalBytes(before, privateKey)) return;
    this.#context.setIdentity(privateKey);
    const same = this.publicKey && this.peer(this.publicKey);
    if (same !== undefined) this.removePeer(same);
    for (const peer of this.peers()) {
      peer.forgetStaticShared();
      peer.dropHandshake();
      peer.keypairs.stopSending();
      peer.handshakeSentAt = -Infinity;
    }
  }

  /** All peers, in the order they were added. */
  peers(): Peer[] {
    return [...this.#context.peers.values()];
  }

  /** The peer with that public key. */
  peer(publicKey: Uint8Array): Peer | undefined {
    return this.#context.peers.get(hex(publicKey));
  }

  /**
   * Adds a peer.
   *
   * @param publicKey 32 bytes, copied.
   * @throws {RangeError} If a key has not 32 bytes, the peer is there already, or it is the device itself.
   */
  addPeer(publicKey: Uint8Array, now: number, options: PeerOptions = {}): Peer {
    checkKey(publicKey, "public key");
    if (this.peer(publicKey) !== undefined) throw new RangeError("the device has this peer already");
    if (this.publicKey && equalBytes(publicKey, this.publicKey)) {
      throw new RangeError("the public key of the peer is that of the device");
    }
    const peer = this.#newPeer(publicKey);
    if (options.presharedKey) this.setPresharedKey(peer, options.presharedKey);
    for (const prefix of options.allowedIps ?? []) this.addAllowedIp(peer, prefix);
    if (options.endpoint) peer.endpoint = options.endpoint;
    this.setPersistentKeepalive(peer, options.persistentKeepaliveSeconds ?? 0, now);
    return peer;
  }

  /** Removes a peer and zeroes its secrets. Twice is fine. */
  removePeer(peer: Peer): void {
    if (this.peer(peer.publicKey) !== peer) return;
    this.#context.peers.delete(hex(peer.publicKey));
    this.#context.allowedIps.removeAll(peer);
    const wakeup = this.#wakeups.get(peer);
    if (wakeup !== undefined) this.#context.wakeups.remove(wakeup);
    this.#wakeups.delete(peer);
    peer.endpoint = undefined;
    peer.wipe();
  }

  /** Changes the preshared key, from the next handshake on. @param presharedKey 32 bytes, copied. */
  setPresharedKey(peer: Peer, presharedKey: Uint8Array): void {
    checkKey(presharedKey, "preshared key");
    peer.presharedKey.set(presharedKey);
  }

  /** Changes where a peer is looked for; what waits for it is sent. */
  setEndpoint(peer: Peer, endpoint: PeerEndpoint, now: number): void {
    const isFirst = peer.endpoint === undefined;
    peer.endpoint = endpoint;
    if (isFirst && peer.persistentKeepaliveSeconds > 0) this.#transport.sendKeepalive(peer, now);
    else this.#transport.flush(peer, now);
  }

  /** Changes the interval of persistent keepalives; the first one is sent at once. @param seconds 0 for off. */
  setPersistentKeepalive(peer: Peer, seconds: number, now: number): void {
    // Told the same again and again, it would count from now each time and never get there.
    if (seconds === peer.persistentKeepaliveSeconds) return;
    const isNew = peer.persistentKeepaliveSeconds === 0 && seconds > 0;
    peer.persistentKeepaliveSeconds = seconds;
    peer.timers.setPersistentKeepalive(seconds, now);
    if (isNew) this.#transport.sendKeepalive(peer, now);
  }

  /** Gives a prefix to a peer; a peer that had it loses it. */
  addAllowedIp(peer: Peer, prefix: IpPrefix): void {
    this.#context.allowedIps.insert(prefix, peer);
  }

  /** Takes a prefix from a peer. @returns False if it was not the peer's. */
  removeAllowedIp(peer: Peer, prefix: IpPrefix): boolean {
    return this.#context.allowedIps.remove(prefix, peer);
  }

  /** Prefixes of a peer, without host bits, in the order they were given. */
  allowedIps(peer: Peer): IpPrefix[] {
    return this.#context.allowedIps.prefixes(peer);
  }

  /** Removes all peers and zeroes all secrets. */
  close(): void {
    for (const peer of this.peers()) this.removePeer(peer);
    this.#context.setIdentity(undefined);
  }

  // Input.

  /** Handles a datagram. @param datagram Decrypted in place: the outputs may point into it. */
  handleUdp(datagram: Uint8Array, source: PeerEndpoint, now: number): DeviceOutput[] {
    const type = messageType(datagram);
    if (typeof type === "string") {
      this.#context.drop(type);
    } else if (type === MESSAGE_INITIATION || type === MESSAGE_RESPONSE) {
      if (this.#exchange.admits(datagram, source, now)) this.#handleHandshake(datagram, source, now);
    } else if (type === MESSAGE_COOKIE_REPLY) {
      this.#exchange.receiveCookieReply(datagram, now);
    } else {
      this.#transport.receive(datagram, source, now);
    }
    return this.takeOutputs();
  }

  /** Handles a packet of the TUN, which is copied. */
  handleTun(packet: Uint8Array, now: number): DeviceOutput[] {
    this.#transport.sendPacket(packet, now);
    return this.takeOutputs();
  }

  /** When {@linkcode Device.tick} is to be called next, monotonic ms; `Infinity` for not before other input. */
  get deadline(): number {
    return this.#context.wakeups.deadline;
  }

  /** Does what is due. Early, late and needless calls are fine. */
  tick(now: number): DeviceOutput[] {
    for (let entry = this.#context.wakeups.first; entry && entry.deadline <= now;) {
      const peer = entry.value;
      for (const action of peer.timers.takeDue(now)) this.#act(peer, action, now);
      this.#context.wakeups.set(entry, peer.timers.deadline);
      entry = this.#context.wakeups.first;
    }
    return this.takeOutputs();
  }

  // For data paths with batches and a cipher of their own; see transport_path.ts.

  /** The peer that owns the destination of a packet. */
  lookupSend(buffer: Uint8Array, offset: number, available: number): Peer | undefined {
    return this.#context.allowedIps.lookupDestination(buffer, offset, available);
  }

  /** Counts a packet that no peer owns the destination of, and answers it. @param packet Its start is enough. */
  refuse(packet: Uint8Array, now: number): void {
    this.#transport.sendPacket(packet, now);
  }

  /** Takes counters for a batch; false when its packets have to be staged. `slot` is filled. */
  nextSendSlot(peer: Peer, count: number, now: number, slot: SendSlot): boolean {
    return this.#transport.nextSendSlot(peer, count, now, slot);
  }

  /** Reports a batch that was sent. */
  noteSent(slot: SendSlot, bytes: number, now: number): void {
    this.#transport.noteSent(slot, bytes, now);
  }

  /** Keeps a packet until there is a session, and sees to that there will be one. */
  stage(peer: Peer, packet: Uint8Array, now: number): void {
    this.#transport.stage(peer, packet, now);
  }

  /** The session of a receiver index, u32. Ask its keypair whether it `canReceive` and its `replay` window. */
  lookupReceive(index: number): Session | undefined {
    return this.#transport.lookupReceive(index);
  }

  /** Reports a batch of authentic messages. */
  noteReceived(batch: ReceiveBatch, now: number): void {
    this.#transport.noteReceived(batch, now);
  }

  /** Length of a decrypted packet without padding, 0 if it is to be dropped. */
  acceptPacket(peer: Peer, buffer: Uint8Array, offset: number, available: number): number {
    return this.#transport.acceptPacket(peer, buffer, offset, available);
  }

  /** Whether reports and staging have left something to do. */
  get hasOutputs(): boolean {
    return this.#context.hasOutputs;
  }

  /** Hands over what is left to do. */
  takeOutputs(): DeviceOutput[] {
    return this.#context.takeOutputs();
  }

  #newPeer(publicKey: Uint8Array): Peer {
    const { wakeups, receivers, jitterMs, crypto, staging } = this.#context;
    const peer: Peer = new Peer(publicKey, crypto, {
      jitterMs,
      staging,
      wakeAt: (deadline) => deadline < entry.deadline && wakeups.set(entry, deadline),
      releaseIndex: (index) => receivers.release(index),
    });
    const entry = wakeups.add(peer);
    this.#wakeups.set(peer, entry);
    this.#context.peers.set(hex(publicKey), peer);
    return peer;
  }

  #handleHandshake(datagram: Uint8Array, source: PeerEndpoint, now: number): void {
    if (messageType(datagram) === MESSAGE_INITIATION) {
      return this.#exchange.receiveInitiation(datagram, source, now);
    }
    const peer = this.#exchange.receiveResponse(datagram, source, now);
    // The responder does not send under the new keys before it has seen a message under them.
    if (peer !== undefined) this.#transport.sendKeepalive(peer, now);
  }

  #act(peer: Peer, action: TimerAction, now: number): void {
    switch (action) {
      case "keepalive":
      case "persistentKeepalive":
        return this.#transport.sendKeepalive(peer, now);
      case "newHandshake":
      case "retransmitHandshake":
        peer.endpoint = peer.endpoint?.withoutLocal();
        return this.#exchange.initiate(peer, now, { isRetry: action === "retransmitHandshake" });
      case "giveUpHandshake":
        peer.dropHandshake();
        this.#context.drop("stagedOverflow", peer.staged.takeAll().length);
        return this.#context.emit({ kind: "unreachable", peer });
      case "zeroKeys":
        return peer.zeroKeys();
    }
  }
}

function checkKey(key: Uint8Array, what: string): void {
  if (key.length !== KEY_BYTES) throw new RangeError(`a ${what} has ${KEY_BYTES} bytes, got ${key.length}`);
}
