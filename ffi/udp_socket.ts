/**
 * UDP sockets for a data path, bound to the wildcard address: receipts tell the local address (`IP_PKTINFO`) and
 * come joined (`UDP_GRO`), and what does not fit the way is fragmented. `udp_port.ts` sends and receives.
 *
 * @see udp(7), ip(7), ipv6(7).
 */

import { EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, errnoError, lastErrno, prepareErrno } from "./errno.ts";
import { FileDescriptor } from "./file_descriptor.ts";
import { libc } from "./libc.ts";
import { PinnedBuffer } from "./memory.ts";
import { AF_INET, AF_INET6 } from "./netlink/constants.ts";
import { encodeSockaddr, SOCKADDR_BYTES } from "./sockaddr.ts";

const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SO_MARK = 36;
const IPPROTO_IP = 0;
const IP_PKTINFO = 8;
const IP_MTU_DISCOVER = 10;
const IPPROTO_IPV6 = 41;
const IPV6_MTU_DISCOVER = 23;
const IPV6_V6ONLY = 26;
const IPV6_RECVPKTINFO = 49;
const PMTUDISC_DONT = 0;
const SOL_UDP = 17;
const UDP_GRO = 104;
/** Room for bursts while the thread is busy with the other direction. */
const BUFFER_BYTES = 8 * 1024 * 1024;

/** A bound socket. */
export class UdpSocket implements Disposable {
  readonly #file: FileDescriptor;

  private constructor(file: FileDescriptor, readonly family: 4 | 6, readonly port: number) {
    this.#file = file;
  }

  /**
   * Binds the wildcard address of a family, in the network namespace of this thread.
   *
   * @param port 0 for any.
   * @returns Undefined on a system without that family.
   * @throws {ErrnoError} `EADDRINUSE`, and others that the kernel gives.
   */
  static bind(
    family: 4 | 6,
    port: number,
    options: { readonly fwmark?: number } = {},
  ): UdpSocket | undefined {
    prepareErrno();
    const type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    const fd = libc().socket(family === 4 ? AF_INET : AF_INET6, type, 0);
    const errno = lastErrno();
    if (fd < 0 && errno === EAFNOSUPPORT) return undefined;
    if (fd < 0) throw errnoError("open UDP socket", "socket", errno);
    const file = new FileDescriptor(fd);
    try {
      configure(fd, family);
      if (options.fwmark) setMark(fd, options.fwmark);
      if (!bindTo(fd, family, port)) {
        file[Symbol.dispose]();
        return undefined;
      }
      return new UdpSocket(file, family, port === 0 ? boundPort(fd) : port);
    } catch (error) {
      file[Symbol.dispose]();
      throw error;
    }
  }

  /** The descriptor, nonblocking. It stays this object's to close. */
  get fd(): number {
    return this.#file.fd;
  }

  /** Marks what is sent, for policy routing. @param fwmark u32, 0 for none. */
  mark(fwmark: number): void {
    setMark(this.#file.fd, fwmark);
  }

  /** Closes it. */
  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
}

function intOption(value: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new Int32Array([value]).buffer);
}

function configure(fd: number, family: 4 | 6): void {
  const { setsockopt } = libc();
  const set = (level: number, name: number, value: number): number =>
    setsockopt(fd, level, name, intOption(value), 4);
  if (family === 6) {
    set(IPPROTO_IPV6, IPV6_V6ONLY, 1);
    set(IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    set(IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DONT);
  } else {
    set(IPPROTO_IP, IP_PKTINFO, 1);
    // What does not fit the way is fragmented, as the kernel's WireGuard does.
    set(IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DONT);
  }
  // Before Linux 5.0 there is no GRO for UDP: datagrams then come one by one.
  set(SOL_UDP, UDP_GRO, 1);
  // FORCE goes beyond net.core.*mem_max and needs CAP_NET_ADMIN; without it, take what is allowed.
  if (set(SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES) !== 0) set(SOL_SOCKET, SO_RCVBUF, BUFFER_BYTES);
  if (set(SOL_SOCKET, SO_SNDBUFFORCE, BUFFER_BYTES) !== 0) set(SOL_SOCKET, SO_SNDBUF, BUFFER_BYTES);
}

function setMark(fd: number, fwmark: number): void {
  const result = libc().setsockopt(fd, SOL_SOCKET, SO_MARK, intOption(fwmark | 0), 4);
  const errno = lastErrno();
  if (result !== 0) throw errnoError(`mark UDP socket with ${fwmark}`, "setsockopt", errno);
}

/** @returns False where IPv6 is compiled in and switched off. */
function bindTo(fd: number, family: 4 | 6, port: number): boolean {
  const address = encodeSockaddr({ address: new Uint8Array(family === 4 ? 4 : 16), port });
  const result = libc().bind(fd, address, address.length);
  const errno = lastErrno();
  if (result === 0) return true;
  if (family === 6 && errno === EADDRNOTAVAIL) return false;
  const why = errno === EADDRINUSE ? `UDP port ${port} is in use` : `bind UDP port ${port}`;
  throw errnoError(why, "bind", errno);
}

function boundPort(fd: number): number {
  const name = new PinnedBuffer(SOCKADDR_BYTES);
  const length = new PinnedBuffer(4);
  length.view.setUint32(0, SOCKADDR_BYTES, true);
  const result = libc().getsockname(fd, name.pointer, length.pointer);
  const errno = lastErrno();
  if (result !== 0) throw errnoError("ask for the port of a UDP socket", "getsockname", errno);
  return name.view.getUint16(2);
}
