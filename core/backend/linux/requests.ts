/** Requests to rtnetlink in the domain's terms. Pure: nothing here talks to the kernel. */

import type { NetlinkRequest } from "../../../ffi/netlink.ts";
import { type AddressRequest, encodeAddress } from "../../../ffi/netlink/address.ts";
import * as nl from "../../../ffi/netlink/constants.ts";
import { encodeLink, type LinkRequest } from "../../../ffi/netlink/link.ts";
import { encodeNeighbour } from "../../../ffi/netlink/neighbour.ts";
import { encodeRoute, type RouteRequest } from "../../../ffi/netlink/route.ts";
import { formatIp, type IpAddress, ipToBytes } from "../../ip/address.ts";
import { canonicalPrefix, formatPrefix, type IpPrefix } from "../../ip/prefix.ts";

/** Flags of a request that makes something which must not exist. */
const MAKE = nl.NLM_F_CREATE | nl.NLM_F_EXCL;
/** Flags of a request that makes something or puts it right. */
const MAKE_OR_REPLACE = nl.NLM_F_CREATE | nl.NLM_F_REPLACE;

/**
 * `rtm_protocol` of the routes that the daemon makes, so that it knows them again. Numbers from 4 on belong to
 * whoever uses them; this one is in no registry (iproute2's rt_protos).
 */
export const OUR_ROUTE_PROTOCOL = 122;

/** A link to change, by index or by name. */
export type LinkTarget = { readonly index: number } | { readonly name: string };

/** Up, and nothing else. */
export const LINK_UP = { flags: nl.IFF_UP, change: nl.IFF_UP } as const;

/** The kernel's number of an address family. */
export function familyNumber(family: 4 | 6): number {
  return family === 4 ? nl.AF_INET : nl.AF_INET6;
}

/** Makes a link. */
export function createLink(name: string, link: LinkRequest): NetlinkRequest {
  const payload = encodeLink({ name, ...link });
  return { what: `create link ${name}`, type: nl.RTM_NEWLINK, flags: MAKE, payload };
}

/** Changes a link. @param label How errors call it. */
export function setLink(label: string, target: LinkTarget, change: LinkRequest): NetlinkRequest {
  const payload = encodeLink({ ...target, ...change });
  return { what: `set link ${label}`, type: nl.RTM_SETLINK, flags: 0, payload };
}

/** Deletes a link, or all links of a group. */
export function deleteLink(label: string, target: LinkTarget | { readonly group: number }): NetlinkRequest {
  return { what: `delete link ${label}`, type: nl.RTM_DELLINK, flags: 0, payload: encodeLink(target) };
}

/** What an address is to be like. */
export interface AddressOptions {
  /** `RT_SCOPE_*`; universe unless said. */
  readonly scope?: number;
  /** Do not let the kernel add a route to the prefix. */
  readonly withoutRoute?: boolean;
}

function addressFields(index: number, prefix: IpPrefix, options: AddressOptions): AddressRequest {
  const bytes = ipToBytes(prefix.address);
  const v6 = prefix.address.family === 6;
  // Duplicate detection would hold an IPv6 address back for a second or two; ours are leased, so unique.
  const flags = (v6 ? nl.IFA_F_NODAD : 0) | (options.withoutRoute ? nl.IFA_F_NOPREFIXROUTE : 0);
  return {
    family: familyNumber(prefix.address.family),
    prefixLength: prefix.length,
    scope: options.scope ?? nl.RT_SCOPE_UNIVERSE,
    index,
    ...v6 ? {} : { local: bytes },
    address: bytes,
    flags,
  };
}

/** Puts an address on the link; there already is fine. */
export function addAddress(index: number, prefix: IpPrefix, options: AddressOptions = {}): NetlinkRequest {
  const payload = encodeAddress(addressFields(index, prefix, options));
  return {
    what: `add address ${formatPrefix(prefix)}`,
    type: nl.RTM_NEWADDR,
    flags: MAKE_OR_REPLACE,
    payload,
  };
}

/** Takes an address off the link. */
export function deleteAddress(index: number, prefix: IpPrefix): NetlinkRequest {
  const payload = encodeAddress(addressFields(index, prefix, {}));
  return { what: `delete address ${formatPrefix(prefix)}`, type: nl.RTM_DELADDR, flags: 0, payload };
}

/** A route by a link. */
export interface RouteSpec {
  readonly destination: IpPrefix;
  /** Link to leave by. */
  readonly index: number;
  /** Next hop; absent when the destination is on the link. */
  readonly gateway?: IpAddress;
  /** Address to send from. */
  readonly source?: IpAddress;
}

function routeFields(route: RouteSpec): RouteRequest {
  const { address, length } = canonicalPrefix(route.destination);
  // IPv6 knows no scopes of routes and refuses them under strict checking.
  const onLink = route.gateway === undefined && address.family === 4;
  return {
    family: familyNumber(address.family),
    destinationLength: length,
    table: nl.RT_TABLE_MAIN,
    protocol: OUR_ROUTE_PROTOCOL,
    scope: onLink ? nl.RT_SCOPE_LINK : nl.RT_SCOPE_UNIVERSE,
    type: nl.RTN_UNICAST,
    ...length === 0 ? {} : { destination: ipToBytes(address) },
    outIndex: route.index,
    ...route.gateway === undefined ? {} : { gateway: ipToBytes(route.gateway) },
    ...route.source === undefined ? {} : { preferredSource: ipToBytes(route.source) },
  };
}

/** Adds a route; a different one to the same destination stays, and is an error unless `replace` is set. */
export function addRoute(route: RouteSpec, options: { readonly replace?: boolean } = {}): NetlinkRequest {
  return {
    what: `add route to ${formatPrefix(route.destination)}`,
    type: nl.RTM_NEWROUTE,
    flags: options.replace ? MAKE_OR_REPLACE : MAKE,
    payload: encodeRoute(routeFields(route)),
  };
}

/** Removes a route of ours. */
export function deleteRoute(route: RouteSpec): NetlinkRequest {
  return {
    what: `delete route to ${formatPrefix(route.destination)}`,
    type: nl.RTM_DELROUTE,
    flags: 0,
    payload: encodeRoute(routeFields(route)),
  };
}

/** Pins a neighbour's hardware address, so that nothing has to be asked for on the link. */
export function pinNeighbour(index: number, ip: IpAddress, mac: Uint8Array): NetlinkRequest {
  const payload = encodeNeighbour({
    family: familyNumber(ip.family),
    index,
    state: nl.NUD_PERMANENT,
    destination: ipToBytes(ip),
    linkLayerAddress: mac,
  });
  return { what: `pin neighbour ${formatIp(ip)}`, type: nl.RTM_NEWNEIGH, flags: MAKE_OR_REPLACE, payload };
}
