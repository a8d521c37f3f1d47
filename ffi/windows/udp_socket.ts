/**
 * UDP sockets of Windows for a data path, bound to all addresses.
 *
 * Windows reports on a socket what happened to datagrams that it had sent: a closed port over there makes a receipt
 * here fail. That is switched off, and where it happens all the same it ends nothing.
 *
 * @see "Winsock IOCTLs" for `SIO_UDP_CONNRESET`.
 */

import { PinnedBuffer } from "../memory.ts";
import { AF_INET, AF_INET6, SOCKADDR_IN_BYTES, SOCKADDR_INET_BYTES, writeSockaddr } from "./sockaddr.ts";
import { IPPROTO_IPV6, IPPROTO_UDP } from "./socket_message.ts";
import { Win32Error } from "./win32_error.ts";
import { type Ws2, ws2, WSA } from "./ws2_32.ts";

const SOCK_DGRAM = 2;
const WSA_FLAG_OVERLAPPED = 0x01;
const WSA_FLAG_NO_HANDLE_INHERIT = 0x80;
const INVALID_SOCKET = 0xffff_ffff_ffff_ffffn;
const SOL_SOCKET = 0xffff;
const SO_SNDBUF = 0x1001;
const SO_RCVBUF = 0x1002;
/** `~SO_REUSEADDR`: without it, whoever sets `SO_REUSEADDR` takes the port from us. */
const SO_EXCLUSIVEADDRUSE = -5;
const IPV6_V6ONLY = 27;
const SIO_UDP_CONNRESET = 0x9800_000c;
const SIO_UDP_NETRESET = 0x9800_000f;
/** Room for bursts while the thread is busy with the other direction. */
const BUFFER_BYTES = 8 * 1024 * 1024;

/** A bound socket. */
export class WindowsUdpSocket implements Disposable {
  readonly #calls: Ws2;
  #socket: bigint;

  private constructor(calls: Ws2, socket: bigint, readonly family: 4 | 6, readonly port: number) {
    this.#calls = calls;
    this.#socket = socket;
  }

  /**
   * Binds an address of a family.
   *
   * @param port 0 for any.
   * @param options `address`: 4 or 16 bytes, the wildcard unless given. `calls`: the library, the system's unless given.
   * @returns Undefined on a system without that family.
   * @throws {Win32Error} {@linkcode isPortTaken} tells whether it is for the port.
   */
  static bind(
    family: 4 | 6,
    port: number,
    options: { readonly address?: Uint8Array; readonly calls?: Ws2 } = {},
  ): WindowsUdpSocket | undefined {
    const { calls = ws2(), address = new Uint8Array(family === 4 ? 4 : 16) } = options;
    const socket = openSocket(calls, family);
    if (socket === undefined) return undefined;
    try {
      configure(calls, socket, family);
      if (bindTo(calls, socket, { address, port })) {
        return new WindowsUdpSocket(calls, socket, family, boundPort(calls, socket));
      }
      calls.closesocket(socket);
      return undefined;
    } catch (error) {
      calls.closesocket(socket);
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
    if (this.#socket !== INVALID_SOCKET) this.#calls.closesocket(this.#socket);
    this.#socket = INVALID_SOCKET;
  }
}

/** @returns Undefined on a system without that family. */
function openSocket(calls: Ws2, family: 4 | 6): bigint | undefined {
  const flags = WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT;
  const socket = calls.WSASocketW(
    family === 4 ? AF_INET : AF_INET6,
    ...[SOCK_DGRAM, IPPROTO_UDP, null, 0, flags] as const,
  );
  const code = calls.WSAGetLastError();
  if (socket !== INVALID_SOCKET) return socket;
  if (code === WSA.EAFNOSUPPORT) return undefined;
  throw new Win32Error("open UDP socket", "WSASocketW", code);
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

/** Sets an option of a socket that is a number. @returns Whether the system took it. */
export function setSocketOption(
  calls: Ws2,
  socket: bigint,
  option: { readonly level: number; readonly name: number; readonly value: number },
): boolean {
  return calls.setsockopt(socket, option.level, option.name, intBytes(option.value), 4) === 0;
}

function intBytes(value: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new Int32Array([value]).buffer);
}

function configure(calls: Ws2, socket: bigint, family: 4 | 6): void {
  const set = (level: number, name: number, value: number): boolean =>
    setSocketOption(calls, socket, { level, name, value });
  set(SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1);
  set(SOL_SOCKET, SO_RCVBUF, BUFFER_BYTES);
  set(SOL_SOCKET, SO_SNDBUF, BUFFER_BYTES);
  if (family === 6) set(IPPROTO_IPV6, IPV6_V6ONLY, 1);
  // Before Windows 10 there is no NETRESET to switch off.
  for (const code of [SIO_UDP_CONNRESET, SIO_UDP_NETRESET]) {
    calls.WSAIoctl(socket, code, intBytes(0), 4, null, 0, new Uint8Array(4), null, null);
  }
}

/** @returns False where IPv6 is switched off. */
function bindTo(
  calls: Ws2,
  socket: bigint,
  to: { readonly address: Uint8Array; readonly port: number },
): boolean {
  const name = new PinnedBuffer(SOCKADDR_INET_BYTES);
  writeSockaddr(name.view, 0, to);
  const isV4 = to.address.length === 4;
  const result = calls.bind(socket, name.bytes, isV4 ? SOCKADDR_IN_BYTES : SOCKADDR_INET_BYTES);
  const code = calls.WSAGetLastError();
  if (result === 0) return true;
  if (!isV4 && code === WSA.EADDRNOTAVAIL) return false;
  const taken = code === WSA.EADDRINUSE || code === WSA.EACCES;
  throw new Win32Error(taken ? `UDP port ${to.port} is in use` : `bind UDP port ${to.port}`, "bind", code);
}

function boundPort(calls: Ws2, socket: bigint): number {
  const name = new PinnedBuffer(SOCKADDR_INET_BYTES);
  const length = new PinnedBuffer(4);
  length.view.setInt32(0, SOCKADDR_INET_BYTES, true);
  const result = calls.getsockname(socket, name.pointer, length.pointer);
  const code = calls.WSAGetLastError();
  if (result !== 0) throw new Win32Error("ask for the port of a UDP socket", "getsockname", code);
  return name.view.getUint16(2);
}
