/** The bridge of a service: its ports are the containers, its address is their gateway. */

import type { NetlinkRequest } from "../../../ffi/netlink.ts";
import * as nl from "../../../ffi/netlink/constants.ts";
import type { Link, LinkRequest } from "../../../ffi/netlink/link.ts";
import { bridgeInfo } from "../../../ffi/netlink/link_kind.ts";
import { bytesEqual } from "../../../ffi/bytes.ts";
import { type IpAddress, ipToBytes } from "../../ip/address.ts";
import type { ServiceNetworkSpec } from "../backend.ts";
import { ensureLinkLocal, ensureOnlyAddress } from "./addresses.ts";
import { foreignLink, isOwnedBy, NEWBORN_GROUP, tagOf } from "./ownership.ts";
import { createLink, LINK_UP, setLink } from "./requests.ts";
import type { RtNetlink } from "./rtnetlink.ts";
import type { HostSysctls } from "./sysctl.ts";

/**
 * What the bridge does for containers beyond carrying their frames: it forwards, and it answers ARP for addresses
 * of the subnet that lie elsewhere. A VM guest has an address of its service's but sits behind the WireGuard
 * device, while containers take the whole subnet for their neighbours.
 */
const INET_CONF: ReadonlyMap<number, number> = new Map([
  [nl.IPV4_DEVCONF_FORWARDING, 1],
  [nl.IPV4_DEVCONF_PROXY_ARP, 1],
]);

/**
 * Makes the bridge right, whatever is there. An untagged bridge of that name (the reference made it) is adopted.
 *
 * @throws {AlreadyExistsError} If the name is another's.
 */
export function ensureBridge(net: RtNetlink, sysctls: HostSysctls, spec: ServiceNetworkSpec): void {
  const mac = gatewayMac(spec.gateway.address);
  const { index } = findOrCreate(net, spec);
  const v6 = spec.gateway.address.family === 6;
  net.execute(...adjustments(net.link(spec.name), spec, mac, sysctls.hasIpv6));
  ensureOnlyAddress(net, index, spec.gateway);
  net.execute(setLink(spec.name, { index }, LINK_UP));
  if (v6) {
    ensureLinkLocal(net, index, mac);
    sysctls.enableIpv6Forwarding(spec.name);
  }
}

function findOrCreate(net: RtNetlink, spec: ServiceNetworkSpec): Link {
  const present = net.findLink(spec.name);
  if (present === undefined) {
    net.execute(createLink(spec.name, { group: NEWBORN_GROUP, info: bridgeInfo({ stpState: 0 }) }));
    return net.link(spec.name);
  }
  const adoptable = present.info?.kind === "bridge" &&
    (isOwnedBy(present, spec.tag) || tagOf(present) === "");
  if (!adoptable) throw foreignLink(present);
  return present;
}

/** What differs from the specification, as one request; none if nothing does. */
function adjustments(
  link: Link,
  spec: ServiceNetworkSpec,
  mac: Uint8Array,
  hasIpv6: boolean,
): NetlinkRequest[] {
  const { inet, inet6 } = link.afSpec ?? {};
  const serves = [...INET_CONF].every(([setting, value]) => inet?.conf?.get(setting) === value);
  const quiet = !hasIpv6 || inet6?.addressGenerationMode === nl.IN6_ADDR_GEN_MODE_NONE;
  const change: LinkRequest = {
    ...tagOf(link) === spec.tag ? {} : { alias: spec.tag },
    ...link.group === NEWBORN_GROUP ? { group: 0 } : {},
    // Set on the finished bridge, not while it is made: an MTU given then follows the ports, and falls back to
    // 1500 without any.
    ...link.mtuBytes === spec.mtuBytes ? {} : { mtuBytes: spec.mtuBytes },
    // A bridge takes over the lowest address of its ports unless it was given one: the gateway's would change.
    ...link.address && bytesEqual(link.address, mac) ? {} : { address: mac },
    ...serves && quiet ? {} : {
      afSpec: {
        inet: { conf: INET_CONF },
        ...quiet ? {} : { inet6: { addressGenerationMode: nl.IN6_ADDR_GEN_MODE_NONE } },
      },
    },
  };
  return Object.keys(change).length === 0 ? [] : [setLink(spec.name, { index: link.index }, change)];
}

/** Hardware address of a gateway: locally administered, and the same whenever and wherever the bridge is made. */
export function gatewayMac(gateway: IpAddress): Uint8Array<ArrayBuffer> {
  const bytes = ipToBytes(gateway);
  const folded = new Uint8Array(4);
  bytes.forEach((byte, i) => folded[i % 4] = folded[i % 4]! ^ byte);
  return Uint8Array.of(0x02, gateway.family === 4 ? 0x7a : 0x7b, ...folded);
}
