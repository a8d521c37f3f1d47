/**
 * The data path of one device: an interface on one side, UDP on the other, the protocol core between. One thread does
 * nothing else; it waits for packets in the kernel and not in its event loop.
 */

import type { DeviceOutput } from "../../wireguard/output.ts";
import { TUN_IN, VNET_OUT } from "./arena.ts";
import { Coalescer } from "./coalescer.ts";
import { ControlPlane, type DeviceReport } from "./control_plane.ts";
import type { DeviceRequest } from "./device_config.ts";
import type { NewsItem } from "./news.ts";
import { Outbox } from "./outbox.ts";
import type { PacketPlane, SocketFds } from "./packet_plane.ts";
import type { DatagramPort, PlaneSystem } from "./plane_system.ts";
import { Receiver } from "./receiver.ts";
import { Sender } from "./sender.ts";
import { SourceRoutes } from "./source_routes.ts";

/** Who is told what a data path learns. */
export interface PlaneListener {
  /** What the protocol learns of peers, a few times a second at most. */
  readonly onNews: (news: readonly NewsItem[]) => void;
  /** The sockets will not work again, and why; once for those that were given last. */
  readonly onSocketsLost: (why: string) => void;
}

/** See the module. Everything in it runs on the thread that made it. */
export class DataPlane implements PacketPlane {
  readonly #system: PlaneSystem;
  readonly #listener: PlaneListener;
  readonly #control: ControlPlane;
  readonly #sources: SourceRoutes;
  readonly #outbox: Outbox;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #coalescer: Coalescer;
  #ports: readonly DatagramPort[] = [];
  #areSocketsLost = false;

  /** Name of the library that encrypts packets. */
  readonly cryptoName: string;

  /** @param system Closed with it. */
  constructor(system: PlaneSystem, listener: PlaneListener) {
    const { arena, provider, tun, routes } = system;
    this.#system = system;
    this.#listener = listener;
    this.cryptoName = provider.name;
    this.#control = new ControlPlane(provider, listener.onNews);
    this.#sources = new SourceRoutes(routes);
    this.#outbox = new Outbox(arena, this.#sources);
    this.#coalescer = new Coalescer(arena, tun);
    const parts = {
      arena,
      device: this.#control.device,
      cipher: provider.cipherOf(arena),
      tun,
      outbox: this.#outbox,
      coalescer: this.#coalescer,
    };
    this.#sender = new Sender(parts);
    this.#receiver = new Receiver(parts);
    this.#receiver.onOutputs = (outputs, source) => {
      this.#control.hasten(source);
      this.#apply(outputs);
    };
  }

  /** Moves packets until `isInterrupted` says that there is something else to do. */
  run(isInterrupted: () => boolean): void {
    const system = this.#system;
    while (!isInterrupted()) {
      const now = system.now();
      this.#sources.poll(now);
      let isBusy = this.#sender.pump(now);
      for (const port of this.#ports) isBusy = this.#receiver.pump(port, now) || isBusy;
      this.#apply(this.#control.due(now));
      this.#outbox.flush();
      this.#control.tell(now);
      if (system.lostSockets !== undefined) this.#tellLoss(system.lostSockets);
      if (!isBusy) system.wait(this.#control.deadline - now);
    }
  }

  #tellLoss(why: string): void {
    if (this.#areSocketsLost) return;
    this.#areSocketsLost = true;
    this.#listener.onSocketsLost(why);
  }

  /** Uses these sockets from now on. */
  setSockets(fds: SocketFds): void {
    const ports = this.#system.openPorts(fds);
    this.#outbox.ports = { 4: ports[4], 6: ports[6] };
    this.#ports = [ports[4], ports[6]].filter((port) => port !== undefined);
    this.#areSocketsLost = false;
  }

  /** Changes the MTU of the interface, past which nothing is padded. */
  setMtu(mtuBytes: number): void {
    this.#control.device.mtuBytes = mtuBytes;
    this.#sender.mtuBytes = mtuBytes;
  }

  /** Changes keys and peers. */
  configure(change: DeviceRequest): void {
    if (change.fwmark !== undefined) this.#sources.fwmark = change.fwmark;
    this.#apply(this.#control.configure(change, this.#system.now()));
    this.#outbox.flush();
  }

  /** Shakes hands with all peers whose place is known, one after another beside the traffic. */
  greet(): void {
    this.#control.greet();
  }

  /** All there is to know of the device. */
  describe(): DeviceReport {
    return this.#control.describe({ replayed: this.#receiver.replayed, ...this.#system.drops });
  }

  /** Zeroes all keys, and then lets go of the library that has them. */
  close(): void {
    this.#control.close();
    this.#system.close();
  }

  #apply(outputs: readonly DeviceOutput[]): void {
    for (const output of outputs) {
      if (output.kind === "datagram") this.#outbox.push(output.endpoint, output.bytes);
      else if (output.kind === "packet" || output.kind === "rejection") this.#deliver(output.bytes);
      else this.#control.note(output.peer, output.kind);
    }
  }

  /** A packet that did not come by the fast way; its bytes are outside of the arena. */
  #deliver(packet: Uint8Array): void {
    const { bytes } = this.#system.arena;
    this.#coalescer.flush();
    bytes.fill(0, VNET_OUT, TUN_IN);
    bytes.set(packet, this.#outbox.scratch);
    this.#coalescer.add(this.#outbox.scratch, packet.length);
    this.#coalescer.flush();
  }
}
