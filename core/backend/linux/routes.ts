/** The routes that this backend makes, known by their protocol number. */

import type { Route } from "../../../ffi/netlink/route.ts";
import { ipFromBytes } from "../../ip/address.ts";
import type { IpPrefix } from "../../ip/prefix.ts";
import { familyNumber, OUR_ROUTE_PROTOCOL } from "./requests.ts";
import type { RtNetlink } from "./rtnetlink.ts";

/** Routes of ours in both families. @param filter `index`: by this link only. */
export function ourRoutes(host: RtNetlink, filter: { readonly index?: number } = {}): Route[] {
  return ([4, 6] as const).flatMap((family) =>
    host.routes(familyNumber(family), { ...filter, protocol: OUR_ROUTE_PROTOCOL })
  );
}

/** Where a route leads; `undefined` for a default route, of which we make none on the host. */
export function destinationOf(route: Route): IpPrefix | undefined {
  if (route.destination === undefined) return undefined;
  return { address: ipFromBytes(route.destination), length: route.destinationLength };
}
