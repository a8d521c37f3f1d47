/**
 * Which way out of this host WireGuard's datagrams take: the choice, apart from reading the kernel.
 *
 * The best default route of the main table decides, unless it leads into another overlay or VPN; then the
 * first interface that looks physical. Where neither is found the backend may still ask the kernel for the
 * source address of a connected socket.
 */

import type { Egress } from "../backend.ts";
import type { IpAddress } from "../../ip/address.ts";

/** A route as dumped from the kernel. */
export interface EgressRoute {
  /** Prefix length of the destination; 0 for a default route. */
  readonly destinationLength: number;
  /** RTA_TABLE where present, else the header's byte. */
  readonly table: number;
  /** RTA_PRIORITY, 0 if absent. Lower wins. */
  readonly metric: number;
  /** RTA_OIF, or the interface of every nexthop of RTA_MULTIPATH, in order. */
  readonly interfaceIndexes: readonly number[];
}

/** A link as dumped from the kernel. */
export interface EgressLink {
  readonly index: number;
  readonly name: string;
  /** IFF_UP. */
  readonly up: boolean;
  readonly mtuBytes: number;
}

/** An interface address as dumped from the kernel. */
export interface EgressAddress {
  readonly interfaceIndex: number;
  /** `ifa_scope`; 0 = universe. */
  readonly scope: number;
  /** IFA_FLAGS where present, else the header's byte. */
  readonly flags: number;
  /** IFA_LOCAL: this end of the link. Absent for most IPv6 addresses. */
  readonly local?: IpAddress;
  /** IFA_ADDRESS: the same, or the other end of a point-to-point link. */
  readonly address?: IpAddress;
}

/** What the kernel said, each list in dump order; of the routes the IPv4 ones first. */
export interface EgressFacts {
  readonly routes: readonly EgressRoute[];
  readonly links: readonly EgressLink[];
  readonly addresses: readonly EgressAddress[];
}

/** The way out, and what led to it. */
export interface EgressChoice extends Egress {
  /** `first-link`: no usable default route; worth a warning. */
  readonly source: "default-route" | "first-link";
}

const RT_TABLE_MAIN = 254;
const RT_SCOPE_UNIVERSE = 0;
/** IFA_F_DADFAILED and IFA_F_TENTATIVE: addresses that cannot be used (yet). */
const UNUSABLE_FLAGS = 0x08 | 0x40;

/** Starts of names of interfaces that lead into an overlay, a VPN, a container or nowhere. */
const VIRTUAL_PREFIXES = [
  ...["lo", "dummy"],
  ...["wt", "wg", "zl-", "nb", "tailscale", "zt"], // NetBird, WireGuard, ourselves, Nebula, Tailscale, ZeroTier
  ...["utun", "tun", "tap"],
  ...["docker", "br-", "veth", "cni", "flannel", "cali", "podman"],
  ...["virbr", "vmnet"],
] as const;

/** Whether an interface of this name is no way out; the empty name (only an address is known) is one. */
export function isVirtualInterface(name: string): boolean {
  return VIRTUAL_PREFIXES.some((prefix) => name.startsWith(prefix));
}

/** Chooses the way out; `undefined` if no physical interface has a usable address. */
export function chooseEgress(facts: EgressFacts): EgressChoice | undefined {
  const links = new Map(facts.links.map((link) => [link.index, link]));
  for (const index of defaultInterfaces(facts.routes)) {
    const egress = egressBy(links.get(index), facts.addresses);
    if (egress) return { ...egress, source: "default-route" };
  }
  for (const link of facts.links) {
    const egress = link.up ? egressBy(link, facts.addresses) : undefined;
    if (egress) return { ...egress, source: "first-link" };
  }
  return undefined;
}

/** Interfaces of the main table's default routes, best metric first; equal ones keep the order of the dump. */
function defaultInterfaces(routes: readonly EgressRoute[]): number[] {
  return routes
    .filter((route) => route.destinationLength === 0 && route.table === RT_TABLE_MAIN)
    .toSorted((a, b) => a.metric - b.metric)
    .flatMap((route) => route.interfaceIndexes);
}

function egressBy(link: EgressLink | undefined, addresses: readonly EgressAddress[]): Egress | undefined {
  if (!link || isVirtualInterface(link.name)) return undefined;
  const usable = addresses
    .filter((one) => one.interfaceIndex === link.index && one.scope === RT_SCOPE_UNIVERSE)
    .filter((one) => (one.flags & UNUSABLE_FLAGS) === 0)
    // On a point-to-point link IFA_ADDRESS is the other end.
    .map((one) => one.local ?? one.address)
    .filter((ip) => ip !== undefined);
  const ip = usable.find((one) => one.family === 4) ?? usable[0];
  return ip && { interface: link.name, ip, mtuBytes: link.mtuBytes };
}
