/**
 * Text of others inside messages of ours.
 *
 * What a caller sends may be 8 MiB long, hold terminal escapes or turn the writing direction. In a message it
 * is cut and every character that is not plainly visible is escaped.
 */

const DEFAULT_LIMIT = 48;
const PLAIN_TEXT = /^[\x21-\x7e]{1,64}$/;

/** Control, format, surrogate, private and unassigned characters, line and paragraph separators. */
const INVISIBLE = /[\p{C}\p{Zl}\p{Zp}]/u;

function escapeCharacter(character: string): string {
  if (character === '"' || character === "\\") return `\\${character}`;
  return INVISIBLE.test(character) ? `\\u{${character.codePointAt(0)!.toString(16)}}` : character;
}

/**
 * Quotes a value for a message: in double quotes, invisible characters as `\u{..}`, cut after `limit`
 * characters with the whole length said.
 *
 * @param limit Characters shown, 1 or more.
 */
export function quote(value: string, limit = DEFAULT_LIMIT): string {
  // A character has at most two UTF-16 units, so this slice holds all that may be shown and one more.
  const characters = [...value.slice(0, 2 * (limit + 1))];
  const shown = characters.slice(0, limit).map(escapeCharacter).join("");
  if (characters.length <= limit) return `"${shown}"`;
  return `"${shown}…" (${new TextEncoder().encode(value).length} bytes)`;
}

/** A value for a message as it is where it is short and plain, since operators know these texts; else quoted. */
export function shown(value: string): string {
  return PLAIN_TEXT.test(value) ? value : quote(value);
}
