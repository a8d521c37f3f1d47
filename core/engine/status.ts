/** `status`: read from records and, for what only a device knows, from a read that is shared and short-lived. */

import type { DevicePeerState, DeviceState } from "../backend/backend.ts";
import { canonicalPrefix, formatPrefix, parsePrefix } from "../ip/prefix.ts";
import { formatAllowedIps, formatPeerEndpoint } from "../network/peer_spec.ts";
import type {
  DeviceStatus,
  ObjectState,
  OverlayStatus,
  PeerScope,
  PeerStatus,
  StatusDetail,
} from "../service.ts";
import type { Phase } from "../state/records.ts";
import { peerKey } from "../state/state_store.ts";
import { encodeKey } from "../wireguard/keys.ts";
import { DEFAULT_CLUSTER_CIDR, servicePoolName } from "./address_book.ts";
import { containerHandle, CONTAINERS, type EngineContext } from "./context.ts";
import type { DeviceReader } from "./devices.ts";
import { guestHandle } from "./guests.ts";
import { nodeLeases } from "./global_overlay.ts";

/** Facts of this process that a detailed status shows. */
export interface ProcessFacts {
  readonly version: string;
  readonly pid: number;
  readonly startedUnixSecs: number;
  readonly dataDir: string;
}

const GLOBAL: PeerScope = { scope: "global" };

/** Builds a status. */
export async function readStatus(
  context: EngineContext,
  reader: DeviceReader,
  { detail }: { detail?: ProcessFacts },
): Promise<OverlayStatus> {
  const { settings, services } = context.store;
  const device = settings.globalDevice?.phase === "ready" ? settings.globalDevice : undefined;
  const peers = device ? peerStatuses(context, await reader.read(device.interface), GLOBAL) : [];
  const nodeIp = nodeLeases(context)[0]?.ip;
  return {
    ...(device ? { interface: device.interface, publicKey: device.publicKey } : {}),
    ...(nodeIp === undefined ? {} : { nodeIp }),
    overlayCidr: echoCidr(settings.globalSettings?.clusterCidr ?? DEFAULT_CLUSTER_CIDR),
    ...(settings.globalSettings?.sliceCidr === undefined
      ? {}
      : { sliceCidr: echoCidr(settings.globalSettings.sliceCidr) }),
    peerCount: peers.length,
    serviceCount: [...services.values()].filter((service) => service.phase === "ready").length,
    peers,
    dedicatedServices: await dedicatedStatuses(context, reader),
    ...(detail ? { detail: await readDetail(context, reader, detail) } : {}),
  };
}

/** A bare address reads as /32 or /128, host bits stay (overlay-core 3.7). */
function echoCidr(text: string): string {
  return formatPrefix(parsePrefix(text)!);
}

async function dedicatedStatuses(
  context: EngineContext,
  reader: DeviceReader,
): Promise<OverlayStatus["dedicatedServices"]> {
  const ready = [...context.store.services.values()].filter((s) => s.phase === "ready" && s.dedicated);
  return await Promise.all(ready.map(async ({ name, subnet, dedicated }) => ({
    service: name,
    interface: dedicated!.interface,
    publicKey: dedicated!.publicKey,
    listenPort: dedicated!.port,
    overlayIp: dedicated!.overlayIp,
    subnet,
    peerCount: (await reader.read(dedicated!.interface))?.peers.length ?? 0,
  })));
}

/** Peers by the read of the device they were made from: many askers share one read. */
const PEER_STATUSES = new WeakMap<DeviceState, readonly PeerStatus[]>();

function peerStatuses(
  context: EngineContext,
  state: DeviceState | undefined,
  scope: PeerScope,
): readonly PeerStatus[] {
  if (!state) return [];
  let peers = PEER_STATUSES.get(state);
  if (!peers) PEER_STATUSES.set(state, peers = readPeers(context, state, scope));
  return peers;
}

function readPeers(context: EngineContext, state: DeviceState, scope: PeerScope): PeerStatus[] {
  const service = scope.scope === "global" ? "" : scope.service;
  return state.peers.map((peer) => {
    const publicKey = encodeKey(peer.publicKey);
    return {
      publicKey,
      endpoint: peer.endpoint ? formatPeerEndpoint(peer.endpoint) : "",
      allowedIps: formatAllowedIps(
        inCallersOrder(peer, context.store.peers.get(peerKey(service, publicKey))?.allowedIps),
      ),
      lastHandshakeUnixSecs: peer.lastHandshakeUnixSecs,
      rxBytes: peer.rxBytes,
      txBytes: peer.txBytes,
      scope,
    };
  });
}

/** What the device has, in the order the caller gave: devices keep allowed IPs in a trie and forget it. */
function inCallersOrder(
  peer: DevicePeerState,
  given: readonly string[] | undefined,
): DevicePeerState["allowedIps"] {
  if (!given || peer.allowedIps.length < 2) return peer.allowedIps;
  const rank = new Map(given.map((cidr, i) => [canonical(cidr), i]));
  const rankOf = (ip: DevicePeerState["allowedIps"][number]): number =>
    rank.get(formatPrefix(ip)) ?? given.length;
  return [...peer.allowedIps].sort((a, b) => rankOf(a) - rankOf(b));
}

function canonical(cidr: string): string {
  return formatPrefix(canonicalPrefix(parsePrefix(cidr)!));
}

async function readDetail(
  context: EngineContext,
  reader: DeviceReader,
  facts: ProcessFacts,
): Promise<StatusDetail> {
  const { store } = context;
  const dedicated = [...store.services.values()].filter((service) => service.dedicated);
  const servicePeers = await Promise.all(
    dedicated.map(async ({ name, dedicated }) =>
      peerStatuses(context, await reader.read(dedicated!.interface), { scope: "service", service: name })
    ),
  );
  const { wireguard } = await context.backend.capabilities();
  const global = globalDetail(context);
  return {
    ...facts,
    wireguard,
    ...containersDetail(context),
    ...(global ? { global } : {}),
    services: serviceDetails(context),
    attachments: attachmentDetails(context),
    leases: [...store.leases.values()],
    servicePeers: servicePeers.flat(),
    devices: await deviceStatuses(context, reader),
    dnsRecords: [...store.dns.values()],
    pending: pendingWork(context),
  };
}

async function deviceStatuses(context: EngineContext, reader: DeviceReader): Promise<DeviceStatus[]> {
  const { settings, services } = context.store;
  const devices: { name: string; scope: PeerScope }[] = [
    ...(settings.globalDevice ? [{ name: settings.globalDevice.interface, scope: GLOBAL }] : []),
    ...[...services.values()].filter(({ dedicated }) => dedicated).map(({ name, dedicated }) => ({
      name: dedicated!.interface,
      scope: { scope: "service", service: name } as const,
    })),
  ];
  const read = await Promise.all(devices.map(async ({ name, scope }) => {
    const state = await reader.read(name);
    return state && deviceStatus(name, scope, state);
  }));
  return read.filter((device) => device !== undefined);
}

function deviceStatus(name: string, scope: PeerScope, { kind, crypto, drops }: DeviceState): DeviceStatus {
  const counts = Object.entries(drops ?? {}).map(([reason, count]) => ({ reason, count }));
  return {
    interface: name,
    scope,
    kind,
    ...(crypto === undefined ? {} : { crypto }),
    drops: counts.sort((a, b) => b.count - a.count),
  };
}

/** The service that containers depend on; absent where they depend on none. */
function containersDetail({ backend, problems, lost }: EngineContext): Pick<StatusDetail, "containers"> {
  if (!backend.containers) return {};
  const { trouble: refused, absence } = backend.containers;
  const troubles = [refused ?? absence ?? problems.get(CONTAINERS), lost.problem()]
    .filter((one) => one !== undefined);
  return { containers: { kind: "hcn", ...(troubles.length === 0 ? {} : { problem: troubles.join("; ") }) } };
}

function globalDetail(context: EngineContext): StatusDetail["global"] {
  const { globalDevice: device, globalSettings } = context.store.settings;
  if (!device || !globalSettings) return undefined;
  return {
    deployment: globalSettings.deployment,
    instanceId: globalSettings.instanceId,
    interface: device.interface,
    listenPort: device.listenPort,
    nodeIp: nodeLeases(context)[0]?.ip ?? "",
    ...stateOf(context, "global", device.phase),
  };
}

function serviceDetails(context: EngineContext): StatusDetail["services"] {
  const counts = new Map<string, number>();
  for (const { pool } of context.store.leases.values()) counts.set(pool, (counts.get(pool) ?? 0) + 1);
  return [...context.store.services.values()].map((service) => ({
    name: service.name,
    mode: service.dedicated ? "dedicated" : "shared",
    bridge: service.bridge,
    subnet: service.subnet,
    gateway: service.gateway,
    leases: counts.get(servicePoolName(service.name)) ?? 0,
    ...stateOf(context, `service:${service.name}`, service.phase),
  }));
}

function attachmentDetails(context: EngineContext): StatusDetail["attachments"] {
  const byPid = [...context.store.attachments.values()].map((attachment) => {
    const [eth0, eth1] = attachment.links.map((link) => link.address.slice(0, link.address.indexOf("/")));
    return {
      handle: attachment.handle,
      service: attachment.service,
      ip: eth0!,
      ...(eth1 === undefined ? {} : { globalIp: eth1 }),
      hostLinks: attachment.links.map((link) => link.hostName),
      ...stateOf(context, attachment.handle, attachment.phase),
    };
  });
  const guests = [...context.store.guests.values()].map((guest) => ({
    handle: guestHandle(guest.id),
    service: guest.service,
    ip: guest.overlayIp,
    hostLinks: [],
    ...stateOf(context, guestHandle(guest.id), guest.phase),
  }));
  const containers = [...context.store.containerEndpoints.values()].map((container) => ({
    handle: containerHandle(container.containerId),
    service: container.service,
    ip: container.ip,
    hostLinks: [],
    namespace: container.namespace,
    endpoint: container.endpoint,
    ...stateOf(context, containerHandle(container.containerId), container.phase),
  }));
  return [...byPid, ...guests, ...containers];
}

function stateOf(context: EngineContext, id: string, phase: Phase): { state: ObjectState; problem?: string } {
  const problem = context.problems.get(id);
  if (problem === undefined) return { state: phase };
  return { state: phase === "ready" ? "degraded" : phase, problem };
}

function pendingWork(context: EngineContext): string[] {
  const { settings, services, attachments, guests, containerEndpoints } = context.store;
  const words = { pending: "setting up", removing: "removing", ready: "" } as const;
  const objects: { name: string; phase: Phase }[] = [
    ...(settings.globalDevice ? [{ name: "global overlay", phase: settings.globalDevice.phase }] : []),
    ...[...services.values()].map((s) => ({ name: `service ${s.name}`, phase: s.phase })),
    ...[...attachments.values()].map((a) => ({ name: a.handle, phase: a.phase })),
    ...[...guests.values()].map((g) => ({ name: guestHandle(g.id), phase: g.phase })),
    ...[...containerEndpoints.values()].map((e) => ({
      name: containerHandle(e.containerId),
      phase: e.phase,
    })),
  ];
  return objects.filter((o) => o.phase !== "ready").map((o) => `${words[o.phase]} ${o.name}`);
}
