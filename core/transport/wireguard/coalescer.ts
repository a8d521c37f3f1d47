/**
 * Joins received TCP segments of one flow, in sequence and with equal headers, into one packet of up to 64 KiB for
 * the TUN: one call, one trip through the kernel's stack.
 *
 * The pieces stay where they were decrypted and go out by one vector. The checksum is left to whoever needs it:
 * that the bytes are the peer's is known from the tag.
 *
 * @see Linux `net/ipv4/tcp_offload.c` for what may be joined.
 */

import { VNET_HEADER_BYTES } from "../../../ffi/linux_tun.ts";
import { type Arena, VNET_OUT } from "./arena.ts";
import { sumPseudoHeader, sumWords } from "./checksum.ts";

/** Where packets go: `TunPort`. */
export interface PacketSink {
  begin(): void;
  add(offset: number, length: number): void;
  write(): boolean;
}

/** Most pieces of one packet. */
export const MAX_PIECES = 128;

const NEEDS_CSUM = 1;
const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;
const TCP = 6;
const TCP_CHECKSUM = 16;
const PSH = 0x08;
const ACK = 0x10;
const MAX_IP_BYTES = 65_535;

/** See the module. */
export class Coalescer {
  readonly #view: DataView;
  readonly #sink: PacketSink;
  /** Packets that the kernel did not take. */
  drops = 0;
  /** The open packet: offset and bytes of its first piece; 0 bytes for none. */
  #first = 0;
  #firstBytes = 0;
  #ipBytes = 0;
  #tcpBytes = 0;
  #segmentBytes = 0;
  #payloadBytes = 0;
  #nextSequence = 0;
  #pieces = 0;
  #isPushed = false;

  constructor(arena: Arena, sink: PacketSink) {
    this.#view = arena.view;
    this.#sink = sink;
  }

  /** Takes a packet, which has to stay where it is until {@linkcode Coalescer.flush}. */
  add(packet: number, length: number): void {
    const ipBytes = this.#tcpOffset(packet, length);
    const tcpBytes = ipBytes === 0 ? 0 : (this.#view.getUint8(packet + ipBytes + 12) >>> 4) * 4;
    const payload = length - ipBytes - tcpBytes;
    const flags = ipBytes === 0 ? 0 : this.#view.getUint8(packet + ipBytes + 13);
    if (ipBytes === 0 || tcpBytes < 20 || payload <= 0 || (flags & ~PSH) !== ACK) {
      this.flush();
      this.#begin(packet, length);
      this.flush();
      return;
    }
    if (this.#firstBytes > 0 && this.#continues(packet, ipBytes, tcpBytes, payload)) {
      this.#sink.add(packet + ipBytes + tcpBytes, payload);
      this.#pieces++;
      this.#payloadBytes += payload;
    } else {
      this.flush();
      this.#begin(packet, length);
      this.#ipBytes = ipBytes;
      this.#tcpBytes = tcpBytes;
      this.#segmentBytes = this.#payloadBytes = payload;
      this.#nextSequence = this.#view.getUint32(packet + ipBytes + 4);
    }
    this.#nextSequence = (this.#nextSequence + payload) >>> 0;
    this.#isPushed = (flags & PSH) !== 0;
    if (this.#isPushed || payload < this.#segmentBytes) this.flush();
  }

  /** Writes the open packet, if there is one. */
  flush(): void {
    if (this.#firstBytes === 0) return;
    this.#firstBytes = 0;
    if (this.#pieces > 1) this.#describe();
    else this.#clearHeader();
    if (!this.#sink.write()) this.drops++;
  }

  #begin(packet: number, length: number): void {
    this.#first = packet;
    this.#firstBytes = length;
    this.#pieces = 1;
    this.#sink.begin();
    this.#sink.add(VNET_OUT, VNET_HEADER_BYTES);
    this.#sink.add(packet, length);
  }

  /** Bytes of the IP header in front of TCP; 0 for anything that is not joined. */
  #tcpOffset(packet: number, length: number): number {
    const view = this.#view;
    const first = view.getUint8(packet);
    if (first === 0x45) {
      if (length < 40 || view.getUint8(packet + 9) !== TCP) return 0;
      // Fragments: more to come, or an offset.
      return (view.getUint16(packet + 6) & 0x3fff) === 0 ? 20 : 0;
    }
    return (first >>> 4) === 6 && length >= 60 && view.getUint8(packet + 6) === TCP ? 40 : 0;
  }

  #continues(packet: number, ipBytes: number, tcpBytes: number, payload: number): boolean {
    if (ipBytes !== this.#ipBytes || tcpBytes !== this.#tcpBytes || payload > this.#segmentBytes) {
      return false;
    }
    const total = ipBytes + tcpBytes + this.#payloadBytes + payload;
    if (total > MAX_IP_BYTES || this.#pieces >= MAX_PIECES - 2) return false;
    const tcp = packet + ipBytes;
    if (this.#view.getUint32(tcp + 4) !== this.#nextSequence) return false;
    return this.#sameIp(packet, ipBytes) && this.#sameTcp(tcp, this.#first + ipBytes, tcpBytes);
  }

  #sameIp(packet: number, ipBytes: number): boolean {
    const view = this.#view;
    const first = this.#first;
    if (ipBytes === 20) {
      return view.getUint16(packet) === view.getUint16(first) &&
        view.getUint16(packet + 6) === view.getUint16(first + 6) &&
        view.getUint8(packet + 8) === view.getUint8(first + 8) &&
        view.getUint32(packet + 12) === view.getUint32(first + 12) &&
        view.getUint32(packet + 16) === view.getUint32(first + 16);
    }
    if (view.getUint32(packet) !== view.getUint32(first)) return false;
    if (view.getUint8(packet + 7) !== view.getUint8(first + 7)) return false;
    return this.#sameWords(packet + 8, first + 8, 32);
  }

  /** Ports, acknowledgement, flags but PSH, window, options. */
  #sameTcp(a: number, b: number, tcpBytes: number): boolean {
    const view = this.#view;
    return view.getUint32(a) === view.getUint32(b) && view.getUint32(a + 8) === view.getUint32(b + 8) &&
      view.getUint16(a + 14) === view.getUint16(b + 14) && this.#sameWords(a + 20, b + 20, tcpBytes - 20);
  }

  #sameWords(a: number, b: number, length: number): boolean {
    for (let i = 0; i < length; i += 4) {
      if (this.#view.getUint32(a + i) !== this.#view.getUint32(b + i)) return false;
    }
    return true;
  }

  #clearHeader(): void {
    this.#view.setUint32(VNET_OUT, 0);
    this.#view.setUint32(VNET_OUT + 4, 0);
    this.#view.setUint32(VNET_OUT + 8, 0);
  }

  /** Says by header and first piece what the whole is. */
  #describe(): void {
    const view = this.#view;
    const packet = this.#first;
    const tcp = packet + this.#ipBytes;
    const tcpLength = this.#tcpBytes + this.#payloadBytes;
    const version = this.#ipBytes === 20 ? 4 : 6;
    if (version === 4) {
      view.setUint16(packet + 2, this.#ipBytes + tcpLength);
      view.setUint16(packet + 10, 0);
      view.setUint16(packet + 10, ~sumWords(view, packet, this.#ipBytes) & 0xffff);
    } else {
      view.setUint16(packet + 4, tcpLength);
    }
    if (this.#isPushed) view.setUint8(tcp + 13, view.getUint8(tcp + 13) | PSH);
    view.setUint16(
      tcp + TCP_CHECKSUM,
      sumPseudoHeader(view, packet, { version, protocol: TCP, length: tcpLength }),
    );
    view.setUint8(VNET_OUT, NEEDS_CSUM);
    view.setUint8(VNET_OUT + 1, version === 4 ? GSO_TCPV4 : GSO_TCPV6);
    view.setUint16(VNET_OUT + 2, this.#ipBytes + this.#tcpBytes, true);
    view.setUint16(VNET_OUT + 4, this.#segmentBytes, true);
    view.setUint16(VNET_OUT + 6, this.#ipBytes, true);
    view.setUint16(VNET_OUT + 8, TCP_CHECKSUM, true);
    view.setUint16(VNET_OUT + 10, 0, true);
  }
}
