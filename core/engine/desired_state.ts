/** What the records say there should be in the kernel, for a plan of repair. */

import { parsePrefix } from "../ip/prefix.ts";
import { type DesiredState, linkKey } from "../network/reconcile.ts";
import type { AttachmentRecord, Phase } from "../state/records.ts";
import type { StateStore } from "../state/state_store.ts";
import { type EngineContext, isTagOf } from "./context.ts";
import { findDevice, wantedRoutes } from "./devices.ts";
import { networkSpec } from "./service_overlays.ts";

/**
 * What is promised.
 *
 * @param seen `dead`: handles of attachments whose container is gone. `busy`: links to leave alone, by
 * {@linkcode linkKey}.
 */
export function desiredState(
  context: EngineContext,
  { dead, busy }: { readonly dead: ReadonlySet<string>; readonly busy: ReadonlySet<string> },
): DesiredState {
  const { store, installation } = context;
  const ready = [...store.services.values()].filter((service) => service.phase === "ready");
  const devices = [
    ...(store.settings.globalDevice?.phase === "ready" ? [""] : []),
    ...ready.filter((service) => service.dedicated).map((service) => service.name),
  ].map((service) => findDevice(context, service)!);
  const attachments = [...store.attachments.values()].filter((a) => a.phase === "ready");
  return {
    isOurs: (tag) => isTagOf(installation, tag),
    devices: devices.map((device) => ({
      service: device.service,
      name: device.interface,
      tag: device.tag,
      address: parsePrefix(device.address)!,
      mtuBytes: device.mtuBytes,
      routes: wantedRoutes(context, device),
    })),
    networks: ready.map((service) => ({ service: service.name, ...networkSpec(service) })),
    attachments: attachments.map((a) => desiredAttachment(a, !dead.has(a.handle))),
    busy,
  };
}

function desiredAttachment(record: AttachmentRecord, alive: boolean): DesiredState["attachments"][number] {
  return {
    handle: record.handle,
    service: record.service,
    alive,
    links: record.links.map(({ hostName, tag, address, uplink }) => ({
      hostName,
      tag,
      ...(uplink.kind === "bridge" ? { bridge: uplink.bridge } : { route: parsePrefix(address)! }),
    })),
  };
}

/** Links of objects whose set-up or removal is under way, by {@linkcode linkKey}. */
export function openLinks(store: StateStore): Set<string> {
  return linksOf(store, (phase) => phase !== "ready");
}

/** Links of all records, by {@linkcode linkKey}. */
export function recordedLinks(store: StateStore): Set<string> {
  return linksOf(store, () => true);
}

function linksOf(
  { settings, services, attachments }: StateStore,
  isMeant: (phase: Phase) => boolean,
): Set<string> {
  const keys = new Set<string>();
  const device = settings.globalDevice;
  if (device && isMeant(device.phase)) keys.add(linkKey(device.interface, device.tag));
  for (const { bridge, tag, dedicated, phase } of services.values()) {
    if (!isMeant(phase)) continue;
    keys.add(linkKey(bridge, tag));
    if (dedicated) keys.add(linkKey(dedicated.interface, dedicated.tag));
  }
  for (const { links, phase } of attachments.values()) {
    if (isMeant(phase)) { for (const link of links) keys.add(linkKey(link.hostName, link.tag)); }
  }
  return keys;
}
