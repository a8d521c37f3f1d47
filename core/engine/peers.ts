/** Peers and their allowed IPs, on the global device and on those of dedicated services. */

import type { DevicePeer } from "../backend/backend.ts";
import { describeError, InvalidConfigError, NotFoundError } from "../errors.ts";
import { formatPrefix, type IpPrefix, parsePrefix, prefixEquals } from "../ip/prefix.ts";
import { parseCidr, parsePeerPlace, parsePeerSpec } from "../network/peer_spec.ts";
import { routeChanges } from "../network/routes.ts";
import type { PeerScope, PeerSpec } from "../service.ts";
import type { PeerRecord } from "../state/records.ts";
import { peerKey, type StateWriter } from "../state/state_store.ts";
import { decodeKey } from "../wireguard/keys.ts";
import type { EngineContext } from "./context.ts";
import {
  type DeviceIdentity,
  deviceObject,
  type DeviceReader,
  guestPeers,
  requireDevice,
  routesFor,
  scopeName,
  toDevicePeer,
  wantedPeer,
} from "./devices.ts";
import type { PeerHealth } from "./health.ts";
import type { HeardEndpoints } from "./heard_endpoints.ts";
import type { PeerPlaces, SearchReason } from "./peer_places.ts";

/** Who knows where peers are. */
export interface PeerParts {
  readonly health: PeerHealth;
  readonly heard: HeardEndpoints;
  readonly places: PeerPlaces;
}

/** Changes peers: record first, then device; a device that refuses gets the record put back. */
export class Peers {
  readonly #context: EngineContext;
  readonly #reader: DeviceReader;
  readonly #parts: PeerParts;

  constructor(context: EngineContext, reader: DeviceReader, parts: PeerParts) {
    this.#context = context;
    this.#reader = reader;
    this.#parts = parts;
  }

  /**
   * Adds a peer or brings it to exactly this state; allowed IPs that another peer had move here.
   *
   * A host's name is looked up afterwards. A peer that has moved since its caller said the same place as now stays
   * where it is as long as it is healthy there: callers repeat themselves.
   */
  async add(spec: PeerSpec, scope: PeerScope): Promise<void> {
    const place = parsePeerPlace(spec.endpoint);
    await this.#change(scope, (device) => {
      const peer = parsePeerSpec(spec);
      if (spec.publicKey === device.publicKey) {
        throw new InvalidConfigError(`cannot add this node itself as a peer of ${device.interface}`);
      }
      const record: PeerRecord = {
        service: device.service,
        publicKey: spec.publicKey,
        endpoint: place.kind === "unknown" ? "" : spec.endpoint,
        allowedIps: peer.allowedIps.map(formatPrefix),
        keepaliveSeconds: peer.keepaliveSeconds,
      };
      const before = this.#context.store.peers.get(peerKey(device.service, spec.publicKey));
      const isSaidAgain = before?.endpoint === record.endpoint;
      const stays = isSaidAgain && this.#parts.health.isHealthy(device.service, spec.publicKey);
      const keepRoamed = stays || place.kind === "unknown";
      const isMoved = !keepRoamed && (place.kind === "address" || !isSaidAgain);
      return {
        label: "add_peer",
        puts: [record, ...this.#losers(record)],
        set: [keepRoamed ? wantedPeer(this.#context, record) : peer],
        keepRoamed,
        ...(isMoved ? { moved: record } : {}),
        ...(stays ? {} : { search: { record, reason: isSaidAgain ? "silent" : "said" } }),
      };
    });
  }

  /** Removes a peer; an unknown key is success. */
  remove(publicKey: string, scope: PeerScope): Promise<void> {
    return this.#change(scope, (device) => {
      const key = decodeKey(publicKey);
      const record = this.#context.store.peers.get(peerKey(device.service, publicKey));
      return { label: "remove_peer", puts: [], deletes: record ? [record] : [], set: [], remove: [key] };
    });
  }

  /** Appends an allowed IP to a peer; one that it has already changes nothing. */
  addAllowedIp(publicKey: string, cidr: string, scope: PeerScope): Promise<void> {
    return this.#change(scope, (device) => {
      const prefix = formatPrefix(parseCidr(cidr));
      const record = this.#context.store.peers.get(peerKey(device.service, publicKey));
      if (!record) {
        decodeKey(publicKey);
        throw new NotFoundError("peer", publicKey, {
          message: `cannot add allowed_ip ${cidr} to unknown peer ${publicKey}`,
        });
      }
      if (record.allowedIps.includes(prefix)) return undefined;
      const next = { ...record, allowedIps: [...record.allowedIps, prefix] };
      const set = [wantedPeer(this.#context, next)];
      return { label: "add_allowed_ip", puts: [next, ...this.#losers(next)], set, keepRoamed: true };
    });
  }

  /** Takes an allowed IP from a peer; an unknown peer or one without it is success. */
  removeAllowedIp(publicKey: string, cidr: string, scope: PeerScope): Promise<void> {
    return this.#change(scope, (device) => {
      const gone = parseCidr(cidr);
      const record = this.#context.store.peers.get(peerKey(device.service, publicKey));
      const kept = record?.allowedIps.filter((ip) => !prefixEquals(parsePrefix(ip)!, gone));
      if (!record || kept!.length === record.allowedIps.length) return undefined;
      const next = { ...record, allowedIps: kept! };
      const set = [wantedPeer(this.#context, next)];
      return { label: "remove_allowed_ip", puts: [next], set, keepRoamed: true };
    });
  }

  /** Other peers of the device that lose an allowed IP to `winner`: it has one owner only. */
  #losers(winner: PeerRecord): PeerRecord[] {
    const { peers } = this.#context.store;
    const won = winner.allowedIps.map((ip) => parsePrefix(ip)!);
    const owners = new Set(won.map((prefix) => peers.ownerOf(winner.service, prefix)));
    return [...owners].filter((peer) => peer !== undefined && peer.publicKey !== winner.publicKey)
      .map((peer) => withoutPrefixes(peer!, won));
  }

  async #change(scope: PeerScope, plan: (device: DeviceIdentity) => PeerChange | undefined): Promise<void> {
    const service = scopeName(scope);
    const lock = service === "" ? "global" : `service:${service}`;
    await this.#context.locks.run({ [lock]: "write" }, async () => {
      const device = requireDevice(this.#context, scope);
      const change = plan(device);
      if (!change) return;
      await this.#apply(device, change);
      if (change.search) this.#parts.places.want(change.search.record, change.search.reason);
    });
  }

  async #apply(device: DeviceIdentity, change: PeerChange): Promise<void> {
    const { store, backend, problems } = this.#context;
    const touched = [...change.puts, ...change.deletes ?? []];
    const before = touched.map((peer) => store.peers.get(peerKey(peer.service, peer.publicKey)));
    const routesBefore = this.#routesOf(device, before);
    const { moved } = change;
    if (moved) this.#parts.heard.forget(moved.service, moved.publicKey);
    await store.commit(change.label, (write) => {
      if (moved) write.deleteHeard(moved.service, moved.publicKey);
      for (const peer of change.deletes ?? []) write.deletePeer(peer.service, peer.publicKey);
      for (const peer of change.puts) write.putPeer(peer);
    });
    try {
      await backend.changeDevice(device.interface, {
        set: change.set,
        remove: change.remove ?? [],
        keepRoamed: change.keepRoamed ?? false,
        ...this.#routeChanges(device, routesBefore, change.puts),
      });
    } catch (error) {
      // Whatever it has done of it: the next pass compares the whole device with what is recorded.
      problems.set(deviceObject(device), describeError(error));
      store.record(`${change.label}: undone`, (write) => putBack(write, touched, before));
      throw error;
    } finally {
      this.#reader.invalidate(device.interface);
    }
  }

  /** Routes on account of these records alone: what others need is no matter of one change. */
  #routesOf(device: DeviceIdentity, records: readonly (PeerRecord | undefined)[]): IpPrefix[] {
    const peers = records.filter((record) => record !== undefined).map(toDevicePeer);
    return routesFor(this.#context, device, peers);
  }

  #routeChanges(
    device: DeviceIdentity,
    before: readonly IpPrefix[],
    puts: readonly PeerRecord[],
  ): ReturnType<typeof routeChanges> {
    const { addRoutes, removeRoutes } = routeChanges(before, this.#routesOf(device, puts));
    // A guest may have the very address that a peer had.
    const guests = removeRoutes.length === 0 ? [] : guestPeers(this.#context, device.service);
    const isGuest = (route: IpPrefix): boolean =>
      guests.some(({ allowedIps }) => allowedIps.some((ip) => prefixEquals(ip, route)));
    return { addRoutes, removeRoutes: removeRoutes.filter((route) => !isGuest(route)) };
  }
}

/** What one request does to records and device. */
interface PeerChange {
  readonly label: string;
  readonly puts: readonly PeerRecord[];
  readonly deletes?: readonly PeerRecord[];
  readonly set: readonly DevicePeer[];
  readonly remove?: readonly Uint8Array[];
  /** As in `DeviceChange`. */
  readonly keepRoamed?: boolean;
  /** A peer that is to be where its caller says: where it was heard from is forgotten. */
  readonly moved?: PeerRecord;
  /** A peer whose host may have to be looked up once the device has it. */
  readonly search?: { readonly record: PeerRecord; readonly reason: SearchReason };
}

function withoutPrefixes(peer: PeerRecord, lost: readonly IpPrefix[]): PeerRecord {
  const { allowedIps } = toDevicePeer(peer);
  const isLost = (ip: IpPrefix): boolean => lost.some((prefix) => prefixEquals(prefix, ip));
  return { ...peer, allowedIps: peer.allowedIps.filter((_, i) => !isLost(allowedIps[i]!)) };
}

function putBack(
  write: StateWriter,
  touched: readonly PeerRecord[],
  before: readonly (PeerRecord | undefined)[],
): void {
  for (const [i, peer] of touched.entries()) {
    const old = before[i];
    if (old) write.putPeer(old);
    else write.deletePeer(peer.service, peer.publicKey);
  }
}
