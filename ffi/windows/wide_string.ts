/** `PCWSTR` and `PWSTR`: UTF-16, little-endian, ended by a zero unit. */

/**
 * A string for C, its terminating zero included.
 *
 * @throws {TypeError} If the text holds a NUL: C would see it cut there.
 */
export function encodeWide(text: string): Uint16Array<ArrayBuffer> {
  if (text.includes("\0")) throw new TypeError("text for C must not hold a NUL");
  const units = new Uint16Array(text.length + 1);
  for (let i = 0; i < text.length; i++) units[i] = text.charCodeAt(i);
  return units;
}

/** Units read at once; `fromCharCode` takes them as arguments, and of those there is a limit. */
const CHUNK = 4096;

/**
 * Reads units up to the first zero. Halves of surrogate pairs become U+FFFD.
 *
 * @param unitAt The unit at an index from the start.
 */
export function decodeWide(unitAt: (index: number) => number): string {
  let text = "";
  let chunk: number[] = [];
  for (let i = 0;; i++) {
    const unit = unitAt(i);
    if (unit !== 0) chunk.push(unit);
    if (unit === 0 || chunk.length === CHUNK) {
      text += String.fromCharCode(...chunk);
      chunk = [];
    }
    if (unit === 0) return text.toWellFormed();
  }
}

/** Reads a string of C; NULL reads as the empty string. The memory stays its owner's. */
export function readWide(pointer: Deno.PointerValue): string {
  if (pointer === null) return "";
  const view = new Deno.UnsafePointerView(pointer);
  return decodeWide((index) => view.getUint16(2 * index));
}
