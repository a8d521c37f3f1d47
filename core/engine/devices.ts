/** From records to what the backend wants to hear about WireGuard devices, and what the devices say back. */

import type { DevicePeer, DeviceSpec, DeviceState } from "../backend/backend.ts";
import { NotFoundError, PreconditionError } from "../errors.ts";
import { parseIp } from "../ip/address.ts";
import { hostPrefix, type IpPrefix, parsePrefix } from "../ip/prefix.ts";
import { deviceRoutes } from "../network/routes.ts";
import { parsePeerEndpoint, parsePeerPlace } from "../network/peer_spec.ts";
import type { PeerScope } from "../service.ts";
import type { PeerRecord } from "../state/records.ts";
import { peerKey } from "../state/state_store.ts";
import { decodeKey } from "../wireguard/keys.ts";
import type { EngineContext } from "./context.ts";

/** How old a read of a device may be before `status` asks again, in milliseconds. */
const READ_MAX_AGE_MS = 250;

/** What the engine knows about a device: enough to make it. */
export interface DeviceIdentity {
  /** `""` for the global device, else the service. */
  readonly service: string;
  readonly interface: string;
  readonly tag: string;
  /** With the length on the link. */
  readonly address: string;
  readonly listenPort: number;
  readonly mtuBytes: number;
  readonly privateKey: string;
  readonly publicKey: string;
}

/** Name of a scope in records: `""` for global. */
export function scopeName(scope: PeerScope): string {
  return scope.scope === "global" ? "" : scope.service;
}

/** How problems and operators call the object that a device belongs to. */
export function deviceObject({ service }: DeviceIdentity): string {
  return service === "" ? "global" : `service:${service}`;
}

/** The device of a scope, if it is recorded. */
export function findDevice(context: EngineContext, service: string): DeviceIdentity | undefined {
  const { store } = context;
  if (service === "") {
    const device = store.settings.globalDevice;
    return device && { ...device, service };
  }
  const record = store.services.get(service);
  if (!record?.dedicated) return undefined;
  const { interface: name, tag, port, overlayIp, publicKey, privateKey } = record.dedicated;
  return {
    service,
    interface: name,
    tag,
    // Only the address: the bridge owns the subnet, and two equal routes would cut the containers off (W15).
    address: hostText(overlayIp),
    listenPort: port,
    mtuBytes: record.mtuBytes,
    publicKey,
    privateKey,
  };
}

/**
 * The device that peers of a scope belong to.
 *
 * @throws {PreconditionError} With the texts callers know: daemon.md 7.3.
 */
export function requireDevice(context: EngineContext, scope: PeerScope): DeviceIdentity {
  const service = scopeName(scope);
  const ready = service === ""
    ? context.store.settings.globalDevice?.phase === "ready"
    : context.store.services.get(service)?.phase === "ready";
  const device = ready ? findDevice(context, service) : undefined;
  if (device) return device;
  throw new PreconditionError(
    scope.scope === "global"
      ? "global overlay not set up"
      : `no dedicated overlay for service ${scope.service}`,
  );
}

/** Peers recorded for a device, in the order they came. */
export function peersOf(context: EngineContext, service: string): PeerRecord[] {
  return context.store.peers.ofService(service);
}

/** Peers by the records they were read from, which never change: a device may have a thousand. */
const DEVICE_PEERS = new WeakMap<PeerRecord, DevicePeer>();

/** A recorded peer as its caller described it: at an address, if it gave one. */
export function toDevicePeer(record: PeerRecord): DevicePeer {
  let peer = DEVICE_PEERS.get(record);
  if (!peer) DEVICE_PEERS.set(record, peer = readPeer(record));
  return peer;
}

function readPeer(peer: PeerRecord): DevicePeer {
  const place = peer.endpoint === "" ? undefined : parsePeerPlace(peer.endpoint);
  return {
    publicKey: decodeKey(peer.publicKey),
    ...(place?.kind === "address" ? { endpoint: place.endpoint } : {}),
    allowedIps: peer.allowedIps.map((cidr) => parsePrefix(cidr)!),
    keepaliveSeconds: peer.keepaliveSeconds,
  };
}

/** A recorded peer as the device has to have it: at the place where it is to be looked for. */
export function wantedPeer(context: EngineContext, record: PeerRecord): DevicePeer {
  return atItsPlace(context, toDevicePeer(record), peerKey(record.service, record.publicKey));
}

/**
 * Where it was heard from is newer than what its caller said. After a reboot of this host the caller's word
 * counts again: what had been heard of may have depended on a network that is no more.
 */
function atItsPlace(context: EngineContext, peer: DevicePeer, key: string): DevicePeer {
  const heard = context.store.heard.get(key);
  if (heard === undefined) return peer;
  if (peer.endpoint !== undefined && heard.heardUnixSecs < bootUnixSecs(context)) return peer;
  const endpoint = parsePeerEndpoint(heard.endpoint);
  return endpoint === undefined ? peer : { ...peer, endpoint };
}

/** When this host was booted, Unix time; as right as the wall clock. */
export function bootUnixSecs({ clock }: EngineContext): number {
  return clock.wallSeconds() - clock.boottimeMs() / 1000;
}

/** Peers that the device has to have: those the caller added and, on the global one, the guests. */
export function wantedPeers(context: EngineContext, service: string): DevicePeer[] {
  return [
    ...peersOf(context, service).map((record) => wantedPeer(context, record)),
    ...guestPeers(context, service),
  ];
}

/** Guests that are peers of the device: all of them on the global one. */
export function guestPeers(context: EngineContext, service: string): DevicePeer[] {
  if (service !== "") return [];
  const guests = [...context.store.guests.values()].filter(({ phase }) => phase !== "removing");
  return guests.map(({ publicKey, overlayIp }) => {
    const allowedIps = [hostPrefix(parseIp(overlayIp)!)];
    const peer: DevicePeer = { publicKey: decodeKey(publicKey), allowedIps, keepaliveSeconds: 0 };
    return atItsPlace(context, peer, peerKey("", publicKey));
  });
}

/** Routes that the device has to have. */
export function wantedRoutes(context: EngineContext, device: DeviceIdentity): IpPrefix[] {
  return routesFor(context, device, wantedPeers(context, device.service));
}

/** Routes that the device has to have on account of these peers. */
export function routesFor(
  context: EngineContext,
  device: DeviceIdentity,
  peers: readonly DevicePeer[],
): IpPrefix[] {
  const allowed = peers.flatMap((peer) => peer.allowedIps);
  return deviceRoutes(parsePrefix(device.address)!, allowed, context.addresses.localSubnets());
}

/** The whole device as it has to be. */
export function deviceSpec(context: EngineContext, device: DeviceIdentity): DeviceSpec {
  return {
    name: device.interface,
    tag: device.tag,
    privateKey: decodeKey(device.privateKey),
    listenPort: device.listenPort,
    address: parsePrefix(device.address)!,
    mtuBytes: device.mtuBytes,
    peers: wantedPeers(context, device.service),
    routes: wantedRoutes(context, device),
  };
}

function hostText(ip: string): string {
  return `${ip}/${parseIp(ip)!.family === 4 ? 32 : 128}`;
}

/** Reads devices for `status`: many askers share one read, and a read is fresh enough for a moment. */
export class DeviceReader {
  readonly #context: EngineContext;
  readonly #reads = new Map<
    string,
    { readonly at: number; readonly state: Promise<DeviceState | undefined> }
  >();

  constructor(context: EngineContext) {
    this.#context = context;
  }

  /** State of a device; `undefined` when it cannot be read (status then shows no peers, and never an error). */
  read(name: string): Promise<DeviceState | undefined> {
    const now = this.#context.clock.monotonicMs();
    const last = this.#reads.get(name);
    if (last && now - last.at < READ_MAX_AGE_MS) return last.state;
    const state = this.#context.backend.readDevice(name).catch((err) => {
      if (!(err instanceof NotFoundError)) {
        this.#context.log.warn("cannot read WireGuard device", { interface: name, err });
      }
      return undefined;
    });
    this.#reads.set(name, { at: now, state });
    return state;
  }

  /** Forgets what was read, after a change. */
  invalidate(name: string): void {
    this.#reads.delete(name);
  }
}
