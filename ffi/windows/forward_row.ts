/**
 * `MIB_IPFORWARD_ROW2`: a route, and the table of all. Pure.
 *
 *      0  u64 interface LUID              84  u32 metric
 *      8  u32 interface index             88  i32 protocol
 *     12  SOCKADDR_INET destination, 28   92  u8  loopback
 *     40  u8  its prefix length           93  u8  made by autoconfiguration
 *     44  SOCKADDR_INET next hop, 28      94  u8  published
 *     72  u8  site prefix length          95  u8  immortal
 *     76  u32 valid lifetime, s           96  u32 age, s
 *     80  u32 preferred lifetime, s      100  i32 origin
 *
 * @see netioapi.h; `InitializeIpForwardEntry` for what is not set.
 */

import { readSockaddr, writeSockaddr } from "./sockaddr.ts";

/** `sizeof(MIB_IPFORWARD_ROW2)`. */
export const FORWARD_ROW_BYTES = 104;
/** Where rows start in a `MIB_IPFORWARD_TABLE2`, behind their number. */
const TABLE_HEADER_BYTES = 8;
const INFINITE = 0xffff_ffff;
/** `MIB_IPPROTO_NETMGMT`: made by a program. */
const PROTOCOL_NETMGMT = 3;

/** A route to what is on the link of an interface. */
export interface OnLinkRoute {
  readonly luid: bigint;
  /** 4 or 16 bytes, without host bits. */
  readonly destination: Uint8Array;
  readonly prefixLength: number;
  /** Added to the interface's own. */
  readonly metric: number;
}

/** A new row. @throws {RangeError} If the destination has neither 4 nor 16 bytes. */
export function encodeOnLinkRoute(
  { luid, destination, prefixLength, metric }: OnLinkRoute,
): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(FORWARD_ROW_BYTES));
  view.setBigUint64(0, luid, true);
  writeSockaddr(view, 12, { address: destination });
  view.setUint8(40, prefixLength);
  // No next hop is an address of zeros, of the family all the same.
  writeSockaddr(view, 44, { address: new Uint8Array(destination.length) });
  view.setUint32(76, INFINITE, true);
  view.setUint32(80, INFINITE, true);
  view.setUint32(84, metric, true);
  view.setInt32(88, PROTOCOL_NETMGMT, true);
  for (const flag of [92, 93, 94, 95]) view.setUint8(flag, 1);
  return new Uint8Array(view.buffer);
}

/** A route as the table has it. */
export type Route = Omit<OnLinkRoute, "metric">;

/** Bytes of a table with so many rows. */
export function forwardTableBytes(count: number): number {
  return TABLE_HEADER_BYTES + count * FORWARD_ROW_BYTES;
}

/** Routes to what is on the link, of a `MIB_IPFORWARD_TABLE2`. @throws {CodecError} If one is of another family. */
export function decodeOnLinkRoutes(bytes: Uint8Array): Route[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const routes: Route[] = [];
  for (let i = 0; i < view.getUint32(0, true); i++) {
    const at = forwardTableBytes(i);
    if (readSockaddr(view, at + 44).some((byte) => byte !== 0)) continue;
    routes.push({
      luid: view.getBigUint64(at, true),
      destination: readSockaddr(view, at + 12),
      prefixLength: view.getUint8(at + 40),
    });
  }
  return routes;
}
