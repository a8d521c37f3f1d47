/**
 * Neighbours (ARP, NDP and bridge forwarding entries): `struct ndmsg` and `NDA_*` (linux/neighbour.h).
 *
 * Layout, host byte order: u8 ndm_family, 3 zero bytes, s32 ndm_ifindex, u16 ndm_state, u8 ndm_flags, u8 ndm_type,
 * attributes.
 */

import { ByteReader, ByteWriter } from "../bytes.ts";
import { AttributeSchema, BYTES, type UnknownAttributes } from "./attribute.ts";
import * as nl from "./constants.ts";

/** Attributes of a neighbour. */
export interface NeighbourAttributes {
  /** Its IP address, 4 or 16 bytes. */
  readonly destination?: Uint8Array;
  /** Its hardware address. */
  readonly linkLayerAddress?: Uint8Array;
}

/** Fixed part of a neighbour message. */
export interface NeighbourHeader {
  readonly family: number;
  readonly index: number;
  /** `NUD_*`. */
  readonly state: number;
  /** `NTF_*`. */
  readonly flags: number;
  readonly type: number;
}

/** A neighbour as wanted. */
export type NeighbourRequest = Partial<NeighbourHeader> & NeighbourAttributes & Partial<UnknownAttributes>;

/** A neighbour as the kernel tells it. */
export type Neighbour = NeighbourHeader & NeighbourAttributes & UnknownAttributes;

const NEIGHBOUR = new AttributeSchema<NeighbourAttributes>({
  destination: [nl.NDA_DST, BYTES],
  linkLayerAddress: [nl.NDA_LLADDR, BYTES],
});

/** Encodes the payload of an `RTM_*NEIGH` message. */
export function encodeNeighbour(neighbour: NeighbourRequest): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter({ initialBytes: 64 });
  writer.u8(neighbour.family ?? 0).zeros(3).u32(neighbour.index ?? 0).u16(neighbour.state ?? 0)
    .u8(neighbour.flags ?? 0).u8(neighbour.type ?? 0);
  NEIGHBOUR.write(writer, neighbour);
  return writer.finish();
}

/** Decodes the payload of an `RTM_*NEIGH` message. @throws {CodecError} If it is cut short. */
export function decodeNeighbour(payload: Uint8Array): Neighbour {
  const reader = new ByteReader(payload, "ndmsg");
  const family = reader.u8();
  reader.skip(3);
  const [index, state, flags, type] = [reader.u32(), reader.u16(), reader.u8(), reader.u8()];
  return { family, index, state, flags, type, ...NEIGHBOUR.decode(reader.rest()) };
}
