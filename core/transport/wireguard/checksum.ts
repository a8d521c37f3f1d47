/**
 * The Internet checksum over memory.
 *
 * Sums are taken in the order of a little-endian machine, four bytes at a time, and turned round at the end: the
 * sum of ones' complements does not depend on byte order but for that.
 *
 * @see RFC 1071 §2.
 */

/** Sum of 16-bit words in network order, not folded, not complemented. At most 64 KiB. */
export function sumWords(view: DataView, offset: number, length: number): number {
  let low = 0;
  let high = 0;
  const end = offset + length;
  let at = offset;
  for (; at + 16 <= end; at += 16) {
    const a = view.getUint32(at, true);
    const b = view.getUint32(at + 4, true);
    const c = view.getUint32(at + 8, true);
    const d = view.getUint32(at + 12, true);
    low += (a & 0xffff) + (b & 0xffff) + (c & 0xffff) + (d & 0xffff);
    high += (a >>> 16) + (b >>> 16) + (c >>> 16) + (d >>> 16);
  }
  for (; at + 2 <= end; at += 2) low += view.getUint16(at, true);
  if (at < end) low += view.getUint8(at);
  const folded = fold(fold(low) + fold(high));
  return ((folded & 0xff) << 8) | (folded >>> 8);
}

/** Folds a sum into 16 bits. */
export function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + (folded >>> 16);
  return folded;
}

/** Sum of the pseudo-header of TCP or UDP. @param packet Offset of the IP header. */
export function sumPseudoHeader(
  view: DataView,
  packet: number,
  options: { readonly version: number; readonly protocol: number; readonly length: number },
): number {
  const addresses = options.version === 4 ? sumWords(view, packet + 12, 8) : sumWords(view, packet + 8, 32);
  return fold(addresses + options.protocol + options.length);
}
