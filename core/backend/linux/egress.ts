/** Facts for the choice of the way out, read from the kernel; the choice itself is `egress_choice.ts`. */

import { AF_INET, AF_INET6, IFF_UP, RT_TABLE_MAIN } from "../../../ffi/netlink/constants.ts";
import type { LinkAddress } from "../../../ffi/netlink/address.ts";
import type { LinkSummary } from "../../../ffi/netlink/link.ts";
import type { Route } from "../../../ffi/netlink/route.ts";
import { sourceAddressTowards } from "../../../ffi/udp_probe.ts";
import { NotFoundError } from "../../errors.ts";
import { ipFromBytes, ipToBytes, parseIp } from "../../ip/address.ts";
import type { Egress } from "../backend.ts";
import {
  chooseEgress,
  type EgressAddress,
  type EgressFacts,
  type EgressLink,
  type EgressRoute,
} from "./egress_choice.ts";
import type { RtNetlink } from "./rtnetlink.ts";

/** Addresses outside, to ask the routing for a source; nothing is sent to them. */
const OUTSIDE = ["8.8.8.8", "2001:4860:4860::8888"] as const;

/** Finds the way out. @throws {NotFoundError} If there is none. */
export function findEgress(host: RtNetlink): Egress {
  const choice = chooseEgress(readFacts(host));
  if (choice) return { interface: choice.interface, ip: choice.ip, mtuBytes: choice.mtuBytes };
  for (const text of OUTSIDE) {
    const source = sourceAddressTowards(ipToBytes(parseIp(text)!));
    if (source) return { interface: "", ip: ipFromBytes(source), mtuBytes: 1500 };
  }
  throw new NotFoundError("egress", "default route", {
    message: "this host has no usable address on a physical interface and no route out",
  });
}

function readFacts(host: RtNetlink): EgressFacts {
  return {
    routes: [AF_INET, AF_INET6].flatMap((family) => host.routes(family)).map(toRoute),
    links: host.links().map(toLink),
    addresses: host.addresses().map(toAddress),
  };
}

function toRoute(route: Route): EgressRoute {
  const direct = route.outIndex === undefined ? [] : [route.outIndex];
  return {
    destinationLength: route.destinationLength,
    table: route.tableId ?? (route.table || RT_TABLE_MAIN),
    metric: route.priority ?? 0,
    interfaceIndexes: [...direct, ...(route.multipath ?? []).map((hop) => hop.index)],
  };
}

function toLink(link: LinkSummary): EgressLink {
  return {
    index: link.index,
    name: link.name ?? "",
    up: (link.flags & IFF_UP) !== 0,
    mtuBytes: link.mtuBytes ?? 1500,
  };
}

function toAddress(address: LinkAddress): EgressAddress {
  return {
    interfaceIndex: address.index,
    scope: address.scope,
    flags: address.flags ?? address.headerFlags,
    ...address.local === undefined ? {} : { local: ipFromBytes(address.local) },
    ...address.address === undefined ? {} : { address: ipFromBytes(address.address) },
  };
}
