/**
 * The few fields of an IP packet that WireGuard looks at, read in place.
 *
 * @see RFC 791 §3.1; RFC 8200 §3.
 */

/** Offset of the source address in an IPv4 header. */
export const IPV4_SOURCE = 12;
/** Offset of the destination address in an IPv4 header. */
export const IPV4_DESTINATION = 16;
/** Offset of the source address in an IPv6 header. */
export const IPV6_SOURCE = 8;
/** Offset of the destination address in an IPv6 header. */
export const IPV6_DESTINATION = 24;

const IPV4_HEADER_BYTES = 20;
const IPV6_HEADER_BYTES = 40;

/**
 * Length of the packet by its own header, without padding.
 *
 * @param offset Where the packet starts.
 * @param available Bytes there, padding included.
 * @returns 0 if it is neither IPv4 nor IPv6, or does not fit.
 */
export function packetLength(buffer: Uint8Array, offset: number, available: number): number {
  switch (ipVersion(buffer, offset, available)) {
    case 4: {
      const length = (buffer[offset + 2]! << 8) | buffer[offset + 3]!;
      return length >= IPV4_HEADER_BYTES && length <= available ? length : 0;
    }
    case 6: {
      const length = IPV6_HEADER_BYTES + ((buffer[offset + 4]! << 8) | buffer[offset + 5]!);
      return length <= available ? length : 0;
    }
    default:
      return 0;
  }
}

/** 4 or 6 when there is room for the fixed header, 0 otherwise. */
export function ipVersion(buffer: Uint8Array, offset: number, available: number): 0 | 4 | 6 {
  if (available < IPV4_HEADER_BYTES) return 0;
  const version = buffer[offset]! >>> 4;
  if (version === 4) return 4;
  return version === 6 && available >= IPV6_HEADER_BYTES ? 6 : 0;
}
