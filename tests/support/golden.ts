/** Captured bytes: files of hex with `#` comments that say on which kernel, by which command and when. */

import { decodeMessages, type NetlinkMessage } from "../../ffi/netlink/message.ts";

/** Bytes of hex text; blanks and everything from `#` to the end of a line are skipped. */
export function fromHex(text: string): Uint8Array<ArrayBuffer> {
  const digits = text.replaceAll(/#.*$/gm, "").replaceAll(/\s+/g, "");
  if (digits.length % 2 !== 0 || /[^0-9a-fA-F]/.test(digits)) throw new TypeError("not hex");
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** Hex of bytes, for messages of failed assertions. */
export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

/** Bytes of `testdata/<name>.hex`. */
export function golden(name: string): Uint8Array<ArrayBuffer> {
  return fromHex(Deno.readTextFileSync(new URL(`../testdata/${name}.hex`, import.meta.url)));
}

/** The one message of `testdata/netlink/<name>.hex`. */
export function goldenMessage(name: string): NetlinkMessage {
  const messages = decodeMessages(golden(`netlink/${name}`));
  if (messages.length !== 1) throw new TypeError(`${name} holds ${messages.length} messages`);
  return messages[0]!;
}
