/**
 * `SOCKADDR_INET`: an address of either family as Windows has it. Pure.
 *
 *     0  u16 family: 2 or 23           4  IPv4: address, network order, then 20 zeros
 *     2  u16 port, network order       4  IPv6: u32 flow information, 16 bytes address, u32 scope id
 *
 * @see ws2ipdef.h `SOCKADDR_INET`, `sockaddr_in`, `sockaddr_in6`.
 */

import { CodecError } from "../bytes.ts";

/** Windows' number of IPv4. */
export const AF_INET = 2;
/** Windows' number of IPv6; not that of Linux. */
export const AF_INET6 = 23;
/** `sizeof(SOCKADDR_INET)`. */
export const SOCKADDR_INET_BYTES = 28;
/** `sizeof(struct sockaddr_in)`. */
export const SOCKADDR_IN_BYTES = 16;

/** The family of an address of so many bytes. @throws {RangeError} If they are neither 4 nor 16. */
export function familyOf(address: Uint8Array): typeof AF_INET | typeof AF_INET6 {
  if (address.length === 4) return AF_INET;
  if (address.length === 16) return AF_INET6;
  throw new RangeError(`an IP address has 4 or 16 bytes, got ${address.length}`);
}

/** Writes an address into zeroed bytes. @param at Where the `SOCKADDR_INET` starts. */
export function writeSockaddr(
  view: DataView,
  at: number,
  { address, port = 0, scopeId = 0 }: {
    readonly address: Uint8Array;
    readonly port?: number;
    readonly scopeId?: number;
  },
): void {
  const family = familyOf(address);
  view.setUint16(at, family, true);
  view.setUint16(at + 2, port);
  const start = at + (family === AF_INET ? 4 : 8);
  for (let i = 0; i < address.length; i++) view.setUint8(start + i, address[i]!);
  if (family === AF_INET6) view.setUint32(at + 24, scopeId, true);
}

/** Reads an address; a copy. @throws {CodecError} If the family is another. */
export function readSockaddr(view: DataView, at: number): Uint8Array<ArrayBuffer> {
  const family = view.getUint16(at, true);
  if (family !== AF_INET && family !== AF_INET6) throw new CodecError("SOCKADDR_INET", at, AF_INET, family);
  const [start, length] = family === AF_INET ? [at + 4, 4] : [at + 8, 16];
  return Uint8Array.from({ length }, (_, i) => view.getUint8(start + i));
}
