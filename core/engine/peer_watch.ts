/**
 * Where the engine learns about peers: it looks at all devices now and then, and listens to those that tell by
 * themselves. What that means is for its observers to say.
 */

import type { DevicePeerState, PeerNews } from "../backend/backend.ts";
import { describeError } from "../errors.ts";
import { peerKey } from "../state/state_store.ts";
import { encodeKey } from "../wireguard/keys.ts";
import type { EngineContext } from "./context.ts";
import { type DeviceReader, findDevice } from "./devices.ts";

/** Time between looks: what a device does not tell by itself is known this much late at most. */
const INTERVAL_MS = 10_000;

/** A peer as a look finds it. */
export interface SeenPeer extends DevicePeerState {
  /** `""` for the global device, else the service. */
  readonly service: string;
  /** Base64. */
  readonly key: string;
  /** Whether it is a guest, which has been told to send keepalives. */
  readonly isGuest: boolean;
  /** Whether its device tells news by itself. */
  readonly isHeard: boolean;
}

/** A peer of the records that a device tells news of. */
export interface HeardPeer extends PeerNews {
  readonly service: string;
  /** Base64. */
  readonly key: string;
  readonly isGuest: boolean;
}

/** Somebody who draws conclusions. */
export interface PeerObserver {
  /** A look has found these peers: all of all devices that could be read. */
  onLook(peers: readonly SeenPeer[]): void;
  /** A device has told something. Peers of whom nothing is recorded are left out. */
  onNews(peers: readonly HeardPeer[]): void;
}

/** See the module. */
export class PeerWatch {
  readonly #context: EngineContext;
  readonly #reader: DeviceReader;
  readonly #observers: readonly PeerObserver[];
  /** News since the look under way began, by peer: what it has read may be older. */
  readonly #newer = new Map<string, HeardPeer>();
  #cancel = (): void => {};
  #unsubscribe = (): void => {};
  #stopped = false;

  constructor(context: EngineContext, reader: DeviceReader, observers: readonly PeerObserver[]) {
    this.#context = context;
    this.#reader = reader;
    this.#observers = observers;
  }

  /** Begins to listen; devices that are made from here on have somebody to tell. */
  listen(): void {
    this.#unsubscribe = this.#context.backend.watchPeers((device, news) => this.#onNews(device, news));
  }

  /** Begins to look, now and then. */
  start(): void {
    if (this.#stopped) return;
    this.#cancel = this.#context.clock.after(INTERVAL_MS, () => void this.#lookAgain());
  }

  async #lookAgain(): Promise<void> {
    try {
      await this.look();
    } catch (error) {
      this.#context.log.warn("cannot look at peers", { err: describeError(error) });
    }
    this.start();
  }

  /** Ends both. */
  stop(): void {
    this.#stopped = true;
    this.#cancel();
    this.#unsubscribe();
  }

  /** One look; resolves when all observers know. */
  async look(): Promise<void> {
    const { store } = this.#context;
    const seen: SeenPeer[] = [];
    this.#newer.clear();
    for (const service of ["", ...store.services.keys()]) {
      const device = findDevice(this.#context, service);
      const state = device && await this.#reader.read(device.interface);
      const guests = this.#guestKeys(service);
      for (const peer of state?.peers ?? []) {
        const key = encodeKey(peer.publicKey);
        const isHeard = state!.kind === "userspace";
        seen.push({ ...peer, service, key, isGuest: guests.has(key), isHeard });
      }
    }
    if (this.#stopped) return;
    const current = seen.map((peer) => updated(peer, this.#newer.get(peerKey(peer.service, peer.key))));
    for (const observer of this.#observers) observer.onLook(current);
  }

  #onNews(device: string, news: readonly PeerNews[]): void {
    this.#reader.invalidate(device);
    const service = this.#serviceOf(device);
    if (service === undefined) return;
    const guests = this.#guestKeys(service);
    const heard = news.map((one): HeardPeer => {
      const key = encodeKey(one.publicKey);
      return { ...one, service, key, isGuest: guests.has(key) };
    }).filter(({ key, isGuest }) => isGuest || this.#context.store.peers.has(peerKey(service, key)));
    for (const peer of heard) this.#newer.set(peerKey(service, peer.key), peer);
    if (heard.length > 0) { for (const observer of this.#observers) observer.onNews(heard); }
  }

  #serviceOf(device: string): string | undefined {
    const { settings, services } = this.#context.store;
    if (settings.globalDevice?.interface === device) return "";
    for (const { name, dedicated } of services.values()) if (dedicated?.interface === device) return name;
    return undefined;
  }

  /** Guests are peers of the global device. */
  #guestKeys(service: string): Set<string> {
    const guests = service === "" ? this.#context.store.guests.values() : [];
    return new Set([...guests].map((guest) => guest.publicKey));
  }
}

function updated(peer: SeenPeer, news: HeardPeer | undefined): SeenPeer {
  if (news === undefined) return peer;
  const { lastHandshakeUnixSecs, endpoint } = news;
  return { ...peer, lastHandshakeUnixSecs, ...(endpoint ? { endpoint } : {}) };
}
