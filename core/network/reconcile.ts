/**
 * What has to be done to bring the kernel to what was promised: a pure comparison of records with an inventory.
 *
 * `spec`: design 5 (adoption, collection) and 6.7 (self-repair).
 */

import type { InventoryEntry } from "../backend/backend.ts";
import { formatPrefix, type IpPrefix, prefixEquals } from "../ip/prefix.ts";

/** What was promised. */
export interface DesiredState {
  /** Prefix and suffix by which this installation's tags are known. */
  readonly isOurs: (tag: string) => boolean;
  readonly devices: readonly DesiredDevice[];
  readonly networks: readonly DesiredNetwork[];
  readonly attachments: readonly DesiredAttachment[];
  /** Links, by {@linkcode linkKey}, of objects that are being set up or taken down right now: hands off. */
  readonly busy: ReadonlySet<string>;
}

/** A WireGuard device; `""` is the global one, else its service. */
export interface DesiredDevice {
  readonly service: string;
  readonly name: string;
  readonly tag: string;
  readonly address: IpPrefix;
  readonly mtuBytes: number;
  /** Canonical; besides the one of the address. */
  readonly routes: readonly IpPrefix[];
}

/** A service's bridge. */
export interface DesiredNetwork {
  readonly service: string;
  readonly name: string;
  readonly tag: string;
  readonly gateway: IpPrefix;
  readonly mtuBytes: number;
}

/** An attached container. */
export interface DesiredAttachment {
  readonly handle: string;
  readonly service: string;
  readonly alive: boolean;
  readonly links: readonly DesiredLink[];
}

/** The host end of a container's link: a port of a bridge, or with a route to the container. */
export interface DesiredLink {
  readonly hostName: string;
  readonly tag: string;
  readonly bridge?: string;
  readonly route?: IpPrefix;
}

/** A link that is meant: its name alone may be another's, and one tag may have been on links of two names. */
export function linkKey(name: string, tag: string): string {
  return `${name} ${tag}`;
}

/** One thing to do, in the order given. */
export type RepairAction =
  | { readonly kind: "release"; readonly handle: string }
  | { readonly kind: "network"; readonly service: string; readonly why: string }
  | { readonly kind: "device"; readonly service: string; readonly why: string }
  | { readonly kind: "mend"; readonly handle: string; readonly why: string }
  | { readonly kind: "reattach"; readonly handle: string; readonly why: string }
  | { readonly kind: "remove"; readonly entry: InventoryEntry };

/**
 * Compares. Releases come first (their addresses and links are in nobody's way then), then networks, devices,
 * containers, and last what is ours but belongs to nothing.
 */
export function planRepair(desired: DesiredState, inventory: readonly InventoryEntry[]): RepairAction[] {
  const byName = new Map(inventory.map((entry) => [entry.name, entry]));
  const released = desired.attachments.filter((a) => !a.alive);
  const living = desired.attachments.filter((a) => a.alive);
  return [
    ...released.map((a): RepairAction => ({ kind: "release", handle: a.handle })),
    ...desired.networks.flatMap((network) => networkAction(network, byName.get(network.name))),
    ...desired.devices.flatMap((device) => deviceAction(device, byName.get(device.name))),
    ...living.flatMap((attachment) => attachmentAction(attachment, byName)),
    ...orphans(desired, inventory).map((entry): RepairAction => ({ kind: "remove", entry })),
  ];
}

function networkAction(want: DesiredNetwork, have: InventoryEntry | undefined): RepairAction[] {
  const why = linkProblem(want.tag, have) ??
    (have!.kind !== "bridge" ? "is not a bridge" : undefined) ??
    (have!.mtuBytes !== want.mtuBytes ? `MTU is ${have!.mtuBytes}` : undefined) ??
    (hasAddress(have!, want.gateway) ? undefined : "lost its address");
  return why === undefined ? [] : [{ kind: "network", service: want.service, why }];
}

function deviceAction(want: DesiredDevice, have: InventoryEntry | undefined): RepairAction[] {
  const why = linkProblem(want.tag, have) ??
    (have!.isDead === true ? "has lost its data path" : undefined) ??
    (have!.isBarred === true ? "does not forward" : undefined) ??
    (have!.mtuBytes !== want.mtuBytes ? `MTU is ${have!.mtuBytes}` : undefined) ??
    (hasAddress(have!, want.address) ? undefined : "lost its address") ??
    (sameRoutes(have!.routes, want.routes) ? undefined : "has other routes");
  return why === undefined ? [] : [{ kind: "device", service: want.service, why }];
}

function linkProblem(tag: string, have: InventoryEntry | undefined): string | undefined {
  if (!have) return "is missing";
  if (have.tag !== tag) return have.tag === "" ? "lost its tag" : "belongs to someone else";
  return have.up ? undefined : "is down";
}

function attachmentAction(
  attachment: DesiredAttachment,
  byName: ReadonlyMap<string, InventoryEntry>,
): RepairAction[] {
  const { handle } = attachment;
  let mend: string | undefined;
  for (const link of attachment.links) {
    const have = byName.get(link.hostName);
    if (!have || have.tag !== link.tag) {
      return [{ kind: "reattach", handle, why: `${link.hostName} is missing` }];
    }
    if (!have.up) mend = `${link.hostName} is down`;
    else if (have.master !== link.bridge) {
      mend = `${link.hostName} is not a port of ${link.bridge ?? "no bridge"}`;
    } else if (link.route && !sameRoutes(have.routes, [link.route])) {
      mend = `${link.hostName} lost its route`;
    }
  }
  return mend === undefined ? [] : [{ kind: "mend", handle, why: mend }];
}

function orphans(desired: DesiredState, inventory: readonly InventoryEntry[]): InventoryEntry[] {
  const tags = new Map<string, string>();
  for (const { name, tag } of desired.devices) tags.set(name, tag);
  for (const { name, tag } of desired.networks) tags.set(name, tag);
  for (const { links } of desired.attachments) for (const { hostName, tag } of links) tags.set(hostName, tag);
  return inventory.filter(({ name, tag }) =>
    tags.get(name) !== tag && desired.isOurs(tag) && !desired.busy.has(linkKey(name, tag))
  );
}

function sameRoutes(have: readonly IpPrefix[], want: readonly IpPrefix[]): boolean {
  if (have.length !== want.length) return false;
  if (have.length === 1) return prefixEquals(have[0]!, want[0]!);
  const texts = new Set(want.map(formatPrefix));
  return have.every((route) => texts.has(formatPrefix(route)));
}

function hasAddress(entry: InventoryEntry, address: IpPrefix): boolean {
  const text = formatPrefix(address);
  return entry.addresses.some((have) => formatPrefix(have) === text);
}
