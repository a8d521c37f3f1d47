/**
 * A device's configuration in the terms of the kernel's interface: what is asked for, and what is told. Whoever
 * configures a kernel device, or the user-space one, says the same.
 */

import {
  WGDEVICE_F_REPLACE_PEERS,
  WGPEER_F_REMOVE_ME,
  WGPEER_F_REPLACE_ALLOWEDIPS,
  WGPEER_F_UPDATE_ONLY,
} from "../../../ffi/netlink/constants.ts";
import type { WireGuardDevice, WireGuardPeer } from "../../../ffi/netlink/wireguard.ts";
import type { SocketAddress } from "../../../ffi/sockaddr.ts";
import { canonicalPrefix, formatPrefix, type IpPrefix } from "../../ip/prefix.ts";
import { equalBytes, isZero, wipe } from "../../wireguard/bytes.ts";
import type { Device } from "../../wireguard/device.ts";
import { PeerEndpoint } from "../../wireguard/endpoint.ts";
import type { Peer } from "../../wireguard/peer.ts";
import { clampKey, fromAllowedIp, toAllowedIp } from "./kernel_terms.ts";

/** A change, with what the kernel's interface has no word for. */
export interface DeviceRequest extends WireGuardDevice {
  /** Leave the endpoint of a peer that has spoken; it says itself where it is. */
  readonly keepRoamed?: boolean;
}

/** Carries a change out; port and mark are the sockets' business. Peers that stay keep their sessions. */
export function applyChange(device: Device, change: DeviceRequest, now: number): void {
  if (change.privateKey !== undefined) {
    const clamped = clampKey(change.privateKey);
    device.setPrivateKey(isZero(change.privateKey) ? undefined : clamped);
    wipe(clamped);
  }
  if (((change.flags ?? 0) & WGDEVICE_F_REPLACE_PEERS) !== 0) {
    for (const peer of device.peers()) device.removePeer(peer);
  }
  const { keepRoamed = false } = change;
  for (const peer of change.peers ?? []) applyPeer(device, peer, { now, keepRoamed });
}

function applyPeer(
  device: Device,
  wanted: WireGuardPeer,
  { now, keepRoamed }: { readonly now: number; readonly keepRoamed: boolean },
): void {
  const flags = wanted.flags ?? 0;
  const publicKey = wanted.publicKey!;
  const present = device.peer(publicKey);
  if ((flags & WGPEER_F_REMOVE_ME) !== 0) {
    if (present !== undefined) device.removePeer(present);
    return;
  }
  if (present === undefined && (flags & WGPEER_F_UPDATE_ONLY) !== 0) return;
  // As the kernel: the device is no peer of itself, and saying so is not worth failing for.
  if (device.publicKey !== undefined && equalBytes(device.publicKey, publicKey)) return;
  const peer = present ?? device.addPeer(publicKey, now);
  if (wanted.presharedKey !== undefined) device.setPresharedKey(peer, wanted.presharedKey);
  const prefixes = (wanted.allowedIps ?? []).map(fromAllowedIp);
  for (const prefix of prefixes) device.addAllowedIp(peer, prefix);
  if ((flags & WGPEER_F_REPLACE_ALLOWEDIPS) !== 0) removeOthers(device, peer, prefixes);
  const stays = keepRoamed && peer.lastHandshakeUnixMs !== undefined;
  if (wanted.endpoint !== undefined && !stays && !isAt(peer.endpoint, wanted.endpoint)) {
    const { address, port, scopeId } = wanted.endpoint;
    device.setEndpoint(peer, new PeerEndpoint(address, port, { scopeId: scopeId ?? 0 }), now);
  }
  // The same again would put off the next one.
  if (wanted.keepaliveSeconds !== undefined && wanted.keepaliveSeconds !== peer.persistentKeepaliveSeconds) {
    device.setPersistentKeepalive(peer, wanted.keepaliveSeconds, now);
  }
}

/** New ones are there already, so that no packet of a prefix that stays is without a peer in between. */
function removeOthers(device: Device, peer: Peer, wanted: readonly IpPrefix[]): void {
  const canonical = new Set(wanted.map((prefix) => formatPrefix(canonicalPrefix(prefix))));
  for (const prefix of device.allowedIps(peer)) {
    if (!canonical.has(formatPrefix(prefix))) device.removeAllowedIp(peer, prefix);
  }
}

function isAt(endpoint: PeerEndpoint | undefined, { address, port, scopeId = 0 }: SocketAddress): boolean {
  return endpoint !== undefined && endpoint.port === port && endpoint.scopeId === scopeId &&
    equalBytes(endpoint.address, address);
}

/** What a device tells of itself, secrets included. @param privateKey As it was set; undefined for none. */
export function describeDevice(device: Device, privateKey: Uint8Array | undefined): WireGuardDevice {
  return {
    ...privateKey === undefined ? {} : { privateKey: clampKey(privateKey) },
    ...device.publicKey === undefined ? {} : { publicKey: device.publicKey },
    peers: device.peers().map((peer) => describePeer(device, peer)),
  };
}

/** The same without secrets, for those who look at a device every now and then. */
export function withoutKeys({ privateKey: _, ...device }: WireGuardDevice): WireGuardDevice {
  return { ...device, peers: (device.peers ?? []).map(({ presharedKey: _, ...peer }) => peer) };
}

function describePeer(device: Device, peer: Peer): WireGuardPeer {
  const { endpoint, lastHandshakeUnixMs } = peer;
  return {
    publicKey: peer.publicKey,
    presharedKey: peer.presharedKey,
    ...endpoint === undefined
      ? {}
      : { endpoint: { address: endpoint.address, port: endpoint.port, scopeId: endpoint.scopeId } },
    keepaliveSeconds: peer.persistentKeepaliveSeconds,
    ...lastHandshakeUnixMs === undefined ? {} : { lastHandshake: toTimespec(lastHandshakeUnixMs) },
    rxBytes: BigInt(peer.rxBytes),
    txBytes: BigInt(peer.txBytes),
    allowedIps: device.allowedIps(peer).map(toAllowedIp),
  };
}

function toTimespec(unixMs: number): { seconds: bigint; nanoseconds: bigint } {
  const ms = Math.floor(unixMs);
  return { seconds: BigInt(Math.floor(ms / 1000)), nanoseconds: BigInt(ms % 1000) * 1_000_000n };
}
