/**
 * A packet as a TUN with `IFF_VNET_HDR` gives it: a header of `virtio_net`, then a packet that may lack its
 * checksum, or be TCP of up to 64 KiB, or many UDP datagrams of one size, still to be cut.
 *
 * Header, little-endian: u8 flags, u8 gso_type, u16 hdr_len, u16 gso_size, u16 csum_start, u16 csum_offset,
 * u16 num_buffers. `hdr_len` is only a hint and not used.
 *
 * Sums of the headers' words that do not change from piece to piece are made once for a packet; those of the
 * payload come with its copy.
 *
 * @see linux/virtio_net.h `struct virtio_net_hdr_v1`; RFC 9293 §3.1; RFC 768; RFC 1624 §3.
 */

import { VNET_HEADER_BYTES } from "../../../ffi/linux_tun.ts";
import { fold, sumPseudoHeader, sumWords } from "./checksum.ts";
import type { CopySum } from "./copy_memory.ts";

const NEEDS_CSUM = 1;
const GSO_NONE = 0;
const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;
const GSO_UDP_L4 = 5;
const GSO_ECN = 0x80;
const TCP = 6;
const TCP_BYTES = 20;
const TCP_SEQUENCE = 4;
const TCP_DATA_OFFSET = 12;
const TCP_FLAGS = 13;
const TCP_CHECKSUM = 16;
const FIN_AND_PSH = 0x09;
const CWR = 0x80;
const UDP = 17;
const UDP_BYTES = 8;
const UDP_LENGTH = 4;
const UDP_CHECKSUM = 6;

/** Memory that pieces are cut in. */
export interface CutMemory {
  readonly view: DataView;
  readonly copySum: CopySum;
}

/** A packet to be sent, in pieces. One object, filled again for each packet. */
export class TunPacket {
  /** Offset of the IP header. */
  packet = 0;
  /** Bytes of the packet. */
  length = 0;
  /** How many packets it makes; 0 if it makes no sense. */
  count = 0;
  /** Bytes of the headers that every piece has; 0 for a packet that stays whole. */
  headerBytes = 0;
  /** Bytes of payload of each piece but the last. */
  segmentBytes = 0;
  #ipBytes = 0;
  #version = 0;
  #protocol = 0;
  /** Sums of what all pieces have in common, of the IPv4 header and of the other with its pseudo-header. */
  #ipSum = 0;
  #transportSum = 0;
  /** Of a packet that stays whole: where the sum starts that it lacks, and where it goes. 0 for none. */
  #sumStart = 0;
  #sumField = 0;

  /** Reads the header at `offset`; `available` counts it in. */
  read(view: DataView, offset: number, available: number): void {
    this.packet = offset + VNET_HEADER_BYTES;
    this.length = available - VNET_HEADER_BYTES;
    this.count = 0;
    this.headerBytes = 0;
    this.#sumField = 0;
    if (this.length < 20) return;
    const gso = view.getUint8(offset + 1) & ~GSO_ECN;
    const start = view.getUint16(offset + 6, true);
    const segmentBytes = view.getUint16(offset + 4, true);
    if (gso === GSO_NONE) {
      this.count = 1;
      if ((view.getUint8(offset) & NEEDS_CSUM) !== 0) {
        this.#complete(start, view.getUint16(offset + 8, true));
      }
    } else if (gso === GSO_TCPV4 || gso === GSO_TCPV6) {
      this.#cutTcp(view, start, segmentBytes);
    } else if (gso === GSO_UDP_L4) {
      this.#cutUdp(view, start, segmentBytes);
    }
  }

  /** The checksum field holds the sum of the pseudo-header. */
  #complete(start: number, field: number): void {
    if (start + field + 2 > this.length) {
      this.count = 0;
      return;
    }
    this.#sumStart = start;
    this.#sumField = start + field;
  }

  #cutTcp(view: DataView, ipBytes: number, segmentBytes: number): void {
    if (ipBytes + TCP_BYTES > this.length) return;
    const tcp = this.packet + ipBytes;
    const tcpBytes = (view.getUint8(tcp + TCP_DATA_OFFSET) >>> 4) * 4;
    if (tcpBytes < TCP_BYTES || !this.#cut(view, ipBytes, tcpBytes, segmentBytes)) return;
    this.#protocol = TCP;
    // All words but the sequence number, flags and checksum.
    const words = sumWords(view, tcp, TCP_SEQUENCE) + sumWords(view, tcp + 8, 4) +
      sumWords(view, tcp + 14, 2) +
      sumWords(view, tcp + 18, tcpBytes - 18);
    this.#transportSum = this.#pseudoSum(view) + words;
  }

  #cutUdp(view: DataView, ipBytes: number, segmentBytes: number): void {
    if (!this.#cut(view, ipBytes, UDP_BYTES, segmentBytes)) return;
    this.#protocol = UDP;
    this.#transportSum = this.#pseudoSum(view) + sumWords(view, this.packet + ipBytes, UDP_LENGTH);
  }

  /** @returns False when it makes no sense. */
  #cut(view: DataView, ipBytes: number, transportBytes: number, segmentBytes: number): boolean {
    const headerBytes = ipBytes + transportBytes;
    // Words of the sum start at even offsets.
    if (segmentBytes === 0 || ipBytes < 20 || (ipBytes & 1) !== 0 || headerBytes >= this.length) return false;
    this.#version = view.getUint8(this.packet) >>> 4;
    this.#ipBytes = ipBytes;
    this.headerBytes = headerBytes;
    this.segmentBytes = segmentBytes;
    this.count = Math.ceil((this.length - headerBytes) / segmentBytes);
    // All words but length, identification and checksum.
    const { packet } = this;
    this.#ipSum = sumWords(view, packet, 2) + sumWords(view, packet + 6, 4) +
      sumWords(view, packet + 12, ipBytes - 12);
    return true;
  }

  #pseudoSum(view: DataView): number {
    return sumPseudoHeader(view, this.packet, {
      version: this.#version,
      protocol: this.#protocol,
      length: 0,
    });
  }

  /** Bytes of a piece, headers included. */
  pieceBytes(index: number): number {
    if (this.headerBytes === 0) return this.length;
    const done = index * this.segmentBytes;
    return this.headerBytes + Math.min(this.segmentBytes, this.length - this.headerBytes - done);
  }

  /** Puts a piece at `target` of the same memory: headers adapted, checksums right. */
  copyPiece(index: number, target: number, memory: CutMemory): void {
    if (this.headerBytes === 0) return this.#copyWhole(target, memory);
    const { view } = memory;
    const length = this.pieceBytes(index);
    const payload = this.packet + this.headerBytes + index * this.segmentBytes;
    memory.copySum(target, this.packet, this.headerBytes);
    const sum = memory.copySum(target + this.headerBytes, payload, length - this.headerBytes);
    if (this.#version === 4) this.#adaptIpv4(view, target, length, index);
    else view.setUint16(target + 4, length - 40);
    if (this.#protocol === TCP) this.#adaptTcp(view, target, length, index, sum);
    else this.#adaptUdp(view, target, length, sum);
  }

  #copyWhole(target: number, { view, copySum }: CutMemory): void {
    if (this.#sumField === 0) {
      copySum(target, this.packet, this.length);
      return;
    }
    const start = this.#sumStart;
    copySum(target, this.packet, start);
    putSum(view, target + this.#sumField, copySum(target + start, this.packet + start, this.length - start));
  }

  #adaptIpv4(view: DataView, target: number, length: number, index: number): void {
    const identification = (view.getUint16(target + 4) + index) & 0xffff;
    view.setUint16(target + 2, length);
    view.setUint16(target + 4, identification);
    view.setUint16(target + 10, ~fold(this.#ipSum + length + identification) & 0xffff);
  }

  #adaptTcp(view: DataView, target: number, length: number, index: number, payloadSum: number): void {
    const tcp = target + this.#ipBytes;
    const sequence = (view.getUint32(tcp + TCP_SEQUENCE) + index * this.segmentBytes) >>> 0;
    view.setUint32(tcp + TCP_SEQUENCE, sequence);
    let flags = view.getUint8(tcp + TCP_FLAGS);
    if (index < this.count - 1) flags &= ~FIN_AND_PSH;
    if (index > 0) flags &= ~CWR;
    view.setUint8(tcp + TCP_FLAGS, flags);
    const own = (sequence >>> 16) + (sequence & 0xffff) + view.getUint16(tcp + TCP_DATA_OFFSET);
    putSum(view, tcp + TCP_CHECKSUM, this.#transportSum + own + length - this.#ipBytes + payloadSum);
  }

  #adaptUdp(view: DataView, target: number, length: number, payloadSum: number): void {
    const udp = target + this.#ipBytes;
    const udpBytes = length - this.#ipBytes;
    view.setUint16(udp + UDP_LENGTH, udpBytes);
    // The length is in the pseudo-header and in the header.
    putSum(view, udp + UDP_CHECKSUM, this.#transportSum + 2 * udpBytes + payloadSum);
  }
}

/** Writes a checksum. Zero would say "none" in UDP, and the other zero is equal to it in TCP. */
function putSum(view: DataView, at: number, sum: number): void {
  const checksum = ~fold(sum) & 0xffff;
  view.setUint16(at, checksum === 0 ? 0xffff : checksum);
}
