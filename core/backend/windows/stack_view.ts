/** What the IP stack of this host has at one moment: read once, asked for several devices. */

import { bytesEqual } from "../../../ffi/bytes.ts";
import type { IpHelper } from "../../../ffi/iphlpapi.ts";
import { decodeOnLinkRoutes, type Route } from "../../../ffi/windows/forward_row.ts";
import { AF_INET, AF_INET6 } from "../../../ffi/windows/sockaddr.ts";
import { decodeUnicastTable, type UnicastAddress } from "../../../ffi/windows/unicast_address_row.ts";
import { ipToBytes } from "../../ip/address.ts";
import type { IpPrefix } from "../../ip/prefix.ts";

const FAMILIES = [AF_INET, AF_INET6] as const;

/** See the module. */
export class StackView {
  readonly #addresses: readonly UnicastAddress[];
  /** Routes to what is on the link, by {@linkcode routeKey}. */
  readonly #routes: ReadonlySet<string>;

  /** Reads it. @throws {Win32Error} */
  constructor(ipHelper: IpHelper) {
    this.#addresses = FAMILIES.flatMap((family) => decodeUnicastTable(ipHelper.addressTable(family)));
    this.#routes = new Set(
      FAMILIES.flatMap((family) => decodeOnLinkRoutes(ipHelper.routeTable(family))).map(routeKey),
    );
  }

  /** Whether an interface has the address; of what prefix, too, if that is said to matter. */
  hasAddress(luid: bigint, { address, length }: IpPrefix, options: { readonly exact: boolean }): boolean {
    const bytes = ipToBytes(address);
    return this.#addresses.some((one) =>
      one.luid === luid && bytesEqual(one.address, bytes) && (!options.exact || one.prefixLength === length)
    );
  }

  /** Whether there is a route to what is on an interface's link. @param route Without host bits. */
  hasRoute(luid: bigint, { address, length }: IpPrefix): boolean {
    return this.#routes.has(routeKey({ luid, destination: ipToBytes(address), prefixLength: length }));
  }
}

function routeKey({ luid, destination, prefixLength }: Route): string {
  return `${luid} ${destination.join(".")}/${prefixLength}`;
}
