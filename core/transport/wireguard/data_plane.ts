/**
 * The data path of one device: TUN on one side, UDP on the other, the protocol core between. One thread does
 * nothing else; it waits for packets in the kernel and not in its event loop.
 */

import { TunPort } from "../../../ffi/linux_tun.ts";
import { PollSet } from "../../../ffi/poll_set.ts";
import { RouteLookup } from "../../../ffi/route_lookup.ts";
import { UdpPort } from "../../../ffi/udp_socket.ts";
import type { DeviceOutput } from "../../wireguard/output.ts";
import { Arena, TUN_IN, TUN_IN_BYTES, VNET_OUT } from "./arena.ts";
import { Coalescer, MAX_PIECES } from "./coalescer.ts";
import { ControlPlane, type DeviceReport } from "./control_plane.ts";
import { choosePacketProvider } from "./crypto.ts";
import type { DeviceRequest } from "./device_config.ts";
import type { NewsItem } from "./news.ts";
import { Outbox } from "./outbox.ts";
import type { PacketPlane, SocketFds } from "./packet_plane.ts";
import { Receiver } from "./receiver.ts";
import { Sender } from "./sender.ts";
import { SourceRoutes } from "./source_routes.ts";

/** See the module. Everything in it runs on the thread that made it. */
export class DataPlane implements PacketPlane {
  readonly #arena = new Arena();
  readonly #control: ControlPlane;
  readonly #tun: TunPort;
  readonly #routes: RouteLookup | undefined;
  readonly #sources: SourceRoutes;
  readonly #outbox: Outbox;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #coalescer: Coalescer;
  readonly #fds: { readonly tun: number; readonly wakeUp: number };
  #ports: UdpPort[] = [];
  #poll: PollSet;

  /** Name of the library that encrypts packets. */
  readonly cryptoName: string;

  /** @param onNews Told what the protocol learns of peers, a few times a second at most. */
  constructor(
    fds: { readonly tun: number; readonly wakeUp: number },
    onNews: (news: readonly NewsItem[]) => void,
  ) {
    this.#fds = fds;
    this.#poll = new PollSet(fds.wakeUp, [fds.tun]);
    const provider = choosePacketProvider();
    this.cryptoName = provider.name;
    this.#control = new ControlPlane(provider, onNews);
    this.#tun = new TunPort(fds.tun, this.#arena, {
      readOffset: TUN_IN,
      readBytes: TUN_IN_BYTES,
      maxPieces: MAX_PIECES,
    });
    // Last of what may fail, as it has to be closed.
    this.#routes = openRoutes();
    this.#sources = new SourceRoutes(this.#routes);
    this.#outbox = new Outbox(this.#arena, this.#sources);
    this.#coalescer = new Coalescer(this.#arena, this.#tun);
    const parts = {
      arena: this.#arena,
      device: this.#control.device,
      cipher: provider.cipherOf(this.#arena),
      tun: this.#tun,
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
    while (!isInterrupted()) {
      const now = this.#poll.now();
      this.#sources.poll(now);
      let isBusy = this.#sender.pump(now);
      for (const port of this.#ports) isBusy = this.#receiver.pump(port, now) || isBusy;
      this.#apply(this.#control.due(now));
      this.#outbox.flush();
      this.#control.tell(now);
      if (!isBusy) this.#poll.wait(this.#control.deadline - now);
    }
  }

  /** Uses these sockets from now on. */
  setSockets(fds: SocketFds): void {
    const [v4, v6] = ([4, 6] as const).map((family) => {
      const fd = fds[family];
      return fd === undefined ? undefined : new UdpPort(fd, family, this.#arena);
    });
    this.#outbox.ports = { 4: v4, 6: v6 };
    this.#ports = [v4, v6].filter((port) => port !== undefined);
    const all = [fds[4], fds[6]].filter((fd) => fd !== undefined);
    this.#poll = new PollSet(this.#fds.wakeUp, [this.#fds.tun, ...all]);
  }

  /** Changes the MTU of the TUN, past which nothing is padded. */
  setMtu(mtuBytes: number): void {
    this.#control.device.mtuBytes = mtuBytes;
    this.#sender.mtuBytes = mtuBytes;
  }

  /** Changes keys and peers. */
  configure(change: DeviceRequest): void {
    if (change.fwmark !== undefined) this.#sources.fwmark = change.fwmark;
    this.#apply(this.#control.configure(change, this.#poll.now()));
    this.#outbox.flush();
  }

  /** Shakes hands with all peers whose place is known, one after another beside the traffic. */
  greet(): void {
    this.#control.greet();
  }

  /** All there is to know of the device. */
  describe(): DeviceReport {
    return this.#control.describe({ replayed: this.#receiver.replayed });
  }

  /** Zeroes all keys. */
  close(): void {
    this.#routes?.[Symbol.dispose]();
    this.#control.close();
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
    this.#coalescer.flush();
    this.#arena.bytes.fill(0, VNET_OUT, TUN_IN);
    this.#arena.bytes.set(packet, this.#outbox.scratch);
    this.#coalescer.add(this.#outbox.scratch, packet.length);
    this.#coalescer.flush();
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
