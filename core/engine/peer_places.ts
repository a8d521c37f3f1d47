/**
 * Brings peers to where their callers say that they are, when that takes more than passing it on: a host's name
 * has to be looked up, and again when the peer does not answer, since its address may have changed; and a peer
 * that was followed to a place where it does not answer any more is looked for where its caller said.
 *
 * Nobody waits for a name: `add_peer` is answered before, and what cannot be resolved is tried again.
 */

import type { DevicePeer } from "../backend/backend.ts";
import { describeError } from "../errors.ts";
import {
  formatPeerEndpoint,
  parsePeerPlace,
  type PeerEndpoint,
  type PeerPlace,
  samePeerEndpoint,
} from "../network/peer_spec.ts";
import type { Resolver } from "../resolver.ts";
import type { PeerRecord } from "../state/records.ts";
import { peerKey } from "../state/state_store.ts";
import { encodeKey } from "../wireguard/keys.ts";
import type { EngineContext } from "./context.ts";
import { type DeviceIdentity, type DeviceReader, findDevice, toDevicePeer } from "./devices.ts";
import type { HeardEndpoints } from "./heard_endpoints.ts";
import { NameLookups } from "./name_lookups.ts";
import type { HeardPeer, PeerObserver, SeenPeer } from "./peer_watch.ts";

/** First pause after a name was not resolved; each further one is twice as long. */
const RETRY_FIRST_MS = 5_000;
/** First pause before the name of a peer that does not answer is looked up again. */
const AGAIN_FIRST_MS = 30_000;
/** Longest pause of both. */
const PAUSE_MAX_MS = 300_000;

/** Where we are with a peer's name. */
interface Task {
  /** Endpoint of the record that is being worked for. */
  readonly text: string;
  /** Failures in a row. */
  failures: number;
  /** Look-ups since the peer last answered. */
  rounds: number;
  /** Not looked up again before this, monotonic ms. */
  notBefore: number;
  isRunning: boolean;
  cancel: () => void;
}

/**
 * Why a peer is looked for: `start`, its place is not known, and one that has spoken meanwhile stays where it is;
 * `said`, its caller has named another place; `silent`, it does not answer where it is.
 */
export type SearchReason = "start" | "said" | "silent";

/** A peer that is to be elsewhere. */
interface Move {
  readonly record: PeerRecord;
  /** Where it may be, best first. */
  readonly places: readonly PeerEndpoint[];
  readonly reason: SearchReason;
}

/** What a search needs to know of the peers' health. */
interface HealthFacts {
  isHealthy(service: string, key: string): boolean;
}

/** See the module. */
export class PeerPlaces implements PeerObserver {
  readonly #context: EngineContext;
  readonly #reader: DeviceReader;
  readonly #heard: HeardEndpoints;
  readonly #health: HealthFacts;
  readonly #lookups: NameLookups;
  readonly #tasks = new Map<string, Task>();
  /** Moves that wait for their device, by service. */
  readonly #moves = new Map<string, Map<string, Move>>();
  #stopped = false;

  constructor(
    context: EngineContext,
    parts: { reader: DeviceReader; heard: HeardEndpoints; health: HealthFacts; resolver: Resolver },
  ) {
    this.#context = context;
    this.#reader = parts.reader;
    this.#heard = parts.heard;
    this.#health = parts.health;
    this.#lookups = new NameLookups(parts.resolver);
  }

  /** Looks up the names of all recorded peers. */
  start(): void {
    for (const record of this.#context.store.peers.values()) this.want(record, "start");
  }

  /** Ends it. Look-ups under way come to nothing. */
  stop(): void {
    this.#stopped = true;
    for (const task of this.#tasks.values()) task.cancel();
  }

  /** Looks up the name of a peer, if it has one, unless that was done a moment ago; returns at once. */
  want(record: PeerRecord, reason: SearchReason): void {
    const id = peerKey(record.service, record.publicKey);
    const before = this.#tasks.get(id);
    const isSame = before?.text === record.endpoint;
    if (isSame && before.isRunning) return;
    if (isSame && reason === "silent" && this.#context.clock.monotonicMs() < before.notBefore) return;
    before?.cancel();
    this.#tasks.delete(id);
    if (placeOf(record).kind !== "name") return;
    const task = isSame ? before : newTask(record);
    this.#tasks.set(id, task);
    void this.#lookUp(id, task, reason);
  }

  onLook(peers: readonly SeenPeer[]): void {
    const { store } = this.#context;
    for (const id of this.#tasks.keys()) if (!store.peers.has(id)) this.#drop(id);
    for (const { service, key, endpoint, isHeard } of peers) {
      const record = store.peers.get(peerKey(service, key));
      if (record === undefined) continue;
      // A device in user space says itself when it has tried in vain, which takes its time.
      if (this.#health.isHealthy(service, key)) this.#found(service, key);
      else if (endpoint === undefined) this.#search(record, "start", endpoint);
      else if (!isHeard) this.#search(record, "silent", endpoint);
    }
  }

  onNews(peers: readonly HeardPeer[]): void {
    for (const { service, key, handshake, endpoint } of peers) {
      const record = this.#context.store.peers.get(peerKey(service, key));
      if (record && handshake === "failed") this.#search(record, "silent", endpoint);
      else if (handshake === "completed") this.#found(service, key);
    }
  }

  #drop(id: string): void {
    this.#tasks.get(id)?.cancel();
    this.#tasks.delete(id);
  }

  #found(service: string, key: string): void {
    const task = this.#tasks.get(peerKey(service, key));
    if (task !== undefined) task.rounds = 0;
  }

  /** A peer is not where it is looked for now. */
  #search(record: PeerRecord, reason: SearchReason, endpoint: PeerEndpoint | undefined): void {
    if (this.#stopped) return;
    const place = placeOf(record);
    if (place.kind === "address" && !samePeerEndpoint(place.endpoint, endpoint)) {
      this.#move({ record, places: [place.endpoint], reason });
    } else if (place.kind === "name") {
      const task = this.#tasks.get(peerKey(record.service, record.publicKey));
      // One whose look-up has failed is tried again anyway.
      if (task?.text !== record.endpoint || task.failures === 0) this.want(record, reason);
    }
  }

  async #lookUp(id: string, task: Task, reason: SearchReason): Promise<void> {
    const { store, clock, log } = this.#context;
    const record = store.peers.get(id);
    const place = record && placeOf(record);
    if (this.#stopped || place?.kind !== "name" || record!.endpoint !== task.text) return;
    task.isRunning = true;
    try {
      const addresses = await this.#lookups.resolve(place.name);
      if (task.failures > 0) log.info("the name of a peer's host is resolved", { endpoint: task.text });
      task.failures = 0;
      task.notBefore = clock.monotonicMs() + pause(AGAIN_FIRST_MS, task.rounds++);
      const current = store.peers.get(id);
      if (this.#tasks.get(id) !== task || current?.endpoint !== task.text) return;
      this.#move({ record: current, places: addresses.map((ip) => ({ ip, port: place.port })), reason });
    } catch (err) {
      this.#tryAgain(id, task, { reason, err });
    } finally {
      task.isRunning = false;
    }
  }

  #tryAgain(
    id: string,
    task: Task,
    { err, reason }: { readonly err: unknown; readonly reason: SearchReason },
  ): void {
    if (this.#stopped || this.#tasks.get(id) !== task) return;
    const { clock, log } = this.#context;
    const delayMs = pause(RETRY_FIRST_MS, task.failures++);
    const fields = { endpoint: task.text, retry_secs: delayMs / 1000, err: describeError(err) };
    if (task.failures === 1) log.warn("the name of a peer's host is not resolved, trying again", fields);
    else log.debug("the name of a peer's host is still not resolved", fields);
    task.cancel = clock.after(delayMs, () => void this.#lookUp(id, task, reason));
  }

  /** Moves wait for the device together. */
  #move(move: Move): void {
    const { service, publicKey } = move.record;
    let moves = this.#moves.get(service);
    const isFirst = moves === undefined;
    if (!moves) this.#moves.set(service, moves = new Map());
    moves.set(publicKey, move);
    if (isFirst) void this.#carryOut(service);
  }

  async #carryOut(service: string): Promise<void> {
    const { locks, log } = this.#context;
    try {
      await locks.run({ [service === "" ? "global" : `service:${service}`]: "write" }, async () => {
        const moves = [...this.#moves.get(service)?.values() ?? []];
        this.#moves.delete(service);
        const device = findDevice(this.#context, service);
        if (!this.#stopped && device) await this.#applyAll(device, moves);
      });
    } catch (err) {
      if (!this.#stopped) log.warn("cannot change where a peer is looked for", { service, err });
    }
  }

  async #applyAll(device: DeviceIdentity, moves: readonly Move[]): Promise<void> {
    const { backend } = this.#context;
    const { peers } = await backend.readDevice(device.interface);
    const live = new Map(peers.map(({ publicKey, endpoint }) => [encodeKey(publicKey), endpoint]));
    for (const keepRoamed of [false, true]) {
      const set = moves.filter(({ reason }) => (reason === "start") === keepRoamed)
        .map((move) => this.#moved(move, live.get(move.record.publicKey)))
        .filter((peer) => peer !== undefined);
      if (set.length === 0) continue;
      const nothing = { remove: [], addRoutes: [], removeRoutes: [] };
      await backend.changeDevice(device.interface, { set, ...nothing, keepRoamed });
      this.#reader.invalidate(device.interface);
    }
  }

  /** A peer at its new place; `undefined` if it is there or has been given another meanwhile. */
  #moved(move: Move, live: PeerEndpoint | undefined): DevicePeer | undefined {
    const { store, log } = this.#context;
    const record = store.peers.get(peerKey(move.record.service, move.record.publicKey));
    const endpoint = choose(move, live);
    if (record?.endpoint !== move.record.endpoint || samePeerEndpoint(live, endpoint)) return undefined;
    if (move.reason !== "start") this.#forget(record);
    log.info("peer is looked for at another place", {
      said: record.endpoint,
      endpoint: formatPeerEndpoint(endpoint),
      reason: move.reason,
    });
    return { ...toDevicePeer(record), endpoint };
  }

  #forget({ service, publicKey }: PeerRecord): void {
    this.#heard.forget(service, publicKey);
    if (!this.#context.store.heard.has(peerKey(service, publicKey))) return;
    this.#context.store.record("peer looked for elsewhere", (write) => write.deleteHeard(service, publicKey));
  }
}

function placeOf(record: PeerRecord): PeerPlace {
  return record.endpoint === "" ? { kind: "unknown" } : parsePeerPlace(record.endpoint);
}

function pause(firstMs: number, times: number): number {
  return Math.min(firstMs * 2 ** Math.min(times, 16), PAUSE_MAX_MS);
}

/** One of several addresses: the present one while it may do, the next one when it does not answer. */
function choose({ places, reason }: Move, live: PeerEndpoint | undefined): PeerEndpoint {
  const at = places.findIndex((place) => samePeerEndpoint(place, live));
  if (at < 0) return places[0]!;
  return places[reason === "silent" ? (at + 1) % places.length : at]!;
}

function newTask({ endpoint: text }: PeerRecord): Task {
  return { text, failures: 0, rounds: 0, notBefore: 0, isRunning: false, cancel: () => {} };
}
