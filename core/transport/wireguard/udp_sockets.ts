/** The sockets of a device on Linux and Windows: one for each family that the system has, on the same port. */

import { EADDRINUSE } from "../../../ffi/errno.ts";
import { ErrnoError } from "../../../ffi/errors.ts";
import { UdpSocket } from "../../../ffi/udp_socket.ts";
import { isPortTaken, WindowsUdpSocket } from "../../../ffi/windows/udp_socket.ts";
import type { Ws2 } from "../../../ffi/windows/ws2_32.ts";
import { UnsupportedError } from "../../errors.ts";
import type { DeviceSockets, SocketFds } from "./packet_plane.ts";

/** How often a port that is free for IPv4 may be taken for IPv6 before it is an error. */
const TRIES = 16;

/** A bound socket of either system. */
type BoundSocket = Pick<UdpSocket, "family" | "port" | "fd" | "mark" | typeof Symbol.dispose>;

/** How a system binds sockets. */
interface SocketSystem {
  /** @returns Undefined on a system without that family. */
  readonly bind: (family: 4 | 6, port: number, fwmark: number) => BoundSocket | undefined;
  /** Whether it failed because somebody has the port. */
  readonly isTaken: (error: unknown) => boolean;
}

const LINUX: SocketSystem = {
  bind: (family, port, fwmark) => UdpSocket.bind(family, port, { fwmark }),
  isTaken: (error) => error instanceof ErrnoError && error.errno === EADDRINUSE,
};

/** Windows, by these functions of Winsock. */
function windowsBy(calls: Ws2): SocketSystem {
  return { bind: (family, port) => WindowsUdpSocket.bind(family, port, { calls }), isTaken: isPortTaken };
}

/** See the module. */
export class UdpSockets implements DeviceSockets {
  readonly #sockets: readonly BoundSocket[];

  private constructor(sockets: readonly BoundSocket[]) {
    this.#sockets = sockets;
  }

  /**
   * Binds those of Linux.
   *
   * @param port 0 for any.
   * @throws {ErrnoError} `EADDRINUSE` for a port of another.
   */
  static bind(port: number, fwmark: number): UdpSockets {
    return UdpSockets.#bind(LINUX, port, fwmark);
  }

  /** Binds those of Windows. @throws {Win32Error} {@linkcode isPortTaken} says whether for a port of another. */
  static bindWindows(port: number, calls: Ws2): UdpSockets {
    return UdpSockets.#bind(windowsBy(calls), port, 0);
  }

  static #bind(system: SocketSystem, port: number, fwmark: number): UdpSockets {
    for (let i = 0;; i++) {
      try {
        return UdpSockets.#bindOnce(system, port, fwmark);
      } catch (error) {
        if (port !== 0 || !system.isTaken(error) || i === TRIES) throw error;
      }
    }
  }

  static #bindOnce(system: SocketSystem, port: number, fwmark: number): UdpSockets {
    const v4 = system.bind(4, port, fwmark);
    try {
      const v6 = system.bind(6, v4?.port ?? port, fwmark);
      const sockets = [v4, v6].filter((socket) => socket !== undefined);
      if (sockets.length === 0) throw new UnsupportedError("this system has neither IPv4 nor IPv6");
      return new UdpSockets(sockets);
    } catch (error) {
      v4?.[Symbol.dispose]();
      throw error;
    }
  }

  /** The port of both. */
  get port(): number {
    return this.#sockets[0]!.port;
  }

  /** Their descriptors. */
  get fds(): SocketFds {
    return Object.fromEntries(this.#sockets.map(({ family, fd }) => [family, fd]));
  }

  /** Marks what they send. */
  mark(fwmark: number): void {
    for (const socket of this.#sockets) socket.mark(fwmark);
  }

  /** Closes them. */
  [Symbol.dispose](): void {
    for (const socket of this.#sockets) socket[Symbol.dispose]();
  }
}
