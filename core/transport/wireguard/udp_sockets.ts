/** The sockets of a device: one for each family that the system has, on the same port. */

import { EADDRINUSE } from "../../../ffi/errno.ts";
import { ErrnoError } from "../../../ffi/errors.ts";
import { UdpSocket } from "../../../ffi/udp_socket.ts";
import { UnsupportedError } from "../../errors.ts";
import type { SocketFds } from "./data_plane.ts";

/** How often a port that is free for IPv4 may be taken for IPv6 before it is an error. */
const TRIES = 16;

/** See the module. */
export class UdpSockets implements Disposable {
  readonly #sockets: readonly UdpSocket[];

  private constructor(sockets: readonly UdpSocket[]) {
    this.#sockets = sockets;
  }

  /**
   * Binds them.
   *
   * @param port 0 for any.
   * @throws {ErrnoError} `EADDRINUSE` for a port of another.
   */
  static bind(port: number, fwmark: number): UdpSockets {
    for (let i = 0;; i++) {
      try {
        return UdpSockets.#bindOnce(port, fwmark);
      } catch (error) {
        const isTaken = error instanceof ErrnoError && error.errno === EADDRINUSE;
        if (port !== 0 || !isTaken || i === TRIES) throw error;
      }
    }
  }

  static #bindOnce(port: number, fwmark: number): UdpSockets {
    const v4 = UdpSocket.bind(4, port, { fwmark });
    try {
      const v6 = UdpSocket.bind(6, v4?.port ?? port, { fwmark });
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
