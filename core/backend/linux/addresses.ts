/** The addresses of a link of ours: exactly those wanted. */

import { EADDRNOTAVAIL } from "../../../ffi/errno.ts";
import type { LinkAddress } from "../../../ffi/netlink/address.ts";
import { RT_SCOPE_LINK, RT_SCOPE_UNIVERSE } from "../../../ffi/netlink/constants.ts";
import { ipFromBytes, ipToBytes, parseIp } from "../../ip/address.ts";
import { formatPrefix, type IpPrefix } from "../../ip/prefix.ts";
import { hasErrno } from "./kernel_errors.ts";
import { addAddress, deleteAddress } from "./requests.ts";
import type { RtNetlink } from "./rtnetlink.ts";

/** The address with its prefix length; on a point-to-point link this end's. `undefined` for another family's. */
export function toPrefix(address: LinkAddress): IpPrefix | undefined {
  const bytes = address.local ?? address.address;
  if (bytes === undefined || (bytes.length !== 4 && bytes.length !== 16)) return undefined;
  return { address: ipFromBytes(bytes), length: address.prefixLength };
}

/** Makes `wanted` the only address of universal scope on the link. */
export function ensureOnlyAddress(net: RtNetlink, index: number, wanted: IpPrefix): void {
  const present = net.addresses(index).filter((address) => address.index === index)
    .filter((address) => address.scope === RT_SCOPE_UNIVERSE)
    .map(toPrefix).filter((prefix) => prefix !== undefined);
  const text = formatPrefix(wanted);
  // First the new one, so that no moment is without; equal addresses of another length have to go before it.
  const others = present.filter((prefix) => formatPrefix(prefix) !== text);
  for (const other of others) {
    const [error] = net.tryExecute([deleteAddress(index, other)]);
    if (error && !hasErrno(error, EADDRNOTAVAIL)) throw error;
  }
  if (others.length === present.length) net.execute(addAddress(index, wanted));
}

/**
 * Gives the link its IPv6 link-local address at once, without duplicate detection: until that is over the kernel
 * has no source for its neighbour solicitations and drops what it should forward.
 */
export function ensureLinkLocal(net: RtNetlink, index: number, mac: Uint8Array): void {
  net.execute(addAddress(index, { address: linkLocal(mac), length: 64 }, { scope: RT_SCOPE_LINK }));
}

/** Link-local address of a hardware address (RFC 4291 appendix A). */
function linkLocal(mac: Uint8Array): IpPrefix["address"] {
  const bytes = ipToBytes(parseIp("fe80::")!);
  bytes.set([mac[0]! ^ 2, mac[1]!, mac[2]!, 0xff, 0xfe, mac[3]!, mac[4]!, mac[5]!], 8);
  return ipFromBytes(bytes);
}
