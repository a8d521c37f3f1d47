/**
 * Sending and receiving on a socket of `udp_socket.ts`: many datagrams of one size to one place by one call
 * (`UDP_SEGMENT`), the same on receipt (`UDP_GRO`), and the local address of each (`IP_PKTINFO`), so that answers
 * leave from where they were asked.
 *
 * Layouts (LP64), little-endian:
 *
 *     struct msghdr, 56 bytes                  struct iovec, 16 bytes
 *      0  void* msg_name                        0  void* iov_base
 *      8  socklen_t msg_namelen                 8  size_t iov_len
 *     16  struct iovec* msg_iov                struct cmsghdr, 16 bytes, then data; padded to 8 bytes
 *     24  size_t msg_iovlen                     0  size_t cmsg_len, header included, padding not
 *     32  void* msg_control                     8  int cmsg_level
 *     40  size_t msg_controllen                12  int cmsg_type
 *
 * @see udp(7), ip(7), ipv6(7); linux/udp.h; struct msghdr of bits/socket.h.
 */

import {
  EADDRNOTAVAIL,
  EAGAIN,
  EINVAL,
  EMSGSIZE,
  ENETUNREACH,
  ENODEV,
  lastErrno,
  prepareErrno,
} from "./errno.ts";
import { libc } from "./libc.ts";
import { PinnedBuffer } from "./memory.ts";
import { encodeSockaddr, SOCKADDR_BYTES } from "./sockaddr.ts";

const IPPROTO_IP = 0;
const IP_PKTINFO = 8;
const IPPROTO_IPV6 = 41;
const IPV6_PKTINFO = 50;
const SOL_UDP = 17;
const UDP_SEGMENT = 103;
const UDP_GRO = 104;
const MSG_DONTWAIT = 0x40;
const POLLOUT = 4;
/** The device cannot do UDP_SEGMENT. */
const EIO = 5;
/** What sending from an address that is not ours gives, by family and kernel. */
const SOURCE_GONE: ReadonlySet<number> = new Set([EINVAL, EADDRNOTAVAIL, ENODEV, ENETUNREACH]);

const MSGHDR_BYTES = 56;
const CONTROL_BYTES = 128;
/** `sizeof(struct cmsghdr)`. */
const CMSG_BYTES = 16;

/** Most datagrams that one call sends: `UDP_MAX_SEGMENTS`. */
export const MAX_SEGMENTS = 64;
/** Most bytes that one call sends: what fits into the length of UDP over IPv4. */
export const MAX_SEND_BYTES = 65_507;

/** A UDP address and, if known, the local address to use with it. */
export interface UdpDestination {
  readonly family: 4 | 6;
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  readonly port: number;
  readonly scopeId: number;
  readonly local: { readonly address: Uint8Array; readonly interfaceIndex: number } | undefined;
}

/** One `struct msghdr` with its name, vector and control data. */
class Message {
  readonly header = new PinnedBuffer(MSGHDR_BYTES);
  readonly name = new PinnedBuffer(SOCKADDR_BYTES);
  readonly control = new PinnedBuffer(CONTROL_BYTES);
  readonly #vector = new PinnedBuffer(16);
  readonly pointer = this.header.pointer;
  readonly #headerView = this.header.view;
  readonly #vectorView = this.#vector.view;
  readonly #base: number;

  constructor(arena: PinnedBuffer) {
    this.#base = arena.address;
    this.#headerView.setBigUint64(0, BigInt(this.name.address), true);
    this.#headerView.setBigUint64(16, BigInt(this.#vector.address), true);
    this.#headerView.setUint32(24, 1, true);
    this.#headerView.setBigUint64(32, BigInt(this.control.address), true);
  }

  set(offset: number, length: number, nameBytes: number, controlBytes: number): void {
    const address = this.#base + offset;
    this.#vectorView.setUint32(0, address, true);
    this.#vectorView.setUint32(4, address / 2 ** 32, true);
    this.#vectorView.setUint32(8, length, true);
    this.#headerView.setUint32(8, nameBytes, true);
    this.#headerView.setUint32(40, controlBytes, true);
  }

  get controlBytes(): number {
    return this.#headerView.getUint32(40, true);
  }
}

/** Sending and receiving on a bound socket, in one memory; for the thread of the data path. */
export class UdpPort {
  readonly #fd: number;
  readonly #in: Message;
  readonly #out: Message;
  readonly #recvmsg = libc().recvmsg;
  readonly #sendmsg = libc().sendmsg;
  /** What {@linkcode Message} of sending is prepared for. */
  #destination: UdpDestination | undefined;
  #nameBytes = 0;
  #localBytes = 0;
  #canSegment: boolean;
  /** `struct pollfd`. */
  readonly #writable = new PinnedBuffer(8);
  /** Bytes of each datagram of the last receipt but the last one, which may be shorter. */
  segmentBytes = 0;
  /** Where the last receipt came from: `struct sockaddr_in` or `sockaddr_in6`. */
  readonly source: Uint8Array;
  /** The local address of the last receipt: 4 or 16 bytes. */
  readonly local: Uint8Array;
  /** Index of the link that it came by. */
  interfaceIndex = 0;

  constructor(fd: number, readonly family: 4 | 6, arena: PinnedBuffer) {
    prepareErrno();
    this.#fd = fd;
    this.#in = new Message(arena);
    this.#out = new Message(arena);
    this.source = this.#in.name.bytes.subarray(0, family === 4 ? 8 : SOCKADDR_BYTES);
    this.local = new Uint8Array(family === 4 ? 4 : 16);
    // A kernel before 4.18 does not read the control message and would send all as one datagram.
    this.#canSegment = libc().setsockopt(fd, SOL_UDP, UDP_SEGMENT, new Uint8Array(4), 4) === 0;
  }

  /** Whether several datagrams go out by one call. */
  get canSegment(): boolean {
    return this.#canSegment;
  }

  /** Blocks this thread until there is room to send, or so many ms have passed. */
  waitWritable(timeoutMs: number): void {
    this.#writable.view.setInt32(0, this.#fd, true);
    this.#writable.view.setInt16(4, POLLOUT, true);
    libc().poll(this.#writable.pointer, 1n, timeoutMs);
  }

  /** Receives into the arena. @returns Bytes, 0 for an empty datagram; -1 when nothing is there. */
  receive(offset: number, length: number): number {
    this.#in.set(offset, length, SOCKADDR_BYTES, CONTROL_BYTES);
    const count = Number(this.#recvmsg(this.#fd, this.#in.pointer, MSG_DONTWAIT));
    if (count <= 0) return count;
    this.segmentBytes = count;
    this.#readControl();
    return count;
  }

  #readControl(): void {
    const { view } = this.#in.control;
    const end = this.#in.controlBytes;
    for (let at = 0; at + CMSG_BYTES <= end;) {
      const length = view.getUint32(at, true);
      const level = view.getInt32(at + 8, true);
      const type = view.getInt32(at + 12, true);
      if (level === SOL_UDP && type === UDP_GRO) {
        this.segmentBytes = view.getInt32(at + CMSG_BYTES, true);
      } else if (level === IPPROTO_IP && type === IP_PKTINFO) {
        // struct in_pktinfo: index, address of ours to answer from, address it was sent to.
        this.interfaceIndex = view.getUint32(at + CMSG_BYTES, true);
        this.#copyLocal(at + CMSG_BYTES + 4);
      } else if (level === IPPROTO_IPV6 && type === IPV6_PKTINFO) {
        this.interfaceIndex = view.getUint32(at + CMSG_BYTES + 16, true);
        this.#copyLocal(at + CMSG_BYTES);
      }
      if (length < CMSG_BYTES) return;
      at += (length + 7) & ~7;
    }
  }

  #copyLocal(at: number): void {
    const { bytes } = this.#in.control;
    for (let i = 0; i < this.local.length; i++) this.local[i] = bytes[at + i]!;
  }

  /**
   * Sends datagrams that lie one behind the other.
   *
   * @param segmentBytes Of each but the last, which may be shorter.
   * @returns Bytes that the kernel has, or that cannot be sent at all: those are gone, as in a network. Fewer than
   * `length` when there is no room and it is worth trying again with the rest.
   */
  send(to: UdpDestination, offset: number, length: number, segmentBytes: number): number {
    if (to !== this.#destination) this.#prepare(to);
    if (length <= segmentBytes) return this.#sendOnce(offset, length, 0);
    if (this.#canSegment) return this.#sendOnce(offset, length, segmentBytes);
    return this.#sendEach(offset, length, segmentBytes);
  }

  #sendEach(offset: number, length: number, segmentBytes: number): number {
    let done = 0;
    while (done < length) {
      const bytes = Math.min(segmentBytes, length - done);
      if (this.#sendOnce(offset + done, bytes, 0) === 0) break;
      done += bytes;
    }
    return done;
  }

  #sendOnce(offset: number, length: number, segmentBytes: number): number {
    const local = this.#localBytes;
    let controlBytes = local;
    if (segmentBytes > 0) {
      this.#cmsg(local, CMSG_BYTES + 2, SOL_UDP, UDP_SEGMENT);
      this.#out.control.view.setUint16(local + CMSG_BYTES, segmentBytes, true);
      controlBytes += CMSG_BYTES + 8;
    }
    this.#out.set(offset, length, this.#nameBytes, controlBytes);
    const sent = Number(this.#sendmsg(this.#fd, this.#out.pointer, MSG_DONTWAIT));
    if (sent >= 0) return length;
    return this.#sendFailed(lastErrno(), offset, length, segmentBytes);
  }

  #sendFailed(errno: number, offset: number, length: number, segmentBytes: number): number {
    if (errno === EAGAIN) return 0;
    if (this.#localBytes > 0 && segmentBytes === 0 && SOURCE_GONE.has(errno)) {
      // The address we were asked on is gone; the routing table knows another. The next call tries it again.
      this.#localBytes = 0;
      this.#destination = undefined;
      return this.#sendOnce(offset, length, segmentBytes);
    }
    if (segmentBytes > 0 && (errno === EIO || errno === EMSGSIZE || SOURCE_GONE.has(errno))) {
      // The device cannot cut datagrams, these do not fit its MTU, or the source is gone: then one by one.
      if (errno === EIO) this.#canSegment = false;
      return this.#sendEach(offset, length, segmentBytes);
    }
    return length;
  }

  #prepare(to: UdpDestination): void {
    this.#destination = to;
    const name = encodeSockaddr(to);
    this.#out.name.bytes.set(name);
    this.#nameBytes = name.length;
    this.#localBytes = to.local === undefined ? 0 : this.#putLocal(to.local.address, to.scopeId);
  }

  /** The interface is left to the routing table, which may have changed; only link-local addresses need it. */
  #putLocal(address: Uint8Array, scopeId: number): number {
    const { view, bytes } = this.#out.control;
    if (address.length === 4) {
      this.#cmsg(0, CMSG_BYTES + 12, IPPROTO_IP, IP_PKTINFO);
      view.setUint32(CMSG_BYTES, 0, true);
      bytes.set(address, CMSG_BYTES + 4);
      view.setUint32(CMSG_BYTES + 8, 0, true);
      return CMSG_BYTES + 16;
    }
    this.#cmsg(0, CMSG_BYTES + 20, IPPROTO_IPV6, IPV6_PKTINFO);
    bytes.set(address, CMSG_BYTES);
    view.setUint32(CMSG_BYTES + 16, scopeId, true);
    return CMSG_BYTES + 24;
  }

  #cmsg(at: number, length: number, level: number, type: number): void {
    const { view } = this.#out.control;
    view.setUint32(at, length, true);
    view.setUint32(at + 4, 0, true);
    view.setInt32(at + 8, level, true);
    view.setInt32(at + 12, type, true);
  }
}
