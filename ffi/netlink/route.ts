/**
 * Routes: `struct rtmsg`, the `RTA_*` attributes and `struct rtnexthop` (linux/rtnetlink.h).
 *
 * Layout, host byte order: u8 rtm_family, u8 rtm_dst_len, u8 rtm_src_len, u8 rtm_tos, u8 rtm_table,
 * u8 rtm_protocol, u8 rtm_scope, u8 rtm_type, u32 rtm_flags, attributes.
 */

import { ByteReader, ByteWriter, CodecError } from "../bytes.ts";
import { AttributeSchema, BYTES, U32, type UnknownAttributes, type ValueCodec } from "./attribute.ts";
import * as nl from "./constants.ts";

/** One way of a multipath route. */
export interface NextHop {
  /** `RTNH_F_*`. */
  readonly flags: number;
  /** Weight less 1. */
  readonly hops: number;
  /** Link to leave by. */
  readonly index: number;
  readonly gateway?: Uint8Array;
}

/** Attributes of a route. */
export interface RouteAttributes {
  /** Network address, 4 or 16 bytes; absent for the default route. */
  readonly destination?: Uint8Array;
  readonly source?: Uint8Array;
  /** Link to leave by. */
  readonly outIndex?: number;
  readonly gateway?: Uint8Array;
  /** Metric; lower wins. */
  readonly priority?: number;
  /** Address to send from. */
  readonly preferredSource?: Uint8Array;
  /** Leads over the header's 8 bits. */
  readonly tableId?: number;
  /** Mark of the packet, in questions. */
  readonly mark?: number;
  readonly multipath?: readonly (NextHop & Partial<UnknownAttributes>)[];
}

/** Fixed part of a route message. */
export interface RouteHeader {
  readonly family: number;
  readonly destinationLength: number;
  readonly sourceLength: number;
  readonly tos: number;
  /** `RT_TABLE_*`, or 252 when the number needs more bits. */
  readonly table: number;
  /** `RTPROT_*`: who made the route. */
  readonly protocol: number;
  /** `RT_SCOPE_*`. */
  readonly scope: number;
  /** `RTN_*`. */
  readonly type: number;
  readonly flags: number;
}

/** A route as wanted. */
export type RouteRequest = Partial<RouteHeader> & RouteAttributes & Partial<UnknownAttributes>;

/** A route as the kernel tells it. */
export type Route = RouteHeader & RouteAttributes & UnknownAttributes;

/** `sizeof(struct rtnexthop)`: u16 rtnh_len, u8 rtnh_flags, u8 rtnh_hops, s32 rtnh_ifindex. */
const NEXTHOP_BYTES = 8;

const NEXTHOP = new AttributeSchema<{ readonly gateway?: Uint8Array }>({ gateway: [nl.RTA_GATEWAY, BYTES] });

const MULTIPATH: ValueCodec<readonly (NextHop & Partial<UnknownAttributes>)[]> = {
  flags: 0,
  encode(hops): Uint8Array {
    const writer = new ByteWriter();
    for (const hop of hops) {
      const attributes = NEXTHOP.encode(hop);
      writer.u16(NEXTHOP_BYTES + attributes.length).u8(hop.flags).u8(hop.hops).u32(hop.index)
        .bytes(attributes).align(4);
    }
    return writer.finish();
  },
  decode(payload): readonly (NextHop & Partial<UnknownAttributes>)[] {
    const reader = new ByteReader(payload, "rtnexthop");
    const hops: (NextHop & UnknownAttributes)[] = [];
    while (reader.remaining > 0) hops.push(decodeNextHop(reader));
    return hops;
  },
};

function decodeNextHop(reader: ByteReader): NextHop & UnknownAttributes {
  const at = reader.offset;
  const length = reader.u16();
  const [flags, hops, index] = [reader.u8(), reader.u8(), reader.u32()];
  if (length < NEXTHOP_BYTES) throw new CodecError("rtnh_len", at, NEXTHOP_BYTES, length);
  const attributes = NEXTHOP.decode(reader.bytes(length - NEXTHOP_BYTES));
  reader.skip(Math.min((4 - length % 4) % 4, reader.remaining));
  return { flags, hops, index, ...attributes };
}

const ROUTE = new AttributeSchema<RouteAttributes>({
  destination: [nl.RTA_DST, BYTES],
  source: [nl.RTA_SRC, BYTES],
  outIndex: [nl.RTA_OIF, U32],
  gateway: [nl.RTA_GATEWAY, BYTES],
  priority: [nl.RTA_PRIORITY, U32],
  preferredSource: [nl.RTA_PREFSRC, BYTES],
  tableId: [nl.RTA_TABLE, U32],
  mark: [nl.RTA_MARK, U32],
  multipath: [nl.RTA_MULTIPATH, MULTIPATH],
});

/** Encodes the payload of an `RTM_*ROUTE` message. */
export function encodeRoute(route: RouteRequest): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter({ initialBytes: 96 });
  writer.u8(route.family ?? 0).u8(route.destinationLength ?? 0).u8(route.sourceLength ?? 0).u8(route.tos ?? 0)
    .u8(route.table ?? 0).u8(route.protocol ?? 0).u8(route.scope ?? 0).u8(route.type ?? 0)
    .u32(route.flags ?? 0);
  ROUTE.write(writer, route);
  return writer.finish();
}

/** Decodes the payload of an `RTM_*ROUTE` message. @throws {CodecError} If it is cut short. */
export function decodeRoute(payload: Uint8Array): Route {
  const reader = new ByteReader(payload, "rtmsg");
  const [family, destinationLength, sourceLength, tos] = [reader.u8(), reader.u8(), reader.u8(), reader.u8()];
  const [table, protocol, scope, type] = [reader.u8(), reader.u8(), reader.u8(), reader.u8()];
  const flags = reader.u32();
  const header = { family, destinationLength, sourceLength, tos, table, protocol, scope, type, flags };
  return { ...header, ...ROUTE.decode(reader.rest()) };
}
