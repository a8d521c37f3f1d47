/**
 * A packet as a TUN with `IFF_VNET_HDR` gives it: a header of `virtio_net`, then a packet that may lack its
 * checksum, or be TCP of up to 64 KiB that is still to be cut.
 *
 * Header, little-endian: u8 flags, u8 gso_type, u16 hdr_len, u16 gso_size, u16 csum_start, u16 csum_offset,
 * u16 num_buffers. `hdr_len` is only a hint and not used.
 *
 * @see linux/virtio_net.h `struct virtio_net_hdr_v1`; RFC 9293 §3.1.
 */

import { VNET_HEADER_BYTES } from "../../../ffi/linux_tun.ts";
import { fold, sumPseudoHeader, sumWords } from "./checksum.ts";

const NEEDS_CSUM = 1;
const GSO_NONE = 0;
const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;
const GSO_ECN = 0x80;
const TCP = 6;
const TCP_SEQUENCE = 4;
const TCP_DATA_OFFSET = 12;
const TCP_FLAGS = 13;
const TCP_CHECKSUM = 16;
const FIN_AND_PSH = 0x09;
const CWR = 0x80;

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

  /** Reads the header at `offset`; `available` counts it in. A missing checksum is put in where it stays whole. */
  read(view: DataView, offset: number, available: number): void {
    this.packet = offset + VNET_HEADER_BYTES;
    this.length = available - VNET_HEADER_BYTES;
    this.count = 0;
    this.headerBytes = 0;
    if (this.length < 20) return;
    const gso = view.getUint8(offset + 1) & ~GSO_ECN;
    const start = view.getUint16(offset + 6, true);
    if (gso === GSO_NONE) {
      this.count = 1;
      if ((view.getUint8(offset) & NEEDS_CSUM) !== 0) {
        this.#complete(view, start, view.getUint16(offset + 8, true));
      }
    } else if (gso === GSO_TCPV4 || gso === GSO_TCPV6) {
      this.#cut(view, start, view.getUint16(offset + 4, true));
    }
  }

  /** The checksum field holds the sum of the pseudo-header. */
  #complete(view: DataView, start: number, field: number): void {
    if (start + field + 2 > this.length) {
      this.count = 0;
      return;
    }
    const sum = ~sumWords(view, this.packet + start, this.length - start) & 0xffff;
    // A sum of zero would say "no checksum" in UDP, and the other zero is equal to it in TCP.
    view.setUint16(this.packet + start + field, sum === 0 ? 0xffff : sum);
  }

  #cut(view: DataView, ipBytes: number, segmentBytes: number): void {
    if (segmentBytes === 0 || ipBytes + 20 > this.length) return;
    const tcpBytes = (view.getUint8(this.packet + ipBytes + TCP_DATA_OFFSET) >>> 4) * 4;
    const headerBytes = ipBytes + tcpBytes;
    if (tcpBytes < 20 || headerBytes >= this.length) return;
    this.#version = view.getUint8(this.packet) >>> 4;
    this.#ipBytes = ipBytes;
    this.headerBytes = headerBytes;
    this.segmentBytes = segmentBytes;
    this.count = Math.ceil((this.length - headerBytes) / segmentBytes);
  }

  /** Bytes of a piece, headers included. */
  pieceBytes(index: number): number {
    if (this.headerBytes === 0) return this.length;
    const done = index * this.segmentBytes;
    return this.headerBytes + Math.min(this.segmentBytes, this.length - this.headerBytes - done);
  }

  /** Puts a piece at `target` of the same memory: headers adapted, checksums right. */
  copyPiece(
    index: number,
    target: number,
    memory: { readonly bytes: Uint8Array; readonly view: DataView },
  ): void {
    const { bytes, view } = memory;
    if (this.headerBytes === 0) {
      bytes.copyWithin(target, this.packet, this.packet + this.length);
      return;
    }
    const length = this.pieceBytes(index);
    const payload = this.packet + this.headerBytes + index * this.segmentBytes;
    bytes.copyWithin(target, this.packet, this.packet + this.headerBytes);
    bytes.copyWithin(target + this.headerBytes, payload, payload + length - this.headerBytes);
    if (this.#version === 4) this.#adaptIpv4(view, target, length, index);
    else view.setUint16(target + 4, length - 40);
    this.#adaptTcp(view, target, length, index);
  }

  #adaptIpv4(view: DataView, target: number, length: number, index: number): void {
    view.setUint16(target + 2, length);
    view.setUint16(target + 4, (view.getUint16(target + 4) + index) & 0xffff);
    view.setUint16(target + 10, 0);
    view.setUint16(target + 10, ~sumWords(view, target, this.#ipBytes) & 0xffff);
  }

  #adaptTcp(view: DataView, target: number, length: number, index: number): void {
    const tcp = target + this.#ipBytes;
    view.setUint32(tcp + TCP_SEQUENCE, view.getUint32(tcp + TCP_SEQUENCE) + index * this.segmentBytes);
    let flags = view.getUint8(tcp + TCP_FLAGS);
    if (index < this.count - 1) flags &= ~FIN_AND_PSH;
    if (index > 0) flags &= ~CWR;
    view.setUint8(tcp + TCP_FLAGS, flags);
    view.setUint16(tcp + TCP_CHECKSUM, 0);
    const tcpBytes = length - this.#ipBytes;
    const pseudo = sumPseudoHeader(view, target, { version: this.#version, protocol: TCP, length: tcpBytes });
    view.setUint16(tcp + TCP_CHECKSUM, ~fold(pseudo + sumWords(view, tcp, tcpBytes)) & 0xffff);
  }
}
