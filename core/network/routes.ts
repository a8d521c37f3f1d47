/**
 * Which kernel routes a WireGuard device needs besides the connected one of its address.
 *
 * WireGuard chooses the peer by allowed IPs, but the kernel has to hand it the packet first. An allowed IP
 * outside the device's own network therefore needs a route; inside it, only a host that a local bridge would
 * otherwise claim (a guest on a service's subnet) does. A default route is never taken: a peer must not be
 * able to pull the host's whole traffic into the overlay.
 */

import { familyBits } from "../ip/address.ts";
import { canonicalPrefix, formatPrefix, type IpPrefix, prefixCovers } from "../ip/prefix.ts";
import { PrefixTable } from "../ip/prefix_table.ts";

/**
 * @param address The device's address with the prefix length on the link.
 * @param allowedIps Allowed IPs of all peers of the device.
 * @param localSubnets Subnets of bridges on this node; none lies within another.
 * @returns Canonical prefixes without repeats, in the order given.
 */
export function deviceRoutes(
  address: IpPrefix,
  allowedIps: readonly IpPrefix[],
  localSubnets: readonly IpPrefix[],
): IpPrefix[] {
  const local = new PrefixTable<true>();
  for (const subnet of localSubnets) local.set(subnet, true);
  const routes = new Map<string, IpPrefix>();
  for (const allowed of allowedIps) {
    const prefix = canonicalPrefix(allowed);
    if (needsRoute(prefix, address, local)) routes.set(formatPrefix(prefix), prefix);
  }
  return [...routes.values()];
}

function needsRoute(prefix: IpPrefix, address: IpPrefix, local: PrefixTable<true>): boolean {
  if (prefix.length === 0) return false;
  const claim = local.lookup(prefix.address)?.prefix.length ?? Infinity;
  if (claim === prefix.length) return false;
  if (claim < prefix.length) return prefix.length === familyBits(prefix.address.family);
  return !prefixCovers(address, prefix);
}

/** What to add and what to take away to get from one set of routes to another. */
export function routeChanges(
  from: readonly IpPrefix[],
  to: readonly IpPrefix[],
): { addRoutes: IpPrefix[]; removeRoutes: IpPrefix[] } {
  const [had, wanted] = [from, to].map((routes) => new Set(routes.map(textOf)));
  return {
    addRoutes: to.filter((route) => !had!.has(textOf(route))),
    removeRoutes: from.filter((route) => !wanted!.has(textOf(route))),
  };
}

function textOf(route: IpPrefix): string {
  return formatPrefix(canonicalPrefix(route));
}
