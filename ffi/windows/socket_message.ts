/**
 * What `WSASendMsg` and `WSARecvMsg` are given: one datagram or train with its address and control data.
 *
 * Layouts of 64-bit Windows, little-endian:
 *
 *     WSAMSG, 56 bytes                         WSABUF, 16 bytes
 *      0  SOCKADDR* name                        0  ULONG len
 *      8  INT namelen                           8  CHAR* buf
 *     16  WSABUF* lpBuffers                    WSACMSGHDR, 16 bytes, then data; padded to 8 bytes
 *     24  ULONG dwBufferCount                   0  SIZE_T cmsg_len, header included, padding not
 *     32  WSABUF Control                        8  INT cmsg_level
 *     48  ULONG dwFlags                        12  INT cmsg_type
 *
 *     IN_PKTINFO, 8 bytes: IN_ADDR ipi_addr, ULONG ipi_ifindex
 *     IN6_PKTINFO, 20 bytes: IN6_ADDR ipi6_addr, ULONG ipi6_ifindex
 *
 * They are held against the headers by the fake `ws2_fake.dll` of the Windows rig.
 *
 * @see ws2def.h; ws2ipdef.h; "IPPROTO_UDP socket options".
 */

import { PinnedBuffer } from "../memory.ts";
import { SOCKADDR_INET_BYTES } from "./sockaddr.ts";

/** `IPPROTO_IP`. */
export const IPPROTO_IP = 0;
/** `IPPROTO_UDP`. */
export const IPPROTO_UDP = 17;
/** `IPPROTO_IPV6`. */
export const IPPROTO_IPV6 = 41;
/** Option and control message of IPv4: our own address. */
export const IP_PKTINFO = 19;
/** The same of IPv6. */
export const IPV6_PKTINFO = 19;
/** Control message: bytes of each datagram of a train to send; an option too. Windows 10, version 2004. */
export const UDP_SEND_MSG_SIZE = 2;
/** Option: most bytes of a train received. Windows 10, version 2004. */
export const UDP_RECV_MAX_COALESCED_SIZE = 3;
/** Control message: bytes of each datagram of a train received. */
export const UDP_COALESCED_INFO = 3;

const WSAMSG_BYTES = 56;
const WSABUF_BYTES = 16;
const CMSG_BYTES = 16;
/** For an address of ours and the size of datagrams, and what a system adds unasked. */
const CONTROL_BYTES = 128;

/** What control data told of a receipt. */
export interface ReceiptInfo {
  /** Whether it was told which of our own addresses it came to. */
  hasLocal: boolean;
  /** That address then, 4 or 16 bytes. */
  readonly local: Uint8Array;
  /** And the interface that it came by. */
  interfaceIndex: number;
  /** Bytes of each datagram but the last of a train; 0 when it is not told. */
  segmentBytes: number;
}

/** One `WSAMSG` with all that it points to but the payload, which lies in a memory given. */
export class SocketMessage {
  readonly #header = new PinnedBuffer(WSAMSG_BYTES);
  readonly #vector = new PinnedBuffer(WSABUF_BYTES);
  readonly #control = new PinnedBuffer(CONTROL_BYTES);
  readonly #base: number;
  /** Room for an address of either family. */
  readonly name = new PinnedBuffer(SOCKADDR_INET_BYTES);
  readonly pointer: Deno.PointerObject = this.#header.pointer;
  #controlEnd = 0;

  /** @param memory Where payloads are; it stays reachable as long as this object is used. */
  constructor(memory: PinnedBuffer) {
    this.#base = memory.address;
    const { view } = this.#header;
    view.setBigUint64(0, BigInt(this.name.address), true);
    view.setBigUint64(16, BigInt(this.#vector.address), true);
    view.setUint32(24, 1, true);
  }

  /** Points to a payload to send, with the control data so far. @param nameBytes Of the address. */
  aimOutgoing(offset: number, length: number, nameBytes: number): void {
    this.#aim(offset, length, nameBytes, this.#controlEnd);
  }

  /** Makes room for a payload, an address and control data. */
  aimIncoming(offset: number, length: number): void {
    this.#aim(offset, length, SOCKADDR_INET_BYTES, CONTROL_BYTES);
  }

  #aim(offset: number, length: number, nameBytes: number, controlBytes: number): void {
    const vector = this.#vector.view;
    const address = this.#base + offset;
    vector.setUint32(0, length, true);
    vector.setUint32(8, address, true);
    vector.setUint32(12, address / 2 ** 32, true);
    const header = this.#header.view;
    header.setInt32(8, nameBytes, true);
    header.setUint32(32, controlBytes, true);
    // Winsock looks at the pointer too.
    header.setBigUint64(40, controlBytes === 0 ? 0n : BigInt(this.#control.address), true);
    header.setUint32(48, 0, true);
  }

  /** Takes back the control data from an offset on that {@linkcode SocketMessage.controlEnd} gave. */
  set controlEnd(end: number) {
    this.#controlEnd = end;
  }

  /** Bytes of control data so far. */
  get controlEnd(): number {
    return this.#controlEnd;
  }

  /**
   * Says where to send from.
   *
   * @param address 4 or 16 bytes.
   * @param interfaceIndex 0 leaves it to the routing table; only link-local addresses need it.
   */
  addSource(address: Uint8Array, interfaceIndex: number): void {
    const isV4 = address.length === 4;
    const level = isV4 ? IPPROTO_IP : IPPROTO_IPV6;
    const at = this.#add(level, isV4 ? IP_PKTINFO : IPV6_PKTINFO, address.length + 4);
    this.#control.bytes.set(address, at);
    this.#control.view.setUint32(at + address.length, interfaceIndex, true);
  }

  /** Has the payload cut into datagrams of so many bytes. */
  addSegmentBytes(segmentBytes: number): void {
    const at = this.#add(IPPROTO_UDP, UDP_SEND_MSG_SIZE, 4);
    this.#control.view.setUint32(at, segmentBytes, true);
  }

  #add(level: number, type: number, dataBytes: number): number {
    const { view, bytes } = this.#control;
    const at = this.#controlEnd;
    this.#controlEnd = at + CMSG_BYTES + ((dataBytes + 7) & ~7);
    bytes.fill(0, at, this.#controlEnd);
    view.setUint32(at, CMSG_BYTES + dataBytes, true);
    view.setInt32(at + 8, level, true);
    view.setInt32(at + 12, type, true);
    return at + CMSG_BYTES;
  }

  /** Reads the control data of a receipt. */
  readControl(info: ReceiptInfo): void {
    info.hasLocal = false;
    info.segmentBytes = 0;
    const { view } = this.#control;
    const end = Math.min(this.#header.view.getUint32(32, true), CONTROL_BYTES);
    for (let at = 0; at + CMSG_BYTES <= end;) {
      const length = view.getUint32(at, true);
      if (length < CMSG_BYTES || at + length > end) return;
      this.#readOne(at, length - CMSG_BYTES, info);
      at += (length + 7) & ~7;
    }
  }

  #readOne(at: number, dataBytes: number, info: ReceiptInfo): void {
    const { view, bytes } = this.#control;
    const level = view.getInt32(at + 8, true);
    const type = view.getInt32(at + 12, true);
    const data = at + CMSG_BYTES;
    if (level === IPPROTO_UDP && type === UDP_COALESCED_INFO && dataBytes >= 4) {
      info.segmentBytes = view.getUint32(data, true);
      return;
    }
    const { local } = info;
    const isOurs = local.length === 4
      ? level === IPPROTO_IP && type === IP_PKTINFO
      : level === IPPROTO_IPV6 && type === IPV6_PKTINFO;
    if (!isOurs || dataBytes < local.length + 4) return;
    for (let i = 0; i < local.length; i++) local[i] = bytes[data + i]!;
    info.interfaceIndex = view.getUint32(data + local.length, true);
    info.hasLocal = true;
  }
}
