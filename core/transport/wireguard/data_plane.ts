/**
 * The data path of one device: TUN on one side, UDP on the other, the protocol core between. One thread does
 * nothing else; it waits for packets in the kernel and not in its event loop.
 */

import { TunPort } from "../../../ffi/linux_tun.ts";
import { PollSet } from "../../../ffi/poll_set.ts";
import { RouteLookup } from "../../../ffi/route_lookup.ts";
import { UdpPort } from "../../../ffi/udp_socket.ts";
import type { WireGuardDevice } from "../../../ffi/netlink/wireguard.ts";
import { EMPTY, wipe } from "../../wireguard/bytes.ts";
import { Device } from "../../wireguard/device.ts";
import type { DeviceOutput } from "../../wireguard/output.ts";
import type { Peer } from "../../wireguard/peer.ts";
import { Arena, TUN_IN, TUN_IN_BYTES, VNET_OUT } from "./arena.ts";
import { Coalescer, MAX_PIECES } from "./coalescer.ts";
import { choosePacketProvider } from "./crypto.ts";
import { applyChange, describeDevice, type DeviceRequest } from "./device_config.ts";
import { Greetings } from "./greetings.ts";
import { type NewsItem, PeerNewsBoard } from "./news.ts";
import { Outbox } from "./outbox.ts";
import { Receiver } from "./receiver.ts";
import { Sender } from "./sender.ts";
import { SourceRoutes } from "./source_routes.ts";

/** Descriptors of bound sockets; they stay whoever opened them's to close. */
export interface SocketFds {
  readonly 4?: number;
  readonly 6?: number;
}

/** A device as its data path tells it. */
export interface DeviceReport {
  /** Without name, port and mark, which are not the data path's. */
  readonly device: WireGuardDevice;
  /** How often something was dropped, by reason; reasons that never came up are left out. */
  readonly drops: Readonly<Record<string, number>>;
}

/** Part of the handshakes it computes that a device spends on greetings: their answers come on top. */
const GREETING_SHARE = 1 / 2;

/** See the module. Everything in it runs on the thread that made it. */
export class DataPlane {
  readonly #arena = new Arena();
  readonly #device: Device;
  readonly #tun: TunPort;
  readonly #routes: RouteLookup | undefined;
  readonly #sources: SourceRoutes;
  readonly #outbox: Outbox;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #coalescer: Coalescer;
  readonly #greetings: Greetings;
  readonly #fds: { readonly tun: number; readonly wakeUp: number };
  readonly #news = new PeerNewsBoard();
  readonly #onNews: (news: readonly NewsItem[]) => void;
  #ports: UdpPort[] = [];
  #poll: PollSet;
  #privateKey: Uint8Array | undefined;

  /** Name of the library that encrypts packets. */
  readonly cryptoName: string;

  /** @param onNews Told what the protocol learns of peers, a few times a second at most. */
  constructor(
    fds: { readonly tun: number; readonly wakeUp: number },
    onNews: (news: readonly NewsItem[]) => void,
  ) {
    this.#fds = fds;
    this.#onNews = onNews;
    this.#poll = new PollSet(fds.wakeUp, [fds.tun]);
    const provider = choosePacketProvider();
    this.cryptoName = provider.name;
    this.#device = new Device({
      crypto: provider,
      random: (bytes) => void crypto.getRandomValues(bytes as Uint8Array<ArrayBuffer>),
      wallClockMs: () => Date.now(),
    }, { handshakesPerSecond: provider.handshakesPerSecond });
    this.#greetings = new Greetings(1000 / (provider.handshakesPerSecond * GREETING_SHARE));
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
      device: this.#device,
      cipher: provider.cipherOf(this.#arena),
      tun: this.#tun,
      outbox: this.#outbox,
      coalescer: this.#coalescer,
    };
    this.#sender = new Sender(parts);
    this.#receiver = new Receiver(parts);
    this.#receiver.onOutputs = (outputs, source) => {
      this.#greetings.hasten(source);
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
      if (this.#device.deadline <= now) this.#apply(this.#device.tick(now));
      else if (this.#device.hasOutputs) this.#apply(this.#device.takeOutputs());
      if (this.#greetings.deadline <= now) this.#greetNext(now);
      this.#outbox.flush();
      if (this.#news.deadline <= now) this.#onNews(this.#news.take(now));
      if (!isBusy) {
        this.#poll.wait(Math.min(this.#device.deadline, this.#greetings.deadline, this.#news.deadline) - now);
      }
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
    this.#device.mtuBytes = mtuBytes;
    this.#sender.mtuBytes = mtuBytes;
  }

  /** Changes keys and peers. */
  configure(change: DeviceRequest): void {
    if (change.privateKey !== undefined) {
      wipe(this.#privateKey);
      this.#privateKey = change.privateKey;
    }
    if (change.fwmark !== undefined) this.#sources.fwmark = change.fwmark;
    applyChange(this.#device, change, this.#poll.now());
    this.#apply(this.#device.takeOutputs());
    this.#outbox.flush();
  }

  /** Shakes hands with all peers whose place is known, one after another beside the traffic. */
  greet(): void {
    this.#greetings.start(this.#device.peers());
  }

  /** All there is to know of the device. */
  describe(): DeviceReport {
    const { replayed, ...drops } = this.#device.drops;
    const counters = { ...drops, replayed: replayed + this.#receiver.replayed };
    return {
      device: describeDevice(this.#device, this.#device.publicKey && this.#privateKey),
      drops: Object.fromEntries(Object.entries(counters).filter(([, count]) => count > 0)),
    };
  }

  /** Zeroes all keys. */
  close(): void {
    this.#routes?.[Symbol.dispose]();
    this.#privateKey?.fill(0);
    this.#device.close();
  }

  /** By an empty packet that waits for a session. */
  #greetNext(now: number): void {
    const isWanted = (peer: Peer): boolean =>
      peer.endpoint !== undefined && peer.lastHandshakeAt === undefined &&
      this.#device.peer(peer.publicKey) === peer;
    const peer = this.#greetings.take(now, isWanted);
    if (peer === undefined) return;
    this.#device.stage(peer, EMPTY, now);
    this.#apply(this.#device.takeOutputs());
  }

  #apply(outputs: readonly DeviceOutput[]): void {
    for (const output of outputs) {
      if (output.kind === "datagram") this.#outbox.push(output.endpoint, output.bytes);
      else if (output.kind === "packet" || output.kind === "rejection") this.#deliver(output.bytes);
      else this.#news.note(output.peer, output.kind);
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
