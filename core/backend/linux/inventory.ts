/** What is on this host that is ours, or may be. */

import { IFF_UP } from "../../../ffi/netlink/constants.ts";
import type { LinkSummary } from "../../../ffi/netlink/link.ts";
import type { InventoryEntry } from "../backend.ts";
import { toPrefix } from "./addresses.ts";
import { TAG_PREFIX, tagOf } from "./ownership.ts";
import { destinationOf, ourRoutes } from "./routes.ts";
import type { RtNetlink } from "./rtnetlink.ts";

/** Starts of the names of links that this daemon or the reference makes. */
const OUR_NAMES = ["zl-", "veth-"] as const;

/** Whether a link is tagged by any installation, or named as ours are. */
export function isOfInterest(name: string, tag: string): boolean {
  return tag.startsWith(TAG_PREFIX) || OUR_NAMES.some((start) => name.startsWith(start));
}

/** Lists links of interest with their addresses and our routes. */
export function takeInventory(host: RtNetlink): InventoryEntry[] {
  const links = host.links();
  const names = new Map(links.map((link) => [link.index, link.name ?? ""]));
  const addresses = Map.groupBy(host.addresses(), (address) => address.index);
  const routes = Map.groupBy(ourRoutes(host), (route) => route.outIndex ?? 0);
  return links.filter((link) => isOfInterest(link.name ?? "", tagOf(link))).map((link) => {
    const master = link.master === undefined ? undefined : names.get(link.master);
    return {
      kind: kindOf(link),
      name: link.name ?? "",
      tag: tagOf(link),
      up: (link.flags & IFF_UP) !== 0,
      ...master === undefined ? {} : { master },
      mtuBytes: link.mtuBytes ?? 0,
      addresses: (addresses.get(link.index) ?? []).map(toPrefix).filter((prefix) => prefix !== undefined),
      routes: (routes.get(link.index) ?? []).map(destinationOf).filter((prefix) => prefix !== undefined),
    };
  });
}

function kindOf(link: LinkSummary): InventoryEntry["kind"] {
  const kind = link.info?.kind;
  return kind === "bridge" || kind === "veth" || kind === "wireguard" || kind === "tun" ? kind : "other";
}
