/** The data path's {@linkcode PlaneSystem} of Linux: a TUN device, `poll`, and the routing table by netlink. */

import { TunPort } from "../../../ffi/linux_tun.ts";
import { PollSet } from "../../../ffi/poll_set.ts";
import { RouteLookup } from "../../../ffi/route_lookup.ts";
import { UdpPort } from "../../../ffi/udp_port.ts";
import { Arena, TUN_IN, TUN_IN_BYTES } from "./arena.ts";
import { MAX_PIECES } from "./coalescer.ts";
import { choosePacketProvider, type PacketProvider } from "./crypto.ts";
import type { SocketFds } from "./packet_plane.ts";
import type { PlaneSystem } from "./plane_system.ts";

/** See the module. */
export class LinuxSystem implements PlaneSystem {
  readonly arena = new Arena();
  readonly provider: PacketProvider = choosePacketProvider();
  readonly tun: TunPort;
  readonly routes: RouteLookup | undefined;
  /** Linux keeps a socket as long as its descriptor. */
  readonly lostSockets = undefined;
  readonly drops: Readonly<Record<string, number>> = {};
  readonly #fds: { readonly tun: number; readonly wakeUp: number };
  #poll: PollSet;

  constructor(fds: { readonly tun: number; readonly wakeUp: number }) {
    this.#fds = fds;
    this.#poll = new PollSet(fds.wakeUp, [fds.tun]);
    this.tun = new TunPort(fds.tun, this.arena, {
      readOffset: TUN_IN,
      readBytes: TUN_IN_BYTES,
      maxPieces: MAX_PIECES,
    });
    // Last of what may fail, as it has to be closed.
    this.routes = openRoutes();
  }

  now(): number {
    return this.#poll.now();
  }

  openPorts(fds: SocketFds): { readonly 4?: UdpPort; readonly 6?: UdpPort } {
    const all = [fds[4], fds[6]].filter((fd) => fd !== undefined);
    this.#poll = new PollSet(this.#fds.wakeUp, [this.#fds.tun, ...all]);
    return {
      ...fds[4] === undefined ? {} : { 4: new UdpPort(fds[4], 4, this.arena) },
      ...fds[6] === undefined ? {} : { 6: new UdpPort(fds[6], 6, this.arena) },
    };
  }

  wait(timeoutMs: number): void {
    this.#poll.wait(timeoutMs);
  }

  close(): void {
    this.routes?.[Symbol.dispose]();
  }
}

/** Undefined where the process may not ask: sources then stay what they were. */
function openRoutes(): RouteLookup | undefined {
  try {
    return RouteLookup.open();
  } catch {
    return undefined;
  }
}
