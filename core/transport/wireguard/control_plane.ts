/**
 * What a data path does besides packets, on every system: the protocol's timers, configuration, greetings, and
 * telling how things stand.
 */

import type { WireGuardDevice } from "../../../ffi/netlink/wireguard.ts";
import { EMPTY, wipe } from "../../wireguard/bytes.ts";
import { Device } from "../../wireguard/device.ts";
import type { PeerEndpoint } from "../../wireguard/endpoint.ts";
import type { DeviceOutput } from "../../wireguard/output.ts";
import type { Peer } from "../../wireguard/peer.ts";
import type { PacketProvider } from "./crypto.ts";
import { applyChange, describeDevice, type DeviceRequest } from "./device_config.ts";
import { Greetings } from "./greetings.ts";
import { type NewsItem, type NewsKind, PeerNewsBoard } from "./news.ts";

/** A device as its data path tells it. */
export interface DeviceReport {
  /** Without name, port and mark, which are not the data path's. */
  readonly device: WireGuardDevice;
  /** How often something was dropped, by reason; reasons that never came up are left out. */
  readonly drops: Readonly<Record<string, number>>;
}

/** Part of the handshakes it computes that a device spends on greetings: their answers come on top. */
const GREETING_SHARE = 1 / 2;

/** See the module. Times are monotonic ms, sleep included. */
export class ControlPlane {
  readonly device: Device;
  readonly #greetings: Greetings;
  readonly #news = new PeerNewsBoard();
  readonly #onNews: (news: readonly NewsItem[]) => void;
  #privateKey: Uint8Array | undefined;

  /** @param onNews Told what the protocol learns of peers, a few times a second at most. */
  constructor(provider: PacketProvider, onNews: (news: readonly NewsItem[]) => void) {
    this.#onNews = onNews;
    this.device = new Device({
      crypto: provider,
      random: (bytes) => void crypto.getRandomValues(bytes as Uint8Array<ArrayBuffer>),
      wallClockMs: () => Date.now(),
    }, { handshakesPerSecond: provider.handshakesPerSecond });
    this.#greetings = new Greetings(1000 / (provider.handshakesPerSecond * GREETING_SHARE));
  }

  /** When there is something to do without any packet. */
  get deadline(): number {
    return Math.min(this.device.deadline, this.#greetings.deadline, this.#news.deadline);
  }

  /** Does what is due. @returns What that, and packets before, have left to do. */
  due(now: number): readonly DeviceOutput[] {
    if (this.#greetings.deadline <= now) this.#greetNext(now);
    return this.device.deadline <= now ? this.device.tick(now) : this.device.takeOutputs();
  }

  /** Hands over the news, if it is time to. */
  tell(now: number): void {
    if (this.#news.deadline <= now) this.#onNews(this.#news.take(now));
  }

  /** Keeps one piece of news. */
  note(peer: Peer, kind: NewsKind): void {
    this.#news.note(peer, kind);
  }

  /** Something came from there that was no data of a session: who waits for a greeting there is next. */
  hasten(source: PeerEndpoint): void {
    this.#greetings.hasten(source);
  }

  /** Changes keys and peers. @returns What that leaves to do. */
  configure(change: DeviceRequest, now: number): readonly DeviceOutput[] {
    if (change.privateKey !== undefined) {
      wipe(this.#privateKey);
      this.#privateKey = change.privateKey;
    }
    applyChange(this.device, change, now);
    return this.device.takeOutputs();
  }

  /** Shakes hands with all peers whose place is known, one after another beside the traffic. */
  greet(): void {
    this.#greetings.start(this.device.peers());
  }

  /** All there is to know of the device. @param others Drops that only the data path has seen. */
  describe(others: Readonly<Record<string, number>>): DeviceReport {
    const drops: Record<string, number> = { ...this.device.drops };
    for (const [reason, count] of Object.entries(others)) drops[reason] = (drops[reason] ?? 0) + count;
    return {
      device: describeDevice(this.device, this.device.publicKey && this.#privateKey),
      drops: Object.fromEntries(Object.entries(drops).filter(([, count]) => count > 0)),
    };
  }

  /** Zeroes all keys. */
  close(): void {
    this.device.close();
    wipe(this.#privateKey);
  }

  /** By an empty packet that waits for a session. */
  #greetNext(now: number): void {
    const isWanted = (peer: Peer): boolean =>
      peer.endpoint !== undefined && peer.lastHandshakeAt === undefined &&
      this.device.peer(peer.publicKey) === peer;
    const peer = this.#greetings.take(now, isWanted);
    if (peer !== undefined) this.device.stage(peer, EMPTY, now);
  }
}
