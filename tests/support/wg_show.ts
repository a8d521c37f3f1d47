/** WireGuard devices as `wg show all dump` tells them, and a status brought into the same shape. */
import { assert, assertEquals } from "@std/assert";
import type { DetailedStatus, OverlayNode } from "./overlay_node.ts";
import type { NetworkPlace } from "./test_netns.ts";
import { waitFor } from "./wait_for.ts";

/** A peer. Allowed IPs are in alphabetical order: devices keep none. */
export interface ShownPeer {
  readonly publicKey: string;
  /** Empty when unknown. */
  readonly endpoint: string;
  readonly allowedIps: readonly string[];
  /** Unix time in seconds, 0 = never. */
  readonly latestHandshake: number;
  /** Seconds, 0 = off. Not part of a status. */
  readonly keepalive?: number;
}

/** A device with its peers in order of their keys. */
export interface ShownDevice {
  readonly interface: string;
  readonly publicKey: string;
  readonly listenPort: number;
  readonly peers: readonly ShownPeer[];
}

/** What wireguard-tools see in a network namespace, by name of the interface. */
export async function wgShow(place: NetworkPlace): Promise<ShownDevice[]> {
  const lines = (await place.must(["wg", "show", "all", "dump"])).split("\n").filter((line) => line !== "");
  const fields = lines.map((line) => line.split("\t"));
  return fields.filter(({ length }) => length === 5).map(([name = "", , publicKey = "", port]) => ({
    interface: name,
    publicKey,
    listenPort: Number(port),
    peers: fields.filter(({ length, 0: owner }) => length === 9 && owner === name).map(toPeer).sort(byKey),
  })).sort(byInterface);
}

function toPeer(fields: readonly string[]): ShownPeer {
  const [, publicKey = "", , endpoint = "", allowedIps = "", handshake, , , keepalive = "off"] = fields;
  return {
    publicKey,
    endpoint: endpoint === "(none)" ? "" : endpoint,
    allowedIps: allowedIps === "(none)" ? [] : allowedIps.split(",").sort(),
    latestHandshake: Number(handshake),
    keepalive: keepalive === "off" ? 0 : Number(keepalive),
  };
}

/** What a daemon says of its devices, without keepalives. */
export function devicesOfStatus(status: DetailedStatus): ShownDevice[] {
  const { detail } = status;
  const global = detail.global && {
    interface: detail.global.interface,
    publicKey: status.publicKey ?? "",
    listenPort: detail.global.listenPort,
    peers: status.peers,
  };
  const dedicated = status.dedicatedServices.map(({ interface: name, publicKey, listenPort, service }) => ({
    interface: name,
    publicKey,
    listenPort,
    peers: detail.servicePeers.filter(({ scope }) => scope.scope === "service" && scope.service === service),
  }));
  return [...(global ? [global] : []), ...dedicated].map((device) => ({
    ...device,
    peers: device.peers.map(({ publicKey, endpoint, allowedIps, lastHandshakeUnixSecs }) => ({
      publicKey,
      endpoint,
      allowedIps: allowedIps === "" ? [] : allowedIps.split(",").sort(),
      latestHandshake: lastHandshakeUnixSecs,
    })).sort(byKey),
  })).sort(byInterface);
}

/** Devices without what a status does not tell. */
function withoutKeepalives(devices: readonly ShownDevice[]): ShownDevice[] {
  return devices.map((device) => ({
    ...device,
    peers: device.peers.map(({ keepalive: _, ...peer }) => peer),
  }));
}

/** A peer of a device as wireguard-tools show it. */
export async function shownPeer(node: OverlayNode, device: string, publicKey: string): Promise<ShownPeer> {
  const shown = (await wgShow(node.host)).find(({ interface: name }) => name === device);
  const peer = shown?.peers.find((one) => one.publicKey === publicKey);
  assert(peer, `${device} has no peer ${publicKey}`);
  return peer;
}

/** `wg show` and the daemon's status tell the same of every device. */
export async function assertStatusAgrees(node: OverlayNode): Promise<void> {
  // Handshakes go on: the two have to agree at some moment, not at two different ones.
  let seen: [ShownDevice[], ShownDevice[]] = [[], []];
  const agree = async (): Promise<boolean> => {
    seen = [devicesOfStatus(await node.status()), withoutKeepalives(await wgShow(node.host))];
    return JSON.stringify(seen[0]) === JSON.stringify(seen[1]);
  };
  await waitFor("agreement", agree).catch(() => assertEquals(seen[0], seen[1]));
}

function byKey(a: { publicKey: string }, b: { publicKey: string }): number {
  return a.publicKey < b.publicKey ? -1 : 1;
}

function byInterface(a: { interface: string }, b: { interface: string }): number {
  return a.interface < b.interface ? -1 : 1;
}
