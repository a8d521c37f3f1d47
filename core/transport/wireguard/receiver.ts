/** From the sockets to the TUN: receive, find the session, decrypt in place, check, hand to the coalescer. */

import {
  MESSAGE_TRANSPORT,
  TAG_BYTES,
  TRANSPORT_HEADER_BYTES,
  TRANSPORT_OVERHEAD_BYTES,
} from "../../wireguard/constants.ts";
import type { Device } from "../../wireguard/device.ts";
import type { PeerEndpoint } from "../../wireguard/endpoint.ts";
import type { Session } from "../../wireguard/transport_path.ts";
import { type Arena, INBOX, INBOX_BYTES, RECEIPT_BYTES } from "./arena.ts";
import type { Coalescer } from "./coalescer.ts";
import type { ArenaCipher } from "./crypto.ts";
import type { DatagramPort } from "./plane_system.ts";
import { SourceCache } from "./source_cache.ts";

/** Receipts before the other direction has its turn. */
const BUDGET = 64;
/** Most datagrams of one receipt: the least useful one has 32 bytes, but nobody sends 2,000 keepalives at once. */
const MAX_DATAGRAMS = 2048;

/** What a receiver works with. */
export interface ReceiverParts {
  readonly arena: Arena;
  readonly device: Device;
  readonly cipher: ArenaCipher;
  readonly coalescer: Coalescer;
}

/** See the module. */
export class Receiver {
  readonly #parts: ReceiverParts;
  readonly #sources = { 4: new SourceCache(4), 6: new SourceCache(6) };
  // The run under way: authentic messages of one session, one behind the other.
  #session: Session | undefined;
  #index = 0;
  #runBytes = 0;
  #hasData = false;
  #packets = 0;
  readonly #offsets = new Uint32Array(MAX_DATAGRAMS);
  readonly #lengths = new Uint32Array(MAX_DATAGRAMS);
  /** Messages that were received before, or too late to tell. */
  replayed = 0;
  /** The socket of a receipt that was not said to be more than one message; undefined during any other. */
  #lone: DatagramPort | undefined;

  constructor(parts: ReceiverParts) {
    this.#parts = parts;
  }

  /** Receives until nothing is left or the room is used up. @returns Whether there was anything. */
  pump(port: DatagramPort, now: number): boolean {
    let at = INBOX;
    const last = INBOX + INBOX_BYTES - RECEIPT_BYTES;
    let count = 0;
    for (; count < BUDGET && at <= last; count++) {
      const bytes = port.receive(at, RECEIPT_BYTES);
      if (bytes < 0) break;
      // Anybody may send an empty one, which must not end the batch.
      if (bytes === 0) continue;
      this.#handle(port, at, bytes, now);
      at += (bytes + 15) & ~15;
    }
    // The room is used again from its start by the next call.
    this.#parts.coalescer.flush();
    return count > 0;
  }

  #handle(port: DatagramPort, at: number, bytes: number, now: number): void {
    const source = this.#sources[port.family].endpointOf(port);
    const end = at + bytes;
    const step = port.segmentBytes;
    this.#lone = step >= bytes ? port : undefined;
    for (let datagram = at; datagram < end; datagram += step) {
      const length = Math.min(step, end - datagram);
      if (!this.#receive(datagram, length, source, now)) {
        this.#finishRun(source, now);
        const copy = this.#parts.arena.bytes.slice(datagram, datagram + length);
        this.#onControl(copy, source, now);
      }
    }
    this.#finishRun(source, now);
  }

  /** @returns False for what the device has to look at as a whole: handshakes, and what it counts as dropped. */
  #receive(at: number, length: number, source: PeerEndpoint, now: number): boolean {
    const { arena: { view }, cipher, device } = this.#parts;
    if (length < TRANSPORT_OVERHEAD_BYTES || view.getUint32(at, true) !== MESSAGE_TRANSPORT) return false;
    const index = view.getUint32(at + 4, true);
    if (this.#session === undefined || index !== this.#index || this.#packets === MAX_DATAGRAMS) {
      this.#finishRun(source, now);
      const session = device.lookupReceive(index);
      if (session === undefined || !session.keypair.canReceive(now)) return false;
      this.#session = session;
      this.#index = index;
    }
    const { keypair } = this.#session;
    const low = view.getUint32(at + 8, true);
    const high = view.getUint32(at + 12, true);
    const text = at + TRANSPORT_HEADER_BYTES;
    if (!cipher.open(keypair.receiveKey, high, low, text, length - TRANSPORT_HEADER_BYTES)) {
      this.#lone?.doubtReceipt?.();
      return false;
    }
    if (!keypair.replay.accept(high, low)) {
      this.replayed++;
      return true;
    }
    this.#runBytes += length;
    const available = length - TRANSPORT_HEADER_BYTES - TAG_BYTES;
    if (available > 0) {
      this.#hasData = true;
      this.#offsets[this.#packets] = text;
      this.#lengths[this.#packets++] = available;
    }
    return true;
  }

  /** Reports the run and hands its packets on. */
  #finishRun(source: PeerEndpoint, now: number): void {
    const session = this.#session;
    if (session === undefined) return;
    const { arena, device, coalescer } = this.#parts;
    const count = this.#packets;
    this.#session = undefined;
    this.#packets = 0;
    if (this.#runBytes > 0) {
      device.noteReceived({ session, source, bytes: this.#runBytes, hasData: this.#hasData }, now);
    }
    this.#runBytes = 0;
    this.#hasData = false;
    for (let i = 0; i < count; i++) {
      const at = this.#offsets[i]!;
      const length = device.acceptPacket(session.peer, arena.bytes, at, this.#lengths[i]!);
      if (length > 0) coalescer.add(at, length);
    }
  }

  #onControl(datagram: Uint8Array, source: PeerEndpoint, now: number): void {
    this.onOutputs(this.#parts.device.handleUdp(datagram, source, now), source);
  }

  /** Told what the device wants done about what was no data of a session, and where that came from. */
  onOutputs: (outputs: ReturnType<Device["takeOutputs"]>, source: PeerEndpoint) => void = () => {};
}
