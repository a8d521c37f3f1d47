/** GUIDs as text and as bytes. */
import { assertEquals, assertThrows } from "@std/assert";
import { decodeGuid, encodeGuid, parseGuid } from "../../../ffi/windows/guid.ts";

const TEXT = "12345678-9abc-def0-1122-334455667788";
const BYTES = [
  0x78,
  0x56,
  0x34,
  0x12,
  0xbc,
  0x9a,
  0xf0,
  0xde,
  0x11,
  0x22,
  0x33,
  0x44,
  0x55,
  0x66,
  0x77,
  0x88,
];

Deno.test("encodeGuid() and decodeGuid() go there and back [windows T1]", () => {
  assertEquals([...encodeGuid(TEXT)], BYTES);
  assertEquals(decodeGuid(Uint8Array.from(BYTES)), TEXT);
});

Deno.test("parseGuid() takes braces and any case, and nothing else [windows T1]", async (t) => {
  const rows = [
    { text: TEXT, want: TEXT },
    { text: `{${TEXT}}`, want: TEXT },
    { text: TEXT.toUpperCase(), want: TEXT },
    { text: `{${TEXT.toUpperCase()}}`, want: TEXT },
    { text: TEXT.slice(1), want: undefined },
    { text: `${TEXT}0`, want: undefined },
    { text: TEXT.replace("9", "g"), want: undefined },
    { text: `{${TEXT}`, want: undefined },
    { text: `${TEXT}}`, want: undefined },
    { text: TEXT.replaceAll("-", "0"), want: undefined },
    { text: "", want: undefined },
  ];
  for (const { text, want } of rows) {
    await t.step(text || "empty", () => assertEquals(parseGuid(text), want));
  }
});

Deno.test("encodeGuid() and decodeGuid() refuse what is no GUID [windows T1]", () => {
  assertThrows(() => encodeGuid("junk"), TypeError, "not a GUID");
  assertThrows(() => decodeGuid(new Uint8Array(15)), RangeError, "16 bytes, got 15");
});
