/**
 * Where a peer was last heard from, as the hot path needs it: bytes, compared without allocation.
 *
 * An endpoint is immutable. A receive loop keeps the last few it has met and hands in the same object again, so
 * that roaming is mostly a comparison of references.
 */

import { formatIp, type IpAddress, ipFromBytes, ipToBytes } from "../ip/address.ts";
import { hex } from "./bytes.ts";

/** Our own address that a datagram came in on, to answer from: source address stickiness. */
export interface LocalAddress {
  /** 4 or 16 bytes, of the family of the endpoint. */
  readonly address: Uint8Array;
  /** Index of the interface, 0 for any. */
  readonly interfaceIndex: number;
}

/** UDP address and port of a peer, and where we answer it from. */
export class PeerEndpoint {
  readonly family: 4 | 6;
  /** 4 or 16 bytes in network order. */
  readonly address: Uint8Array;
  /** 1 to 65535. */
  readonly port: number;
  /** Interface index that a link-local IPv6 address is valid on; 0 otherwise. */
  readonly scopeId: number;
  /** Known once the peer was heard from; undefined leaves the choice to the routing table. */
  readonly local: LocalAddress | undefined;

  /**
   * @param address 4 or 16 bytes, which are copied.
   * @param port 0 to 65535.
   * @throws {RangeError} If either is out of range.
   */
  constructor(
    address: Uint8Array,
    port: number,
    options: { readonly scopeId?: number; readonly local?: LocalAddress | undefined } = {},
  ) {
    if (address.length !== 4 && address.length !== 16) {
      throw new RangeError(`an endpoint address has 4 or 16 bytes, got ${address.length}`);
    }
    if (!Number.isInteger(port) || port < 0 || port > 65535) {
      throw new RangeError(`a port is 0 to 65535, got ${port}`);
    }
    this.family = address.length === 4 ? 4 : 6;
    this.address = Uint8Array.from(address);
    this.port = port;
    this.scopeId = options.scopeId ?? 0;
    this.local = options.local;
  }

  /** The endpoint at that address. */
  static of(address: IpAddress, port: number): PeerEndpoint {
    return new PeerEndpoint(ipToBytes(address), port);
  }

  /** Whether address, port and our own address are the same. */
  equals(other: PeerEndpoint): boolean {
    if (this === other) return true;
    return this.port === other.port && this.scopeId === other.scopeId &&
      sameBytes(this.address, other.address) && sameLocal(this.local, other.local);
  }

  /** The same peer address, our own left to the routing table: ours may be gone, which silence hints at. */
  withoutLocal(): PeerEndpoint {
    if (this.local === undefined) return this;
    return new PeerEndpoint(this.address, this.port, { scopeId: this.scopeId });
  }

  /** Address and port as bytes, which a cookie is bound to. */
  toBytes(): Uint8Array {
    const bytes = new Uint8Array(this.address.length + 2);
    bytes.set(this.address);
    bytes[bytes.length - 2] = this.port >>> 8;
    bytes[bytes.length - 1] = this.port & 0xff;
    return bytes;
  }

  /** Names the /32 or the /64 of the address; ports do not matter. */
  sourceKey(): string {
    return hex(this.address.subarray(0, this.family === 4 ? 4 : 8));
  }

  /** `192.0.2.1:51820` or `[2001:db8::1]:51820`. */
  toString(): string {
    const text = formatIp(ipFromBytes(this.address));
    return this.family === 4 ? `${text}:${this.port}` : `[${text}]:${this.port}`;
  }
}

function sameLocal(a: LocalAddress | undefined, b: LocalAddress | undefined): boolean {
  if (a === b) return true;
  if (a === undefined || b === undefined) return false;
  return a.interfaceIndex === b.interfaceIndex && sameBytes(a.address, b.address);
}

/** Not secret, so it may stop early. */
function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
