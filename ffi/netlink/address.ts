/**
 * Addresses of links: `struct ifaddrmsg` and the `IFA_*` attributes (linux/if_addr.h).
 *
 * Layout, host byte order: u8 ifa_family, u8 ifa_prefixlen, u8 ifa_flags, u8 ifa_scope, u32 ifa_index, attributes.
 */

import { ByteReader, ByteWriter } from "../bytes.ts";
import { AttributeSchema, BYTES, STRING, U32, type UnknownAttributes } from "./attribute.ts";
import * as nl from "./constants.ts";

/** Attributes of an address. */
export interface AddressAttributes {
  /** The address, or on a point-to-point link the other end's; 4 or 16 bytes. */
  readonly address?: Uint8Array;
  /** This end's address; absent for IPv6 without a peer. */
  readonly local?: Uint8Array;
  readonly broadcast?: Uint8Array;
  readonly label?: string;
  /** `IFA_F_*`, all 32 bits; leads over the header's 8. */
  readonly flags?: number;
  /** Metric of the prefix route. */
  readonly routePriority?: number;
}

/** Fixed part of an address message. */
export interface AddressHeader {
  readonly family: number;
  readonly prefixLength: number;
  /** The low 8 bits of `flags`. */
  readonly headerFlags: number;
  /** `RT_SCOPE_*`. */
  readonly scope: number;
  /** Link that has the address. */
  readonly index: number;
}

/** An address as wanted. */
export type AddressRequest = Partial<AddressHeader> & AddressAttributes & Partial<UnknownAttributes>;

/** An address as the kernel tells it. */
export type LinkAddress = AddressHeader & AddressAttributes & UnknownAttributes;

const ADDRESS = new AttributeSchema<AddressAttributes>({
  local: [nl.IFA_LOCAL, BYTES],
  address: [nl.IFA_ADDRESS, BYTES],
  broadcast: [nl.IFA_BROADCAST, BYTES],
  label: [nl.IFA_LABEL, STRING],
  flags: [nl.IFA_FLAGS, U32],
  routePriority: [nl.IFA_RT_PRIORITY, U32],
});

/** Encodes the payload of an `RTM_*ADDR` message. */
export function encodeAddress(address: AddressRequest): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter({ initialBytes: 64 });
  writer.u8(address.family ?? 0).u8(address.prefixLength ?? 0).u8(address.headerFlags ?? 0)
    .u8(address.scope ?? 0).u32(address.index ?? 0);
  ADDRESS.write(writer, address);
  return writer.finish();
}

/** Decodes the payload of an `RTM_*ADDR` message. @throws {CodecError} If it is cut short. */
export function decodeAddress(payload: Uint8Array): LinkAddress {
  const reader = new ByteReader(payload, "ifaddrmsg");
  const [family, prefixLength, headerFlags, scope] = [reader.u8(), reader.u8(), reader.u8(), reader.u8()];
  const index = reader.u32();
  return { family, prefixLength, headerFlags, scope, index, ...ADDRESS.decode(reader.rest()) };
}
