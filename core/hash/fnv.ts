/**
 * FNV-1a, 64 bits: decides the slot of a service's subnet and the short form of paths that are too long.
 *
 * @see http://www.isthe.com/chongo/tech/comp/fnv/ (offset basis and prime of the 64-bit variant)
 */

const OFFSET_BASIS = 0xcbf29ce484222325n;
const PRIME = 0x100000001b3n;

/**
 * Hashes bytes.
 *
 * @returns 0 to 2^64-1.
 */
export function fnv1a64(data: Uint8Array): bigint {
  let hash = OFFSET_BASIS;
  for (const byte of data) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * PRIME);
  return hash;
}

/** A 64-bit value as 16 lower-case hexadecimal digits. */
export function hex64(value: bigint): string {
  return value.toString(16).padStart(16, "0");
}
