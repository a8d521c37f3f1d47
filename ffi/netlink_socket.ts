/**
 * Netlink sockets: datagrams in and out (netlink(7)), nothing about what they hold.
 *
 * The kernel handles a request inside `send(2)` and has its answer queued when the call returns; the parts of a
 * dump are made as they are received. So a conversation never waits, and runs synchronously.
 */

import { EAGAIN, EINTR, ENOBUFS, errnoError, lastErrno, prepareErrno } from "./errno.ts";
import { FileDescriptor } from "./file_descriptor.ts";
import { libc } from "./libc.ts";
import { PinnedBuffer } from "./memory.ts";
import { withNetns } from "./netns.ts";
import {
  NETLINK_ADD_MEMBERSHIP,
  NETLINK_CAP_ACK,
  NETLINK_EXT_ACK,
  NETLINK_GET_STRICT_CHK,
} from "./netlink/constants.ts";

/** What {@linkcode NetlinkSocket.receive} found. */
export type Received =
  | { readonly kind: "datagram"; readonly bytes: Uint8Array }
  /** Nothing is queued. */
  | { readonly kind: "empty" }
  /** Datagrams were lost: the queue ran over, or one was larger than the buffer (which has grown since). */
  | { readonly kind: "lost" };

/** A socket to the kernel. Tests replace it at this level, so that framing and matching run in every test. */
export interface NetlinkSocket extends Disposable {
  /** Sends a datagram and lets the kernel handle it. @throws {ErrnoError} If the kernel does not take it. */
  send(datagram: Uint8Array<ArrayBuffer>): void;
  /** As `send`, on another thread, for what takes the kernel long. Nothing else may be sent meanwhile. */
  sendInBackground(datagram: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Takes the next datagram off the queue, without waiting. The bytes are the caller's. */
  receive(): Received;
  /** Resolves to true once something can be received, and to false once the socket is closed. */
  waitReadable(): Promise<boolean>;
  /** Closes the socket; a wait ends. */
  [Symbol.dispose](): void;
}

/** Options of {@linkcode openNetlinkSocket}. */
export interface NetlinkSocketOptions {
  /** Multicast groups to join: `RTNLGRP_*`. */
  readonly groups?: readonly number[];
  /** Descriptor of the network namespace to open it in; it stays there. Default: the daemon's own. */
  readonly netnsFd?: number;
}

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
const POLLIN = 1;
const EFD_CLOEXEC = 0o2000000;
const SOCKADDR_NL_BYTES = 12;
/** The kernel makes dump parts of at most 32 KiB unless the reader shows a larger buffer. */
const INITIAL_BUFFER_BYTES = 64 * 1024;
/** Room for bursts of notifications. */
const SUBSCRIBER_BUFFER_BYTES = 4 * 1024 * 1024;

/**
 * Opens a netlink socket.
 *
 * @param protocol `NETLINK_ROUTE` or `NETLINK_GENERIC`.
 * @throws {ErrnoError} If the kernel refuses, or the namespace cannot be entered.
 */
export function openNetlinkSocket(protocol: number, options: NetlinkSocketOptions = {}): NetlinkSocket {
  const open = (): LibcNetlinkSocket => new LibcNetlinkSocket(protocol, options.groups ?? []);
  return options.netnsFd === undefined ? open() : withNetns(options.netnsFd, open);
}

function intOption(value: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new Int32Array([value]).buffer);
}

/** One for all sockets: a datagram is received and copied out of it in one go, and sockets come by the dozen. */
let receiveBuffer: PinnedBuffer | undefined;

class LibcNetlinkSocket implements NetlinkSocket {
  readonly #socket: FileDescriptor;
  /** `struct sockaddr_nl`: u16 family, u16 pad, u32 port id of the sender (0 = kernel), u32 groups. */
  readonly #sender = new PinnedBuffer(SOCKADDR_NL_BYTES);
  readonly #senderLength = new PinnedBuffer(4);
  #wakeUp: FileDescriptor | undefined;
  #waiting = false;
  #closed = false;

  constructor(protocol: number, groups: readonly number[]) {
    prepareErrno();
    const fd = libc().socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    const errno = lastErrno();
    if (fd < 0) throw errnoError(`open netlink socket of protocol ${protocol}`, "socket", errno);
    this.#socket = new FileDescriptor(fd);
    try {
      this.#configure(groups);
    } catch (error) {
      this.#socket[Symbol.dispose]();
      throw error;
    }
  }

  #configure(groups: readonly number[]): void {
    for (const option of [NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK]) {
      this.#setOption(SOL_NETLINK, option, 1);
    }
    const address = new Uint8Array(SOCKADDR_NL_BYTES);
    new Uint16Array(address.buffer)[0] = AF_NETLINK;
    const result = libc().bind(this.#socket.fd, address, SOCKADDR_NL_BYTES);
    const errno = lastErrno();
    if (result !== 0) throw errnoError("bind netlink socket", "bind", errno);
    if (groups.length > 0) this.#enlargeQueue();
    for (const group of groups) this.#setOption(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group);
  }

  #enlargeQueue(): void {
    const value = intOption(SUBSCRIBER_BUFFER_BYTES);
    const { setsockopt } = libc();
    // FORCE goes beyond net.core.rmem_max and needs CAP_NET_ADMIN; without it, take what is allowed.
    if (setsockopt(this.#socket.fd, SOL_SOCKET, SO_RCVBUFFORCE, value, 4) !== 0) {
      setsockopt(this.#socket.fd, SOL_SOCKET, SO_RCVBUF, value, 4);
    }
  }

  #setOption(level: number, option: number, value: number): void {
    const result = libc().setsockopt(this.#socket.fd, level, option, intOption(value), 4);
    const errno = lastErrno();
    if (result !== 0) throw errnoError(`set netlink socket option ${option}`, "setsockopt", errno);
  }

  send(datagram: Uint8Array<ArrayBuffer>): void {
    const fd = this.#socket.fd;
    const length = BigInt(datagram.length);
    const sent = libc().send(fd, datagram, length, 0);
    const errno = lastErrno();
    if (sent < 0n) throw errnoError("send netlink request", "send", errno);
  }

  async sendInBackground(datagram: Uint8Array<ArrayBuffer>): Promise<void> {
    const sent = await libc().sendNonblocking(this.#socket.fd, datagram, BigInt(datagram.length), 0);
    if (sent < 0n) throw errnoError("send netlink request in the background", "send", 0);
  }

  receive(): Received {
    for (;;) {
      const received = this.#receiveOnce();
      if (received !== undefined) return received;
    }
  }

  /** `undefined`: the datagram was not the kernel's, or a signal came between. */
  #receiveOnce(): Received | undefined {
    const fd = this.#socket.fd;
    const buffer = receiveBuffer ??= new PinnedBuffer(INITIAL_BUFFER_BYTES);
    const size = BigInt(buffer.bytes.length);
    this.#senderLength.view.setUint32(0, SOCKADDR_NL_BYTES, true);
    const { recvfrom } = libc();
    const count = recvfrom(
      fd,
      buffer.pointer,
      size,
      MSG_TRUNC | MSG_DONTWAIT,
      this.#sender.pointer,
      this.#senderLength.pointer,
    );
    const errno = lastErrno();
    if (count < 0n) return this.#receiveFailed(errno);
    if (this.#sender.view.getUint32(4, true) !== 0) return undefined;
    if (count > size) {
      receiveBuffer = new PinnedBuffer(Number(count) * 2);
      return { kind: "lost" };
    }
    return { kind: "datagram", bytes: buffer.bytes.slice(0, Number(count)) };
  }

  #receiveFailed(errno: number): Received | undefined {
    if (errno === EAGAIN) return { kind: "empty" };
    if (errno === ENOBUFS) return { kind: "lost" };
    if (errno === EINTR) return undefined;
    throw errnoError("receive from netlink socket", "recvfrom", errno);
  }

  async waitReadable(): Promise<boolean> {
    if (this.#closed) return false;
    this.#wakeUp ??= openEventFd();
    const polled = pollEntries([this.#socket.fd, this.#wakeUp.fd]);
    this.#waiting = true;
    try {
      while (!this.#closed) {
        // The errno of a call on another thread is out of sight; a signal is all that can interrupt this one.
        const ready = await libc().pollNonblocking(polled, 2n, -1);
        if (ready > 0) return !this.#closed;
      }
      return false;
    } finally {
      this.#waiting = false;
      if (this.#closed) this.#release();
    }
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    // A descriptor must not be closed under a thread that polls it: wake that thread, and let it close.
    if (this.#waiting) libc().write(this.#wakeUp!.fd, new Uint8Array(new BigUint64Array([1n]).buffer), 8n);
    else this.#release();
  }

  #release(): void {
    this.#socket[Symbol.dispose]();
    this.#wakeUp?.[Symbol.dispose]();
  }
}

/** `struct pollfd` for each descriptor: s32 fd, s16 events, s16 revents. */
function pollEntries(fds: readonly number[]): Uint8Array<ArrayBuffer> {
  const entries = new Int32Array(fds.flatMap((fd) => [fd, POLLIN]));
  return new Uint8Array(entries.buffer);
}

function openEventFd(): FileDescriptor {
  const fd = libc().eventfd(0, EFD_CLOEXEC);
  const errno = lastErrno();
  if (fd < 0) throw errnoError("open event descriptor", "eventfd", errno);
  return new FileDescriptor(fd);
}
