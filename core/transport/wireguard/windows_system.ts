/**
 * The data path's {@linkcode PlaneSystem} of Windows: the rings of a Wintun adapter, one packet each; UDP by Winsock,
 * in trains where the system cuts and joins them; and one wait for the events of all.
 */

import { VNET_HEADER_BYTES } from "../../../ffi/linux_tun.ts";
import { probeUdpFeatures } from "../../../ffi/windows/udp_features.ts";
import {
  noTroubles,
  type UdpFeatures,
  type UdpTroubles,
  WindowsUdpPort,
} from "../../../ffi/windows/udp_port.ts";
import { WindowsRouteLookup } from "../../../ffi/windows/route_lookup.ts";
import { WaitSet } from "../../../ffi/windows/wait_set.ts";
import { type Ws2, ws2 } from "../../../ffi/windows/ws2_32.ts";
import { wintunCalls, WintunPort } from "../../../ffi/wintun_port.ts";
import { Arena, TUN_IN } from "./arena.ts";
import type { PacketProvider } from "./crypto.ts";
import type { SocketFds, WindowsPlaneStart } from "./packet_plane.ts";
import type { PlaneSystem } from "./plane_system.ts";
import { chooseWindowsProvider } from "./windows_crypto.ts";

/** Longest wait when the ring was empty for a reason that is not plain: its event may never be set then. */
const DOUBTFUL_WAIT_MS = 250;

/** See the module. */
export class WindowsSystem implements PlaneSystem {
  readonly arena = new Arena();
  readonly provider: PacketProvider;
  readonly tun: WintunPort;
  readonly routes: WindowsRouteLookup | undefined;
  readonly #waitSet: WaitSet;
  readonly #socketEvent: number;
  readonly #calls: Ws2;
  readonly #features: UdpFeatures;
  #ports: readonly WindowsUdpPort[] = [];
  /** Of sockets that were replaced. */
  readonly #before: UdpTroubles = noTroubles();

  constructor({ wintun, session, winsock, ipHelper, events }: WindowsPlaneStart) {
    this.tun = new WintunPort(wintunCalls(wintun), session, this.arena, {
      readOffset: TUN_IN,
      headerBytes: VNET_HEADER_BYTES,
    });
    this.#waitSet = new WaitSet([events.wakeUp, events.session, events.sockets]);
    this.#socketEvent = events.sockets;
    this.#calls = ws2(winsock);
    this.#features = probeUdpFeatures(this.#calls);
    // Last of what may fail, as it has to be closed.
    this.provider = chooseWindowsProvider();
    this.routes = openRoutes(ipHelper);
  }

  get lostSockets(): string | undefined {
    for (const { failure } of this.#ports) if (failure !== undefined) return failure;
    return undefined;
  }

  /** On Windows this is `QueryPerformanceCounter`, which goes on while the machine sleeps. */
  now(): number {
    return performance.now();
  }

  openPorts(fds: SocketFds): { readonly 4?: WindowsUdpPort; readonly 6?: WindowsUdpPort } {
    for (const { troubles } of this.#ports) addTroubles(this.#before, troubles);
    const ports = {
      ...fds[4] === undefined ? {} : { 4: this.#openPort(fds[4], 4) },
      ...fds[6] === undefined ? {} : { 6: this.#openPort(fds[6], 6) },
    };
    this.#ports = Object.values(ports);
    return ports;
  }

  #openPort(socket: number, family: 4 | 6): WindowsUdpPort {
    return new WindowsUdpPort(socket, family, this.arena, {
      event: this.#socketEvent,
      features: this.#features,
      calls: this.#calls,
    });
  }

  wait(timeoutMs: number): void {
    this.#waitSet.wait(this.tun.isDrained ? timeoutMs : Math.min(timeoutMs, DOUBTFUL_WAIT_MS));
    for (const port of this.#ports) port.acknowledge();
  }

  get drops(): Readonly<Record<string, number>> {
    const troubles = { ...this.#before };
    for (const port of this.#ports) addTroubles(troubles, port.troubles);
    return {
      tunnelFull: this.tun.full,
      udpUnreachable: troubles.unreachable,
      udpTooLong: troubles.tooLong,
      udpReceiveFailed: troubles.receiveFailed,
      udpSendFailed: troubles.sendFailed,
      udpSourceGone: troubles.sourceGone,
      udpUnmarkedTrain: troubles.unmarkedTrain,
    };
  }

  /** What else it works on is the tunnel's to close. */
  close(): void {
    this.routes?.[Symbol.dispose]();
    this.provider.close?.();
  }
}

/** Undefined where Windows does not tell of changes: sources are then good until sending fails. */
function openRoutes(ipHelper: string): WindowsRouteLookup | undefined {
  try {
    return new WindowsRouteLookup(ipHelper);
  } catch {
    return undefined;
  }
}

function addTroubles(sum: UdpTroubles, more: UdpTroubles): void {
  for (const reason of Object.keys(sum) as (keyof UdpTroubles)[]) sum[reason] += more[reason];
}
