/** What has to change on a WireGuard device: the difference between how it is and how it should be. Pure. */

import { bytesEqual } from "../../ffi/bytes.ts";
import { WGPEER_F_REMOVE_ME, WGPEER_F_REPLACE_ALLOWEDIPS } from "../../ffi/netlink/constants.ts";
import type { AllowedIp, WireGuardDevice, WireGuardPeer } from "../../ffi/netlink/wireguard.ts";
import type { SocketAddress } from "../../ffi/sockaddr.ts";
import { ipFromBytes, ipToBytes } from "../ip/address.ts";
import { InvalidConfigError } from "../errors.ts";
import { formatPrefix, type IpPrefix } from "../ip/prefix.ts";
import { clampKey, fromAllowedIp, toAllowedIp } from "../transport/wireguard/kernel_terms.ts";
import type { DeviceRequest } from "../transport/wireguard/device_config.ts";
import type { NewsItem } from "../transport/wireguard/news.ts";
import type {
  DeviceChange,
  DevicePeer,
  DevicePeerState,
  DeviceSpec,
  DeviceState,
  PeerNews,
} from "./backend.ts";

/** The change that makes the device as specified; `undefined` if it is. Only what differs is in it. */
export function planDevice(present: WireGuardDevice, wanted: DeviceSpec): WireGuardDevice | undefined {
  const find = peerFinder(present);
  const peers = [
    ...removedPeers(present, wanted.peers),
    ...wanted.peers.map((peer) => planPeer(find(peer.publicKey), peer, { keepRoamed: true }))
      .filter((peer) => peer !== undefined),
  ];
  const privateKey = clampKey(wanted.privateKey);
  const sameKey = present.privateKey !== undefined && bytesEqual(present.privateKey, privateKey);
  const change: WireGuardDevice = {
    ...sameKey ? {} : { privateKey },
    ...present.listenPort === wanted.listenPort ? {} : { listenPort: wanted.listenPort },
    ...peers.length === 0 ? {} : { peers: inOrder(peers) },
  };
  return Object.keys(change).length === 0 ? undefined : { name: wanted.name, ...change };
}

/** The request for a change of peers; `undefined` if all is so already. */
export function planChange(
  name: string,
  present: WireGuardDevice,
  change: DeviceChange,
): WireGuardDevice | undefined {
  const { keepRoamed = false } = change;
  const find = peerFinder(present);
  const peers = [
    ...change.remove.map(find).filter((peer) => peer !== undefined)
      .map((peer) => ({ publicKey: peer.publicKey!, flags: WGPEER_F_REMOVE_ME })),
    ...change.set.map((peer) => planPeer(find(peer.publicKey), peer, { keepRoamed }))
      .filter((peer) => peer !== undefined),
  ];
  return peers.length === 0 ? undefined : { name, peers: inOrder(peers) };
}

/**
 * The request for a change of peers, for a device that passes over what is so already: nothing has to be read then.
 * Kernel devices are not such; they drop and put back allowed IPs that stay.
 */
export function changeRequest(name: string, change: DeviceChange): DeviceRequest {
  const removed = change.remove.map((publicKey) => ({ publicKey, flags: WGPEER_F_REMOVE_ME }));
  const set = change.set.map((peer) => {
    return { ...planPeer(undefined, peer)!, keepaliveSeconds: peer.keepaliveSeconds };
  });
  return { name, peers: inOrder([...removed, ...set]), keepRoamed: change.keepRoamed ?? false };
}

/**
 * A prefix belongs to one peer: giving it to a second takes it from the first. So peers that only lose go first,
 * and one that gives a prefix away does not take it back afterwards.
 */
function inOrder(peers: readonly WireGuardPeer[]): WireGuardPeer[] {
  return peers.toSorted((a, b) => rank(a) - rank(b));
}

function rank(peer: WireGuardPeer): number {
  return ((peer.flags ?? 0) & WGPEER_F_REMOVE_ME) !== 0 ? 0 : (peer.allowedIps?.length ?? 0) === 0 ? 1 : 2;
}

function removedPeers(present: WireGuardDevice, wanted: readonly DevicePeer[]): WireGuardPeer[] {
  const keep = new Set(wanted.map((peer) => keyText(peer.publicKey)));
  return (present.peers ?? []).filter((peer) => peer.publicKey && !keep.has(keyText(peer.publicKey)))
    .map((peer) => ({ publicKey: peer.publicKey!, flags: WGPEER_F_REMOVE_ME }));
}

/**
 * What a peer needs to be as wanted; `undefined` if nothing.
 *
 * @param options `keepRoamed`: leave the endpoint of a peer that has spoken; it says itself where it is.
 */
function planPeer(
  present: WireGuardPeer | undefined,
  wanted: DevicePeer,
  options: { readonly keepRoamed?: boolean } = {},
): WireGuardPeer | undefined {
  const spoken = (present?.lastHandshake?.seconds ?? 0n) !== 0n;
  const moved = wanted.endpoint !== undefined && !sameEndpoint(present, wanted) &&
    !(options.keepRoamed && spoken);
  const allowedIps = wanted.allowedIps.map(toAllowedIp);
  const sameIps = present !== undefined && sameAllowedIps(present.allowedIps ?? [], allowedIps);
  const sameKeepalive = (present?.keepaliveSeconds ?? 0) === wanted.keepaliveSeconds;
  if (present !== undefined && !moved && sameIps && sameKeepalive) return undefined;
  return {
    publicKey: wanted.publicKey,
    ...sameIps ? {} : { flags: WGPEER_F_REPLACE_ALLOWEDIPS, allowedIps },
    ...moved ? { endpoint: { address: ipToBytes(wanted.endpoint!.ip), port: wanted.endpoint!.port } } : {},
    ...sameKeepalive ? {} : { keepaliveSeconds: wanted.keepaliveSeconds },
  };
}

function sameEndpoint(present: WireGuardPeer | undefined, { endpoint }: DevicePeer): boolean {
  return present?.endpoint !== undefined && endpoint !== undefined &&
    present.endpoint.port === endpoint.port && bytesEqual(present.endpoint.address, ipToBytes(endpoint.ip));
}

function sameAllowedIps(a: readonly AllowedIp[], b: readonly AllowedIp[]): boolean {
  const texts = (ips: readonly AllowedIp[]): string => ips.map(fromAllowedIp).map(formatPrefix).sort().join();
  return texts(a) === texts(b);
}

/** Finds peers by their keys, however many of either there are. */
function peerFinder({ peers = [] }: WireGuardDevice): (publicKey: Uint8Array) => WireGuardPeer | undefined {
  const byKey = new Map(peers.filter(({ publicKey }) => publicKey).map((p) => [keyText(p.publicKey!), p]));
  return (publicKey) => byKey.get(keyText(publicKey));
}

function keyText(key: Uint8Array): string {
  return key.join();
}

/** A default route through a device is never ours to make. @throws {InvalidConfigError} */
export function refuseDefaultRoute(route: IpPrefix): void {
  if (route.length > 0) return;
  throw new InvalidConfigError(`route ${formatPrefix(route)} would take over the host's default route`);
}

/** The device in the domain's terms. @param facts What only the implementation knows. */
export function toDeviceState(
  device: WireGuardDevice,
  facts: Pick<DeviceState, "kind" | "crypto" | "drops">,
): DeviceState {
  return {
    ...facts,
    listenPort: device.listenPort ?? 0,
    publicKey: device.publicKey ?? new Uint8Array(32),
    peers: (device.peers ?? []).map(toPeerState),
  };
}

function toPeerState(peer: WireGuardPeer): DevicePeerState {
  return {
    publicKey: peer.publicKey!,
    ...toEndpoint(peer.endpoint),
    allowedIps: (peer.allowedIps ?? []).map(fromAllowedIp),
    keepaliveSeconds: peer.keepaliveSeconds ?? 0,
    lastHandshakeUnixSecs: Number(peer.lastHandshake?.seconds ?? 0n),
    rxBytes: Number(peer.rxBytes ?? 0n),
    txBytes: Number(peer.txBytes ?? 0n),
  };
}

/** News of a device in user space in the domain's terms. */
export function toPeerNews({ publicKey, handshake, lastHandshakeUnixMs, endpoint }: NewsItem): PeerNews {
  return {
    publicKey,
    ...handshake === undefined ? {} : { handshake },
    lastHandshakeUnixSecs: Math.floor((lastHandshakeUnixMs ?? 0) / 1000),
    ...toEndpoint(endpoint),
  };
}

function toEndpoint(address: SocketAddress | undefined): Pick<DevicePeer, "endpoint"> {
  return address === undefined ? {} : { endpoint: { ip: ipFromBytes(address.address), port: address.port } };
}
