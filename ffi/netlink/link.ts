/**
 * Links: `struct ifinfomsg` (linux/rtnetlink.h) and the `IFLA_*` attributes (linux/if_link.h).
 *
 * Layout, host byte order: u8 ifi_family, u8 zero, u16 ifi_type, s32 ifi_index, u32 ifi_flags, u32 ifi_change,
 * attributes. What is inside `IFLA_INFO_DATA` depends on the kind: see `link_kind.ts`.
 */

import { ByteReader, ByteWriter } from "../bytes.ts";
import {
  AttributeSchema,
  BYTES,
  decodeAttributes,
  encodeAttributes,
  nested,
  S32,
  STRING,
  U32,
  U8,
  type UnknownAttributes,
  type ValueCodec,
} from "./attribute.ts";
import * as nl from "./constants.ts";

/** `IFLA_LINKINFO`. */
export interface LinkInfo {
  /** `veth`, `bridge`, `tun`, `wireguard` and so on. */
  readonly kind?: string;
  /** `IFLA_INFO_DATA`: attributes of the kind, still encoded. */
  readonly data?: Uint8Array;
  /** Kind of the master that this link is a port of. */
  readonly slaveKind?: string;
  /** `IFLA_INFO_SLAVE_DATA`, still encoded. */
  readonly slaveData?: Uint8Array;
}

/** `IFLA_AF_SPEC` for IPv4. */
export interface Inet4LinkOptions {
  /** Per-link settings by `IPV4_DEVCONF_*`: those to change on the way in, all of them on the way out. */
  readonly conf?: ReadonlyMap<number, number>;
}

/** `IFLA_AF_SPEC` for IPv6. */
export interface Inet6LinkOptions {
  /** `IN6_ADDR_GEN_MODE_*`: how the link-local address is made. */
  readonly addressGenerationMode?: number;
}

/** `IFLA_AF_SPEC`: what the address families keep per link. */
export interface AddressFamilyOptions {
  readonly inet?: Inet4LinkOptions & Partial<UnknownAttributes>;
  readonly inet6?: Inet6LinkOptions & Partial<UnknownAttributes>;
}

/** Attributes of a link. */
export interface LinkAttributes {
  readonly name?: string;
  /** Hardware address; 6 bytes on Ethernet. */
  readonly address?: Uint8Array;
  readonly broadcast?: Uint8Array;
  readonly mtuBytes?: number;
  /** Index of the link this one is made from, or of a veth's peer. */
  readonly link?: number;
  /** Id of the namespace that `link` is in, -1 if unknown. */
  readonly linkNetnsId?: number;
  /** Index of the bridge that the link is a port of; 0 takes it out. */
  readonly master?: number;
  /** Text for people and owners, at most 255 bytes. */
  readonly alias?: string;
  readonly group?: number;
  readonly txQueueLength?: number;
  readonly numTxQueues?: number;
  readonly numRxQueues?: number;
  /** RFC 2863 state: 6 is up. */
  readonly operationalState?: number;
  /** 1 when there is carrier. */
  readonly carrier?: number;
  readonly netNsPid?: number;
  readonly netNsFd?: number;
  readonly extMask?: number;
  readonly info?: LinkInfo & Partial<UnknownAttributes>;
  readonly afSpec?: AddressFamilyOptions & Partial<UnknownAttributes>;
}

/** Fixed part of a link message. */
export interface LinkHeader {
  /** `AF_UNSPEC` but for bridge ports and such. */
  readonly family: number;
  /** `ARPHRD_*`: 1 Ethernet, 772 loopback, 65534 none. */
  readonly deviceType: number;
  /** 0 = not said: by name. */
  readonly index: number;
  /** `IFF_*`. */
  readonly flags: number;
  /** Bits of `flags` to change. */
  readonly change: number;
}

/** A link as wanted: what is not said is 0 or not sent. */
export type LinkRequest = Partial<LinkHeader> & LinkAttributes & Partial<UnknownAttributes>;

/** A link as the kernel tells it. */
export type Link = LinkHeader & LinkAttributes & UnknownAttributes;

/** Nests of this family are older than `NLA_F_NESTED`; kernel and iproute2 send them without. */
const UNFLAGGED = { flags: 0 };

const INFO = new AttributeSchema<LinkInfo>({
  kind: [nl.IFLA_INFO_KIND, STRING],
  data: [nl.IFLA_INFO_DATA, BYTES],
  slaveKind: [nl.IFLA_INFO_SLAVE_KIND, STRING],
  slaveData: [nl.IFLA_INFO_SLAVE_DATA, BYTES],
});

/**
 * `IFLA_INET_CONF` has two shapes: the kernel tells all values as an array of u32 whose position is the index
 * less 1; it is told those to change as nested u32 attributes whose type is the index.
 */
const INET_CONF: ValueCodec<ReadonlyMap<number, number>> = {
  flags: nl.NLA_F_NESTED,
  encode: (conf) =>
    encodeAttributes(
      [...conf].map(([type, value]) => ({ type, flags: U32.flags, payload: U32.encode(value) })),
    ),
  decode(payload, flags): ReadonlyMap<number, number> {
    if ((flags & nl.NLA_F_NESTED) !== 0) {
      return new Map(decodeAttributes(payload).map((a) => [a.type, U32.decode(a.payload, a.flags)]));
    }
    const reader = new ByteReader(payload, "IFLA_INET_CONF");
    const conf = new Map<number, number>();
    for (let index = 1; reader.remaining > 0; index++) conf.set(index, reader.u32());
    return conf;
  },
};

const INET = new AttributeSchema<Inet4LinkOptions>({ conf: [nl.IFLA_INET_CONF, INET_CONF] });
const INET6 = new AttributeSchema<Inet6LinkOptions>({
  addressGenerationMode: [nl.IFLA_INET6_ADDR_GEN_MODE, U8],
});
const AF_SPEC = new AttributeSchema<AddressFamilyOptions>({
  inet: [nl.AF_INET, nested<Inet4LinkOptions & Partial<UnknownAttributes>>(bound(INET), UNFLAGGED)],
  inet6: [nl.AF_INET6, nested<Inet6LinkOptions & Partial<UnknownAttributes>>(bound(INET6), UNFLAGGED)],
});

function bound<T extends object>(schema: AttributeSchema<T>): {
  encode(value: T & Partial<UnknownAttributes>): Uint8Array;
  decode(payload: Uint8Array): T & Partial<UnknownAttributes>;
} {
  return { encode: (value) => schema.encode(value), decode: (payload) => schema.decode(payload) };
}

const LINK = new AttributeSchema<LinkAttributes>({
  name: [nl.IFLA_IFNAME, STRING],
  address: [nl.IFLA_ADDRESS, BYTES],
  broadcast: [nl.IFLA_BROADCAST, BYTES],
  mtuBytes: [nl.IFLA_MTU, U32],
  link: [nl.IFLA_LINK, U32],
  linkNetnsId: [nl.IFLA_LINK_NETNSID, S32],
  master: [nl.IFLA_MASTER, U32],
  alias: [nl.IFLA_IFALIAS, STRING],
  group: [nl.IFLA_GROUP, U32],
  txQueueLength: [nl.IFLA_TXQLEN, U32],
  numTxQueues: [nl.IFLA_NUM_TX_QUEUES, U32],
  numRxQueues: [nl.IFLA_NUM_RX_QUEUES, U32],
  operationalState: [nl.IFLA_OPERSTATE, U8],
  carrier: [nl.IFLA_CARRIER, U8],
  netNsPid: [nl.IFLA_NET_NS_PID, U32],
  netNsFd: [nl.IFLA_NET_NS_FD, U32],
  extMask: [nl.IFLA_EXT_MASK, U32],
  info: [nl.IFLA_LINKINFO, nested<LinkInfo & Partial<UnknownAttributes>>(bound(INFO), UNFLAGGED)],
  afSpec: [
    nl.IFLA_AF_SPEC,
    nested<AddressFamilyOptions & Partial<UnknownAttributes>>(bound(AF_SPEC), UNFLAGGED),
  ],
});

/** Encodes the payload of an `RTM_*LINK` message. @throws {RangeError} If an attribute is too long. */
export function encodeLink(link: LinkRequest): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter();
  writer.u8(link.family ?? 0).u8(0).u16(link.deviceType ?? 0).u32(link.index ?? 0)
    .u32(link.flags ?? 0).u32(link.change ?? 0);
  LINK.write(writer, link);
  return writer.finish();
}

/** Decodes the payload of an `RTM_*LINK` message. @throws {CodecError} If it is cut short. */
export function decodeLink(payload: Uint8Array): Link {
  const reader = new ByteReader(payload, "ifinfomsg");
  const family = reader.u8();
  reader.skip(1);
  const [deviceType, index] = [reader.u16(), reader.u32()];
  const [flags, change] = [reader.u32(), reader.u32()];
  return { family, deviceType, index, flags, change, ...LINK.decode(reader.rest()) };
}

/** What tells a link from others. */
export type LinkIdentity = Pick<Link, "family" | "index" | "name" | "alias">;

/**
 * Decodes only what tells whose link it is: notifications come in crowds, and most are of no interest.
 *
 * @throws {CodecError} If the payload is cut short.
 */
export function decodeLinkIdentity(payload: Uint8Array): LinkIdentity {
  const reader = new ByteReader(payload, "ifinfomsg");
  const family = reader.u8();
  reader.skip(3);
  const index = reader.u32();
  reader.skip(8);
  const identity: { family: number; index: number; name?: string; alias?: string } = { family, index };
  for (const { type, flags, payload } of decodeAttributes(reader.rest())) {
    if (type === nl.IFLA_IFNAME) identity.name = STRING.decode(payload, flags);
    else if (type === nl.IFLA_IFALIAS) identity.alias = STRING.decode(payload, flags);
  }
  return identity;
}

/** A link in a list of many: what it is, whose, and where. */
export type LinkSummary = Pick<Link, "family" | "index" | "flags"> & SummaryAttributes;

type SummaryAttributes = Pick<
  LinkAttributes,
  "name" | "alias" | "address" | "link" | "mtuBytes" | "master" | "group" | "info"
>;

const SUMMARY = new AttributeSchema<SummaryAttributes>({
  name: [nl.IFLA_IFNAME, STRING],
  alias: [nl.IFLA_IFALIAS, STRING],
  address: [nl.IFLA_ADDRESS, BYTES],
  link: [nl.IFLA_LINK, U32],
  mtuBytes: [nl.IFLA_MTU, U32],
  master: [nl.IFLA_MASTER, U32],
  group: [nl.IFLA_GROUP, U32],
  info: [nl.IFLA_LINKINFO, nested<LinkInfo & Partial<UnknownAttributes>>(bound(INFO), UNFLAGGED)],
});

/**
 * Decodes what a list of links needs: the rest, most of it settings per address family, is three quarters of the
 * work.
 *
 * @throws {CodecError} If the payload is cut short.
 */
export function decodeLinkSummary(payload: Uint8Array): LinkSummary {
  const reader = new ByteReader(payload, "ifinfomsg");
  const family = reader.u8();
  reader.skip(3);
  const [index, flags] = [reader.u32(), reader.u32()];
  reader.skip(4);
  const { unknown: _, ...attributes } = SUMMARY.decode(reader.rest());
  return { family, index, flags, ...attributes };
}
