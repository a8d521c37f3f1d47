/** Values of ours in the terms of the kernel's interface, which all of our devices are configured in. Pure. */

import { AF_INET, AF_INET6 } from "../../../ffi/netlink/constants.ts";
import type { AllowedIp } from "../../../ffi/netlink/wireguard.ts";
import { ipFromBytes, ipToBytes } from "../../ip/address.ts";
import { canonicalPrefix, type IpPrefix } from "../../ip/prefix.ts";

/** A prefix, without host bits. */
export function toAllowedIp(prefix: IpPrefix): AllowedIp {
  const { address, length } = canonicalPrefix(prefix);
  return {
    family: address.family === 4 ? AF_INET : AF_INET6,
    address: ipToBytes(address),
    prefixLength: length,
  };
}

/** {@linkcode toAllowedIp} the other way round. */
export function fromAllowedIp({ address, prefixLength }: AllowedIp): IpPrefix {
  return { address: ipFromBytes(address!), length: prefixLength! };
}

/**
 * The X25519 private key as the kernel keeps it (RFC 7748 §5). Given another form of the same key it would take it
 * for a new one, and end every session.
 *
 * @returns A new array.
 */
export function clampKey(key: Uint8Array): Uint8Array {
  const clamped = Uint8Array.from(key);
  clamped[0] = clamped[0]! & 0xf8;
  clamped[31] = (clamped[31]! & 0x7f) | 0x40;
  return clamped;
}
