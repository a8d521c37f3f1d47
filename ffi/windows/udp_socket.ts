/**
 * UDP sockets of Windows for a data path: bound to all addresses, nonblocking, one datagram for a call.
 *
 * Windows reports on a socket what happened to datagrams that it had sent: a closed port over there makes a receipt
 * here fail. That is switched off, and where it happens all the same it ends nothing.
 *
 * @see "Winsock IOCTLs" for `SIO_UDP_CONNRESET`; `WSAEventSelect` for when an event is set again.
 */

import { PinnedBuffer } from "../memory.ts";
import { AF_INET, AF_INET6, SOCKADDR_IN_BYTES, SOCKADDR_INET_BYTES, writeSockaddr } from "./sockaddr.ts";
import { Win32Error } from "./win32_error.ts";
import { type Ws2, ws2, WSA } from "./ws2_32.ts";

const SOCK_DGRAM = 2;
const IPPROTO_UDP = 17;
const WSA_FLAG_OVERLAPPED = 0x01;
const WSA_FLAG_NO_HANDLE_INHERIT = 0x80;
const INVALID_SOCKET = 0xffff_ffff_ffff_ffffn;
const SOL_SOCKET = 0xffff;
const SO_SNDBUF = 0x1001;
const SO_RCVBUF = 0x1002;
/** `~SO_REUSEADDR`: without it, whoever sets `SO_REUSEADDR` takes the port from us. */
const SO_EXCLUSIVEADDRUSE = -5;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 27;
const SIO_UDP_CONNRESET = 0x9800_000c;
const SIO_UDP_NETRESET = 0x9800_000f;
const FD_READ = 1;
const POLLWRNORM = 0x10;
/** `sizeof(WSAPOLLFD)`: SOCKET, SHORT events, SHORT revents. */
const WSAPOLLFD_BYTES = 16;
/** `sizeof(WSANETWORKEVENTS)`. */
const NETWORK_EVENTS_BYTES = 44;
/** Room for bursts while the thread is busy with the other direction. */
const BUFFER_BYTES = 8 * 1024 * 1024;
/** Largest datagram. */
const DATAGRAM_BYTES = 65_536;
/** Failed receipts in a row before the others have their turn. */
const MAX_FAILURES = 64;

/** A bound socket. */
export class WindowsUdpSocket implements Disposable {
  #socket: bigint;

  private constructor(socket: bigint, readonly family: 4 | 6, readonly port: number) {
    this.#socket = socket;
  }

  /**
   * Binds the wildcard address of a family.
   *
   * @param port 0 for any.
   * @returns Undefined on a system without that family.
   * @throws {Win32Error} {@linkcode isPortTaken} tells whether it is for the port.
   */
  static bind(family: 4 | 6, port: number): WindowsUdpSocket | undefined {
    const { WSASocketW, WSAGetLastError, closesocket } = ws2();
    const flags = WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT;
    const socket = WSASocketW(family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM, IPPROTO_UDP, null, 0, flags);
    const code = WSAGetLastError();
    if (socket === INVALID_SOCKET && code === WSA.EAFNOSUPPORT) return undefined;
    if (socket === INVALID_SOCKET) throw new Win32Error("open UDP socket", "WSASocketW", code);
    try {
      configure(socket, family);
      if (bindTo(socket, family, port)) return new WindowsUdpSocket(socket, family, boundPort(socket));
      closesocket(socket);
      return undefined;
    } catch (error) {
      closesocket(socket);
      throw error;
    }
  }

  /** The handle. It stays this object's to close. @throws {TypeError} If it was closed. */
  get fd(): number {
    if (this.#socket === INVALID_SOCKET) throw new TypeError("the socket is closed");
    return Number(this.#socket);
  }

  /** Nothing: Windows has no marks on packets. */
  mark(_fwmark: number): void {}

  /** Closes it; a second call does nothing. */
  [Symbol.dispose](): void {
    if (this.#socket !== INVALID_SOCKET) ws2().closesocket(this.#socket);
    this.#socket = INVALID_SOCKET;
  }
}

/** Whether a bind failed because somebody has the port; Windows also says so by refusing access. */
export function isPortTaken(error: unknown): boolean {
  return error instanceof Win32Error && (error.code === WSA.EADDRINUSE || error.code === WSA.EACCES);
}

/** Whether the port can be bound on the wildcard address of the family. A family that is absent is free. */
export function canBindWindowsUdp(family: 4 | 6, port: number): boolean {
  try {
    using _socket = WindowsUdpSocket.bind(family, port);
    return true;
  } catch (error) {
    if (isPortTaken(error)) return false;
    throw error;
  }
}

function intBytes(value: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new Int32Array([value]).buffer);
}

function configure(socket: bigint, family: 4 | 6): void {
  const { setsockopt, WSAIoctl } = ws2();
  const set = (level: number, name: number, value: number): number =>
    setsockopt(socket, level, name, intBytes(value), 4);
  set(SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1);
  set(SOL_SOCKET, SO_RCVBUF, BUFFER_BYTES);
  set(SOL_SOCKET, SO_SNDBUF, BUFFER_BYTES);
  if (family === 6) set(IPPROTO_IPV6, IPV6_V6ONLY, 1);
  // Before Windows 10 there is no NETRESET to switch off.
  for (const code of [SIO_UDP_CONNRESET, SIO_UDP_NETRESET]) {
    WSAIoctl(socket, code, intBytes(0), 4, null, 0, new Uint8Array(4), null, null);
  }
}

/** @returns False where IPv6 is switched off. */
function bindTo(socket: bigint, family: 4 | 6, port: number): boolean {
  const name = new PinnedBuffer(SOCKADDR_INET_BYTES);
  writeSockaddr(name.view, 0, { address: new Uint8Array(family === 4 ? 4 : 16), port });
  const { bind, WSAGetLastError } = ws2();
  const result = bind(socket, name.bytes, family === 4 ? SOCKADDR_IN_BYTES : SOCKADDR_INET_BYTES);
  const code = WSAGetLastError();
  if (result === 0) return true;
  if (family === 6 && code === WSA.EADDRNOTAVAIL) return false;
  const taken = code === WSA.EADDRINUSE || code === WSA.EACCES;
  throw new Win32Error(taken ? `UDP port ${port} is in use` : `bind UDP port ${port}`, "bind", code);
}

function boundPort(socket: bigint): number {
  const name = new PinnedBuffer(SOCKADDR_INET_BYTES);
  const length = new PinnedBuffer(4);
  length.view.setInt32(0, SOCKADDR_INET_BYTES, true);
  const { getsockname, WSAGetLastError } = ws2();
  const result = getsockname(socket, name.pointer, length.pointer);
  const code = WSAGetLastError();
  if (result !== 0) throw new Win32Error("ask for the port of a UDP socket", "getsockname", code);
  return name.view.getUint16(2);
}

/** Why datagrams did not come or go, as counted. */
export interface UdpTroubles {
  /** Told by the network of something sent before: nobody listens there, or it did not get there. */
  unreachable: number;
  /** Received and larger than any datagram of ours. */
  tooLong: number;
  /** Receipts that failed otherwise. */
  receiveFailed: number;
  /** Not taken by the system. */
  sendFailed: number;
}

/** Sending and receiving on a bound socket; for the thread of the data path. */
export class WindowsUdpPort {
  readonly family: 4 | 6;
  /** Where the last receipt came from: `sockaddr_in` up to the address, or `sockaddr_in6`. */
  readonly source: Uint8Array;
  /** Our own address that it came to, which is not asked for. */
  readonly local: Uint8Array = new Uint8Array(0);
  readonly interfaceIndex = 0;
  readonly troubles: UdpTroubles = { unreachable: 0, tooLong: 0, receiveFailed: 0, sendFailed: 0 };
  readonly #calls: Ws2;
  readonly #socket: bigint;
  readonly #event: bigint;
  readonly #in = new PinnedBuffer(DATAGRAM_BYTES);
  readonly #name = new PinnedBuffer(SOCKADDR_INET_BYTES);
  readonly #nameLength = new PinnedBuffer(4);
  readonly #to = new PinnedBuffer(SOCKADDR_INET_BYTES);
  readonly #events = new PinnedBuffer(NETWORK_EVENTS_BYTES);
  readonly #writable = new PinnedBuffer(WSAPOLLFD_BYTES);
  #destination: UdpDestination | undefined;

  /**
   * @param socket Of a {@linkcode WindowsUdpSocket}.
   * @param event A manual event, set from now on when there is something to receive; sockets may share one.
   */
  constructor(socket: number, family: 4 | 6, options: { readonly event: number; readonly calls?: Ws2 }) {
    this.#calls = options.calls ?? ws2();
    this.#socket = BigInt(socket);
    this.#event = BigInt(options.event);
    this.family = family;
    this.source = this.#name.bytes.subarray(0, family === 4 ? 8 : SOCKADDR_INET_BYTES);
    const result = this.#calls.WSAEventSelect(this.#socket, this.#event, FD_READ);
    const code = this.#calls.WSAGetLastError();
    if (result !== 0) throw new Win32Error("listen to a UDP socket", "WSAEventSelect", code);
  }

  /** Unsets the event; a receipt that leaves something behind sets it again. To be called after each wait. */
  acknowledge(): void {
    this.#calls.WSAEnumNetworkEvents(this.#socket, this.#event, this.#events.pointer);
  }

  /**
   * Receives a datagram.
   *
   * @returns A view that the next call overwrites; undefined when nothing is there.
   */
  receive(): Uint8Array<ArrayBuffer> | undefined {
    const { recvfrom, WSAGetLastError } = this.#calls;
    for (let failures = 0; failures < MAX_FAILURES; failures++) {
      this.#nameLength.view.setInt32(0, SOCKADDR_INET_BYTES, true);
      const [name, length] = [this.#name.pointer, this.#nameLength.pointer];
      const count = recvfrom(this.#socket, this.#in.pointer, DATAGRAM_BYTES, 0, name, length);
      const code = WSAGetLastError();
      if (count > 0) return this.#in.bytes.subarray(0, count);
      if (count < 0 && code === WSA.EWOULDBLOCK) return undefined;
      if (count < 0) this.#receiveFailed(code);
    }
    return undefined;
  }

  #receiveFailed(code: number): void {
    if (code === WSA.ECONNRESET || code === WSA.ENETRESET) this.troubles.unreachable++;
    else if (code === WSA.EMSGSIZE) this.troubles.tooLong++;
    else this.troubles.receiveFailed++;
  }

  /**
   * Sends a datagram.
   *
   * @returns True once the system has it, or will not take it; false if there is no room and it is worth trying again.
   */
  send(to: UdpDestination, datagram: Uint8Array<ArrayBuffer>): boolean {
    if (to !== this.#destination) this.#prepare(to);
    const { sendto, WSAGetLastError } = this.#calls;
    const length = this.family === 4 ? SOCKADDR_IN_BYTES : SOCKADDR_INET_BYTES;
    const sent = sendto(this.#socket, datagram, datagram.length, 0, this.#to.pointer, length);
    const code = WSAGetLastError();
    if (sent >= 0) return true;
    if (code === WSA.EWOULDBLOCK) return false;
    this.troubles.sendFailed++;
    return true;
  }

  /** Blocks this thread until there is room to send, or so many ms have passed. */
  waitWritable(timeoutMs: number): void {
    this.#writable.view.setBigUint64(0, this.#socket, true);
    this.#writable.view.setInt16(8, POLLWRNORM, true);
    this.#calls.WSAPoll(this.#writable.pointer, 1, timeoutMs);
  }

  #prepare(to: UdpDestination): void {
    this.#destination = to;
    this.#to.bytes.fill(0);
    writeSockaddr(this.#to.view, 0, to);
  }
}

/** Where a datagram goes; the address is of the socket's family. */
export interface UdpDestination {
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  readonly port: number;
  readonly scopeId: number;
}
