/**
 * `MIB_UNICASTIPADDRESS_ROW`: an address of an interface. Pure.
 *
 *      0  SOCKADDR_INET address, 28       56  u32 preferred lifetime, s
 *     32  u64 interface LUID              60  u8  length of the prefix on the link
 *     40  u32 interface index             61  u8  skip as source
 *     44  i32 prefix origin               64  i32 state of duplicate address detection
 *     48  i32 suffix origin               68  u32 scope id
 *     52  u32 valid lifetime, s           72  i64 time of creation
 *
 * @see netioapi.h; `InitializeUnicastIpAddressEntry` for what is not set.
 */

import { readSockaddr, writeSockaddr } from "./sockaddr.ts";

/** `sizeof(MIB_UNICASTIPADDRESS_ROW)`. */
export const UNICAST_ROW_BYTES = 80;
/** Where rows start in a `MIB_UNICASTIPADDRESS_TABLE`, behind their number. */
const TABLE_HEADER_BYTES = 8;
/** `IpPrefixOriginUnchanged` and `IpSuffixOriginUnchanged`. */
const ORIGIN_UNCHANGED = 16;
const INFINITE = 0xffff_ffff;
/** `IpDadStatePreferred`: the address is used at once, without looking for another who has it. */
export const DAD_PREFERRED = 4;

/** An address and the interface that has it. */
export interface UnicastAddress {
  readonly luid: bigint;
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  /** 0 to 32 or 128. */
  readonly prefixLength: number;
}

/** A new row. @throws {RangeError} If the address has neither 4 nor 16 bytes. */
export function encodeUnicastAddress(
  { luid, address, prefixLength }: UnicastAddress,
): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(UNICAST_ROW_BYTES));
  writeSockaddr(view, 0, { address });
  view.setBigUint64(32, luid, true);
  view.setInt32(44, ORIGIN_UNCHANGED, true);
  view.setInt32(48, ORIGIN_UNCHANGED, true);
  view.setUint32(52, INFINITE, true);
  view.setUint32(56, INFINITE, true);
  view.setUint8(60, prefixLength);
  view.setInt32(64, DAD_PREFERRED, true);
  return new Uint8Array(view.buffer);
}

/** Reads one row. @throws {CodecError} If the address is of another family. */
export function decodeUnicastAddress(bytes: Uint8Array): UnicastAddress {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    luid: view.getBigUint64(32, true),
    address: readSockaddr(view, 0),
    prefixLength: view.getUint8(60),
  };
}

/** Bytes of a table with so many rows. */
export function unicastTableBytes(count: number): number {
  return TABLE_HEADER_BYTES + count * UNICAST_ROW_BYTES;
}

/** Reads a `MIB_UNICASTIPADDRESS_TABLE`. */
export function decodeUnicastTable(bytes: Uint8Array): UnicastAddress[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: view.getUint32(0, true) }, (_, i) => {
    const at = unicastTableBytes(i);
    return decodeUnicastAddress(bytes.subarray(at, at + UNICAST_ROW_BYTES));
  });
}
