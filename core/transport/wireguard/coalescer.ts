/**
 * Joins received TCP segments of one flow, in sequence and with equal headers, into one packet of up to 64 KiB for
 * the TUN, and UDP datagrams of one flow and size into one train: one call, one trip through the kernel's stack.
 *
 * The pieces stay where they were decrypted and go out by one vector. The checksum is left to whoever needs it:
 * that the bytes are the peer's is known from the tag. Who receives a train of datagrams gets them one by one.
 */

import { VNET_HEADER_BYTES } from "../../../ffi/linux_tun.ts";
import { type Arena, VNET_OUT } from "./arena.ts";
import { sumPseudoHeader, sumWords } from "./checksum.ts";
import { PSH, sameHeaders, Segment, TCP, UDP } from "./segment.ts";

/** Where packets go: `TunPort`. */
export interface PacketSink {
  /** Whether it takes TCP that is still to be cut. */
  readonly takesLarge: boolean;
  /** Whether it takes trains of UDP datagrams. */
  readonly takesUdpTrains: boolean;
  begin(): void;
  add(offset: number, length: number): void;
  write(): boolean;
}

/** Most pieces of one packet, its header among them. */
export const MAX_PIECES = 128;

/** Most datagrams of a train: `UDP_MAX_SEGMENTS` before Linux 6.9. */
const MAX_DATAGRAMS = 64;
const NEEDS_CSUM = 1;
const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;
const GSO_UDP_L4 = 5;
const TCP_FLAGS = 13;
const TCP_CHECKSUM = 16;
const UDP_LENGTH = 4;
const UDP_CHECKSUM = 6;
const MAX_IP_BYTES = 65_535;

/** See the module. */
export class Coalescer {
  readonly #view: DataView;
  readonly #sink: PacketSink;
  /** Packets that the kernel did not take. */
  drops = 0;
  /** The open packet: offset of its first piece; its pieces, 0 for none; and what is known of it. */
  #first = 0;
  #pieces = 0;
  #protocol = 0;
  #ipBytes = 0;
  #headerBytes = 0;
  #segmentBytes = 0;
  #payloadBytes = 0;
  #nextSequence = 0;
  #isPushed = false;
  readonly #segment = new Segment();

  constructor(arena: Arena, sink: PacketSink) {
    this.#view = arena.view;
    this.#sink = sink;
  }

  /** Takes a packet, which has to stay where it is until {@linkcode Coalescer.flush}. */
  add(packet: number, length: number): void {
    const segment = this.#segment;
    segment.read(this.#view, packet, length);
    if (
      !this.#sink.takesLarge || segment.protocol === 0 ||
      (segment.protocol === UDP && !this.#sink.takesUdpTrains)
    ) {
      this.flush();
      this.#begin(packet, length);
      this.flush();
      return;
    }
    const { payloadBytes } = segment;
    if (this.#pieces > 0 && this.#continues(packet)) {
      this.#sink.add(packet + segment.headerBytes, payloadBytes);
      this.#pieces++;
      this.#payloadBytes += payloadBytes;
    } else {
      this.flush();
      this.#begin(packet, length);
      this.#open();
    }
    this.#nextSequence = (segment.sequence + payloadBytes) >>> 0;
    this.#isPushed = segment.isPushed;
    if (segment.isPushed || payloadBytes < this.#segmentBytes) this.flush();
  }

  /** Writes the open packet, if there is one. */
  flush(): void {
    if (this.#pieces === 0) return;
    if (this.#pieces > 1) this.#describe();
    else this.#clearHeader();
    this.#pieces = 0;
    if (!this.#sink.write()) this.drops++;
  }

  #begin(packet: number, length: number): void {
    this.#first = packet;
    this.#pieces = 1;
    this.#sink.begin();
    this.#sink.add(VNET_OUT, VNET_HEADER_BYTES);
    this.#sink.add(packet, length);
  }

  /** Others may join what was begun. */
  #open(): void {
    const segment = this.#segment;
    this.#protocol = segment.protocol;
    this.#ipBytes = segment.ipBytes;
    this.#headerBytes = segment.headerBytes;
    this.#segmentBytes = this.#payloadBytes = segment.payloadBytes;
  }

  #continues(packet: number): boolean {
    const segment = this.#segment;
    if (
      segment.protocol !== this.#protocol || segment.ipBytes !== this.#ipBytes ||
      segment.headerBytes !== this.#headerBytes || segment.payloadBytes > this.#segmentBytes ||
      this.#headerBytes + this.#payloadBytes + segment.payloadBytes > MAX_IP_BYTES
    ) return false;
    if (segment.protocol === UDP) {
      if (this.#pieces >= MAX_DATAGRAMS) return false;
    } else if (segment.sequence !== this.#nextSequence || this.#pieces >= MAX_PIECES - 1) return false;
    return sameHeaders(this.#view, packet, this.#first, segment);
  }

  #clearHeader(): void {
    this.#view.setUint32(VNET_OUT, 0);
    this.#view.setUint32(VNET_OUT + 4, 0);
    this.#view.setUint32(VNET_OUT + 8, 0);
  }

  /** Says by header and first piece what the whole is. */
  #describe(): void {
    const view = this.#view;
    const version = this.#ipBytes === 20 ? 4 : 6;
    const length = this.#headerBytes - this.#ipBytes + this.#payloadBytes;
    this.#describeIp(version, length);
    if (this.#protocol === TCP) this.#describeTcp();
    else view.setUint16(this.#first + this.#ipBytes + UDP_LENGTH, length);
    const field = this.#protocol === TCP ? TCP_CHECKSUM : UDP_CHECKSUM;
    view.setUint16(
      this.#first + this.#ipBytes + field,
      sumPseudoHeader(view, this.#first, { version, protocol: this.#protocol, length }),
    );
    view.setUint8(VNET_OUT, NEEDS_CSUM);
    view.setUint8(
      VNET_OUT + 1,
      this.#protocol === UDP ? GSO_UDP_L4 : version === 4 ? GSO_TCPV4 : GSO_TCPV6,
    );
    view.setUint16(VNET_OUT + 2, this.#headerBytes, true);
    view.setUint16(VNET_OUT + 4, this.#segmentBytes, true);
    view.setUint16(VNET_OUT + 6, this.#ipBytes, true);
    view.setUint16(VNET_OUT + 8, field, true);
    view.setUint16(VNET_OUT + 10, 0, true);
  }

  #describeIp(version: 4 | 6, length: number): void {
    const view = this.#view;
    const packet = this.#first;
    if (version === 6) {
      view.setUint16(packet + 4, length);
      return;
    }
    view.setUint16(packet + 2, this.#ipBytes + length);
    view.setUint16(packet + 10, 0);
    view.setUint16(packet + 10, ~sumWords(view, packet, this.#ipBytes) & 0xffff);
  }

  #describeTcp(): void {
    if (!this.#isPushed) return;
    const at = this.#first + this.#ipBytes + TCP_FLAGS;
    this.#view.setUint8(at, this.#view.getUint8(at) | PSH);
  }
}
