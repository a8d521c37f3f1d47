/** Order of text by its UTF-8 bytes, which is that of code points and not of JavaScript's UTF-16 units. */

/** Compares two well-formed texts by their UTF-8 bytes: negative, 0 or positive. */
export function compareUtf8(a: string, b: string): number {
  const shared = Math.min(a.length, b.length);
  let at = 0;
  while (at < shared && a.charCodeAt(at) === b.charCodeAt(at)) at++;
  // Within two pairs that begin alike the second halves order as the characters do.
  return at === shared ? a.length - b.length : a.codePointAt(at)! - b.codePointAt(at)!;
}
