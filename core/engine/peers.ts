/** Peers and their allowed IPs, on the global device and on those of dedicated services. */

import type { DevicePeer } from "../backend/backend.ts";
import { describeError, InvalidConfigError, NotFoundError } from "../errors.ts";
import { formatPrefix, type IpPrefix, parsePrefix, prefixEquals } from "../ip/prefix.ts";
import { parseCidr, parsePeerEndpoint, parsePeerSpec } from "../network/peer_spec.ts";
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
  peersOf,
  requireDevice,
  scopeName,
  toDevicePeer,
  wantedRoutes,
} from "./devices.ts";

/** Changes peers: record first, then device; a device that refuses gets the record put back. */
export class Peers {
  readonly #context: EngineContext;
  readonly #reader: DeviceReader;

  constructor(context: EngineContext, reader: DeviceReader) {
    this.#context = context;
    this.#reader = reader;
  }

  /** Adds a peer or brings it to exactly this state; allowed IPs that another peer had move here. */
  async add(spec: PeerSpec, scope: PeerScope): Promise<void> {
    parsePeerEndpoint(spec.endpoint);
    await this.#change(scope, (device) => {
      const peer = parsePeerSpec(spec);
      if (spec.publicKey === device.publicKey) {
        throw new InvalidConfigError(`cannot add this node itself as a peer of ${device.interface}`);
      }
      const record: PeerRecord = {
        service: device.service,
        publicKey: spec.publicKey,
        endpoint: peer.endpoint ? spec.endpoint : "",
        allowedIps: peer.allowedIps.map(formatPrefix),
        keepaliveSeconds: peer.keepaliveSeconds,
      };
      return { label: "add_peer", puts: [record, ...this.#losers(record)], set: [peer] };
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
      return { label: "add_allowed_ip", puts: [next, ...this.#losers(next)], set: [toDevicePeer(next)] };
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
      return { label: "remove_allowed_ip", puts: [next], set: [toDevicePeer(next)] };
    });
  }

  /** Other peers of the device that lose an allowed IP to `winner`: it has one owner only. */
  #losers(winner: PeerRecord): PeerRecord[] {
    const won = winner.allowedIps.map((ip) => parsePrefix(ip)!);
    return peersOf(this.#context, winner.service).flatMap((peer) => {
      if (peer.publicKey === winner.publicKey) return [];
      const { allowedIps } = toDevicePeer(peer);
      const isLost = (ip: IpPrefix): boolean => won.some((prefix) => prefixEquals(prefix, ip));
      if (!allowedIps.some(isLost)) return [];
      return [{ ...peer, allowedIps: peer.allowedIps.filter((_, i) => !isLost(allowedIps[i]!)) }];
    });
  }

  async #change(scope: PeerScope, plan: (device: DeviceIdentity) => PeerChange | undefined): Promise<void> {
    const service = scopeName(scope);
    const lock = service === "" ? "global" : `service:${service}`;
    await this.#context.locks.run({ [lock]: "write" }, async () => {
      const device = requireDevice(this.#context, scope);
      const change = plan(device);
      if (change) await this.#apply(device, change);
    });
  }

  async #apply(device: DeviceIdentity, change: PeerChange): Promise<void> {
    const { store, backend, problems } = this.#context;
    const touched = [...change.puts, ...change.deletes ?? []];
    const before = touched.map((peer) => store.peers.get(peerKey(peer.service, peer.publicKey)));
    const routesBefore = wantedRoutes(this.#context, device);
    await store.commit(change.label, (write) => {
      for (const peer of change.deletes ?? []) write.deletePeer(peer.service, peer.publicKey);
      for (const peer of change.puts) write.putPeer(peer);
    });
    try {
      await backend.changeDevice(device.interface, {
        set: change.set,
        remove: change.remove ?? [],
        ...routeChanges(routesBefore, wantedRoutes(this.#context, device)),
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
}

/** What one request does to records and device. */
interface PeerChange {
  readonly label: string;
  readonly puts: readonly PeerRecord[];
  readonly deletes?: readonly PeerRecord[];
  readonly set: readonly DevicePeer[];
  readonly remove?: readonly Uint8Array[];
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
