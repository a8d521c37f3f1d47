/**
 * The data path of one device on Windows: the rings of a Wintun adapter on one side, UDP on the other, the protocol
 * core between. One thread does nothing else; it waits for packets in the kernel and not in its event loop.
 *
 * Simpler than that of Linux, as neither side hands over more than one packet at once.
 */

import { WaitSet } from "../../../ffi/windows/wait_set.ts";
import { type UdpTroubles, WindowsUdpPort } from "../../../ffi/windows/udp_socket.ts";
import { wintunCalls, WintunPort } from "../../../ffi/wintun.ts";
import { MESSAGE_TRANSPORT } from "../../wireguard/constants.ts";
import type { PeerEndpoint } from "../../wireguard/endpoint.ts";
import type { DeviceOutput } from "../../wireguard/output.ts";
import { ControlPlane, type DeviceReport } from "./control_plane.ts";
import type { DeviceRequest } from "./device_config.ts";
import type { NewsItem } from "./news.ts";
import type { PacketPlane, SocketFds, WindowsPlaneStart } from "./packet_plane.ts";
import { SourceCache } from "./source_cache.ts";
import { chooseWindowsProvider } from "./windows_crypto.ts";

/** Packets of one direction before the other has its turn. */
const BUDGET = 64;
/** Longest wait when the ring was empty for a reason that is not plain: its event may never be set then. */
const DOUBTFUL_WAIT_MS = 250;
/** How long a full socket is waited for before its datagram is dropped. */
const PATIENCE_MS = 10;
const TRIES = 5;

/** See the module. */
export class WindowsDataPlane implements PacketPlane {
  readonly #control: ControlPlane;
  readonly #tun: WintunPort;
  readonly #waitSet: WaitSet;
  readonly #socketEvent: number;
  readonly #sources = { 4: new SourceCache(4), 6: new SourceCache(6) };
  #ports: { readonly 4?: WindowsUdpPort; readonly 6?: WindowsUdpPort } = {};
  #all: readonly WindowsUdpPort[] = [];
  /** Of sockets that were replaced. */
  readonly #before: UdpTroubles = { unreachable: 0, tooLong: 0, receiveFailed: 0, sendFailed: 0 };

  readonly cryptoName: string;

  /** @param onNews Told what the protocol learns of peers, a few times a second at most. */
  constructor(
    { wintun, session, events }: WindowsPlaneStart,
    onNews: (news: readonly NewsItem[]) => void,
  ) {
    const provider = chooseWindowsProvider();
    this.cryptoName = provider.name;
    this.#control = new ControlPlane(provider, onNews);
    this.#tun = new WintunPort(wintunCalls(wintun), session);
    this.#waitSet = new WaitSet([events.wakeUp, events.session, events.sockets]);
    this.#socketEvent = events.sockets;
  }

  run(isInterrupted: () => boolean): void {
    while (!isInterrupted()) {
      const now = monotonicMs();
      let isBusy = this.#pumpTun(now);
      for (const port of this.#all) isBusy = this.#pumpSocket(port, now) || isBusy;
      this.#apply(this.#control.due(now));
      this.#control.tell(now);
      if (!isBusy) this.#wait(this.#control.deadline - now);
    }
  }

  setSockets(fds: SocketFds): void {
    for (const { troubles } of this.#all) addTroubles(this.#before, troubles);
    const event = this.#socketEvent;
    this.#ports = {
      ...fds[4] === undefined ? {} : { 4: new WindowsUdpPort(fds[4], 4, { event }) },
      ...fds[6] === undefined ? {} : { 6: new WindowsUdpPort(fds[6], 6, { event }) },
    };
    this.#all = [this.#ports[4], this.#ports[6]].filter((port) => port !== undefined);
  }

  setMtu(mtuBytes: number): void {
    this.#control.device.mtuBytes = mtuBytes;
  }

  configure(change: DeviceRequest): void {
    this.#apply(this.#control.configure(change, monotonicMs()));
  }

  greet(): void {
    this.#control.greet();
  }

  describe(): DeviceReport {
    const troubles = { ...this.#before };
    for (const port of this.#all) addTroubles(troubles, port.troubles);
    return this.#control.describe({
      tunnelFull: this.#tun.full,
      udpUnreachable: troubles.unreachable,
      udpTooLong: troubles.tooLong,
      udpReceiveFailed: troubles.receiveFailed,
      udpSendFailed: troubles.sendFailed,
    });
  }

  close(): void {
    this.#control.close();
  }

  /** @returns Whether there was anything. */
  #pumpTun(now: number): boolean {
    for (let i = 0; i < BUDGET; i++) {
      const packet = this.#tun.read();
      if (packet === undefined) return i > 0;
      this.#apply(this.#control.device.handleTun(packet, now));
    }
    return true;
  }

  #pumpSocket(port: WindowsUdpPort, now: number): boolean {
    for (let i = 0; i < BUDGET; i++) {
      const datagram = port.receive();
      if (datagram === undefined) return i > 0;
      const source = this.#sources[port.family].endpointOf(port);
      // Of handshakes the core keeps parts, and the next receipt overwrites these bytes.
      const isData = datagram[0] === MESSAGE_TRANSPORT;
      if (!isData) this.#control.hasten(source);
      this.#apply(this.#control.device.handleUdp(isData ? datagram : datagram.slice(), source, now));
    }
    return true;
  }

  #wait(timeoutMs: number): void {
    this.#waitSet.wait(this.#tun.isDrained ? timeoutMs : Math.min(timeoutMs, DOUBTFUL_WAIT_MS));
    for (const port of this.#all) port.acknowledge();
  }

  #apply(outputs: readonly DeviceOutput[]): void {
    for (const output of outputs) {
      if (output.kind === "datagram") this.#send(output.endpoint, output.bytes);
      else if (output.kind === "packet" || output.kind === "rejection") this.#write(output.bytes);
      else this.#control.note(output.peer, output.kind);
    }
  }

  #write(packet: Uint8Array): void {
    this.#tun.write(packet as Uint8Array<ArrayBuffer>);
  }

  #send(to: PeerEndpoint, datagram: Uint8Array): void {
    const port = this.#ports[to.family];
    if (port === undefined) return;
    for (let i = 0; i < TRIES; i++) {
      if (port.send(to, datagram as Uint8Array<ArrayBuffer>)) return;
      port.waitWritable(PATIENCE_MS);
    }
  }
}

/** On Windows this is `QueryPerformanceCounter`, which goes on while the machine sleeps. */
function monotonicMs(): number {
  return performance.now();
}

function addTroubles(sum: UdpTroubles, more: UdpTroubles): void {
  for (const reason of Object.keys(sum) as (keyof UdpTroubles)[]) sum[reason] += more[reason];
}
