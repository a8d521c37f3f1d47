/** IP prefixes (CIDR) as values; host bits are kept as written, since the wire echoes them. */

import { familyBits, formatIp, type IpAddress, ipEquals, parseIp } from "./address.ts";

/** An address with a prefix length: 0 to 32 or 0 to 128. Host bits may be set. */
export interface IpPrefix {
  readonly address: IpAddress;
  readonly length: number;
}

/** Parses `address/length`; a bare address reads as /32 or /128. `undefined` when the text is neither. */
export function parsePrefix(text: string): IpPrefix | undefined {
  const slash = text.indexOf("/");
  const address = parseIp(slash < 0 ? text : text.slice(0, slash));
  if (!address) return undefined;
  if (slash < 0) return { address, length: familyBits(address.family) };
  const digits = text.slice(slash + 1);
  if (!/^(?:0|[1-9][0-9]{0,2})$/.test(digits)) return undefined;
  const length = Number(digits);
  return length <= familyBits(address.family) ? { address, length } : undefined;
}

/** Text of the prefix, host bits as they are. */
export function formatPrefix(prefix: IpPrefix): string {
  return `${formatIp(prefix.address)}/${prefix.length}`;
}

/** The network address: all host bits zero. */
export function networkAddress(prefix: IpPrefix): IpAddress {
  const host = BigInt(familyBits(prefix.address.family) - prefix.length);
  return { family: prefix.address.family, value: (prefix.address.value >> host) << host };
}

/** The last address: all host bits one (the broadcast address of an IPv4 subnet). */
export function lastAddress(prefix: IpPrefix): IpAddress {
  const host = BigInt(familyBits(prefix.address.family) - prefix.length);
  return { family: prefix.address.family, value: prefix.address.value | ((1n << host) - 1n) };
}

/** The same prefix with host bits cleared. */
export function canonicalPrefix(prefix: IpPrefix): IpPrefix {
  return { address: networkAddress(prefix), length: prefix.length };
}

/** The prefix that holds just this address. */
export function hostPrefix(address: IpAddress): IpPrefix {
  return { address, length: familyBits(address.family) };
}

/** Whether the address lies in the prefix. */
export function prefixContains(prefix: IpPrefix, ip: IpAddress): boolean {
  return prefix.address.family === ip.family &&
    ipEquals(networkAddress(prefix), networkAddress({ address: ip, length: prefix.length }));
}

/** Whether `inner` lies wholly inside `outer`. */
export function prefixCovers(outer: IpPrefix, inner: IpPrefix): boolean {
  return inner.length >= outer.length && prefixContains(outer, inner.address);
}

/** Whether two prefixes share an address. */
export function prefixesOverlap(a: IpPrefix, b: IpPrefix): boolean {
  return prefixContains(a, b.address) || prefixContains(b, a.address) || prefixCovers(a, b) ||
    prefixCovers(b, a);
}

/** Whether two prefixes hold the same addresses. */
export function prefixEquals(a: IpPrefix, b: IpPrefix): boolean {
  return a.length === b.length && ipEquals(networkAddress(a), networkAddress(b));
}
