/** Strings in UTF-16 with a terminating zero. */
import { assertEquals, assertThrows } from "@std/assert";
import { decodeWide, encodeWide, readWide } from "../../../ffi/windows/wide_string.ts";

Deno.test("encodeWide() gives UTF-16 units and a zero [windows T2]", () => {
  assertEquals([...encodeWide("aé😀")], [0x61, 0xe9, 0xd83d, 0xde00, 0]);
  assertEquals([...encodeWide("")], [0]);
  assertThrows(() => encodeWide("a\0b"), TypeError, "NUL");
});

Deno.test("decodeWide() reads to the first zero, and mends halves of pairs [windows T2]", async (t) => {
  const long = "0123456789äöü😀".repeat(2000);
  const rows = [
    { name: "round trip", units: [...encodeWide("aé😀")], want: "aé😀" },
    { name: "what is behind the zero", units: [0x61, 0, 0x62, 0], want: "a" },
    { name: "a lone high half", units: [0xd83d, 0x61, 0], want: "\ufffda" },
    { name: "a lone low half", units: [0xde00, 0], want: "\ufffd" },
    { name: "longer than one chunk", units: [...encodeWide(long)], want: long },
  ];
  for (const { name, units, want } of rows) {
    await t.step(name, () => assertEquals(decodeWide((i) => units[i]!), want));
  }
});

Deno.test("readWide() reads from memory, and NULL as nothing [windows T2]", () => {
  assertEquals(readWide(null), "");
  const units = encodeWide("aé😀");
  assertEquals(readWide(Deno.UnsafePointer.of(units)), "aé😀");
});
