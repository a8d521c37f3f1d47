/**
 * GUIDs as text and as the 16 bytes of a C `GUID`.
 *
 * Layout: Data1 u32, Data2 u16, Data3 u16, all little-endian, then Data4, 8 bytes in the order of the text. Inside
 * the program a GUID is its bare text: 36 characters, lower case, no braces.
 *
 * @see guiddef.h `GUID`.
 */

/** 36 characters in lower case, without braces. */
export type Guid = string;

const BARE = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const GUID_BYTES = 16;
/** Where each byte of the text goes: the first three fields are numbers, and little-endian. */
const PLACES = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15] as const;

/** All zeros: what HCN says for "none". */
export const NIL_GUID: Guid = "00000000-0000-0000-0000-000000000000";

/** Reads a GUID with or without braces, in any case; `undefined` when the text is none. */
export function parseGuid(text: string): Guid | undefined {
  const inner = text.startsWith("{") && text.endsWith("}") ? text.slice(1, -1) : text;
  const bare = inner.toLowerCase();
  return BARE.test(bare) ? bare : undefined;
}

/** The C layout. @throws {TypeError} If the text is no GUID. */
export function encodeGuid(text: string): Uint8Array<ArrayBuffer> {
  const guid = parseGuid(text);
  if (guid === undefined) throw new TypeError(`not a GUID: ${JSON.stringify(text.slice(0, 48))}`);
  const bytes = new Uint8Array(GUID_BYTES);
  const digits = guid.replaceAll("-", "");
  for (const [i, place] of PLACES.entries()) bytes[place] = parseInt(digits.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

/** The bare text of 16 bytes. @throws {RangeError} If there are not 16. */
export function decodeGuid(bytes: Uint8Array): Guid {
  if (bytes.length !== GUID_BYTES) throw new RangeError(`a GUID has 16 bytes, got ${bytes.length}`);
  const digits = PLACES.map((place) => bytes[place]!.toString(16).padStart(2, "0")).join("");
  return [
    digits.slice(0, 8),
    digits.slice(8, 12),
    digits.slice(12, 16),
    digits.slice(16, 20),
    digits.slice(20),
  ]
    .join("-");
}
