/**
 * What a data path works on, each system its own way: an interface, sockets, a clock and a wait. The seams are at the
 * level of calls to the system, so that everything from packets to datagrams is one for all.
 */

import type { UdpDestination } from "../../../ffi/udp_port.ts";
import type { Arena } from "./arena.ts";
import type { PacketSink } from "./coalescer.ts";
import type { PacketProvider } from "./crypto.ts";
import type { SocketFds } from "./packet_plane.ts";
import type { SourcePort } from "./source_cache.ts";
import type { RoutingTable } from "./source_routes.ts";

/** Where packets come from. */
export interface PacketSource {
  /**
   * Reads a packet with its header to `TUN_IN` of the arena.
   *
   * @returns Its bytes; 0 when none is there.
   * @throws {FfiError} If the interface is gone for good.
   */
  read(): number;
}

/** A bound socket: `UdpPort` of Linux, `WindowsUdpPort`. */
export interface DatagramPort extends SourcePort {
  readonly family: 4 | 6;
  /** Bytes of each datagram of the last receipt but the last one, which may be shorter. */
  readonly segmentBytes: number;
  /** Receives into the arena. @returns Bytes, 0 for an empty datagram; -1 when nothing is there. */
  receive(offset: number, length: number): number;
  /**
   * Sends datagrams that lie one behind the other in the arena.
   *
   * @param segmentBytes Of each but the last, which may be shorter.
   * @returns Bytes that are done with; fewer than `length` when it is worth trying again with the rest.
   */
  send(to: UdpDestination, offset: number, length: number, segmentBytes: number): number;
  /** Blocks this thread until there is room to send, or so many ms have passed. */
  waitWritable(timeoutMs: number): void;
  /** Told that a lone message was not authentic: it may have been several that came as one. */
  doubtReceipt?(): void;
}

/** See the module. Everything of it is used on one thread. */
export interface PlaneSystem {
  readonly arena: Arena;
  /** Encrypts packets. */
  readonly provider: PacketProvider;
  readonly tun: PacketSource & PacketSink;
  /** Undefined where it cannot be asked: then an address of ours is good until sending fails. */
  readonly routes: RoutingTable | undefined;
  /** Why the sockets will not work again; undefined as long as they do, and when there are none. */
  readonly lostSockets: string | undefined;
  /** Milliseconds since some time, sleep included. */
  now(): number;
  /** Uses these sockets from now on. */
  openPorts(fds: SocketFds): { readonly 4?: DatagramPort; readonly 6?: DatagramPort };
  /** Blocks this thread until there is something to do, or so many ms have passed. */
  wait(timeoutMs: number): void;
  /** Drops that only the system has seen, by reason. */
  readonly drops: Readonly<Record<string, number>>;
  close(): void;
}
