/**
 * `struct sockaddr_in` and `struct sockaddr_in6` of Linux. Pure.
 *
 *     0  u16 family: 2 or 10           4  IPv4: address, then 8 zeros
 *     2  u16 port, network order       4  IPv6: u32 flow information, 16 bytes address, u32 scope id
 *
 * @see ip(7), ipv6(7).
 */

import { ByteReader, ByteWriter, CodecError } from "./bytes.ts";
import { AF_INET, AF_INET6 } from "./netlink/constants.ts";

/** `sizeof(struct sockaddr_in6)`; room for either family. */
export const SOCKADDR_BYTES = 28;

/** A UDP address. */
export interface SocketAddress {
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  readonly port: number;
  /** Link of a link-local IPv6 address, else 0. */
  readonly scopeId?: number;
}

/** The structure of the address's family: 16 or 28 bytes. */
export function encodeSockaddr({ address, port, scopeId = 0 }: SocketAddress): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter({ initialBytes: SOCKADDR_BYTES });
  if (address.length === 4) return writer.u16(AF_INET).u16be(port).bytes(address).zeros(8).finish();
  return writer.u16(AF_INET6).u16be(port).u32(0).bytes(address).u32(scopeId).finish();
}

/** The reverse; what is behind the structure is not looked at. @throws {CodecError} If it is cut short, or of another family. */
export function decodeSockaddr(bytes: Uint8Array): SocketAddress {
  const reader = new ByteReader(bytes, "sockaddr");
  const family = reader.u16();
  const port = reader.u16be();
  if (family === AF_INET) return { address: reader.bytes(4), port };
  if (family !== AF_INET6) throw new CodecError("sockaddr family", 0, AF_INET6, family);
  reader.skip(4);
  const address = reader.bytes(16);
  const scopeId = reader.u32();
  return scopeId === 0 ? { address, port } : { address, port, scopeId };
}
