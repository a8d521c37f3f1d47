import { assert, assertEquals, assertThrows } from "@std/assert";
import { ByteReader, bytesEqual, ByteWriter, CodecError } from "../../ffi/bytes.ts";

Deno.test("ByteWriter and ByteReader agree in both byte orders", () => {
  for (const littleEndian of [true, false]) {
    const written = new ByteWriter({ littleEndian, initialBytes: 1 })
      .u8(0xfe).u16(0xfedc).u16be(0x1234).u32(0xfedcba98).u32(-2).u64(0xfedcba9876543210n).u64(-3n)
      .bytes(Uint8Array.of(1, 2, 3)).align(4).finish();
    assertEquals(written.length % 4, 0);
    const reader = new ByteReader(written, "test", { littleEndian });
    assertEquals(reader.u8(), 0xfe);
    assertEquals(reader.u16(), 0xfedc);
    assertEquals(reader.u16be(), 0x1234);
    assertEquals(reader.u32(), 0xfedcba98);
    assertEquals(reader.i32(), -2);
    assertEquals(reader.u64(), 0xfedcba9876543210n);
    assertEquals(reader.i64(), -3n);
    assertEquals(reader.bytes(3), Uint8Array.of(1, 2, 3));
    assert(reader.rest().every((byte) => byte === 0));
  }
});

Deno.test("ByteWriter writes the low byte first when told", () => {
  assertEquals(new ByteWriter({ littleEndian: true }).u32(1).finish(), Uint8Array.of(1, 0, 0, 0));
  assertEquals(new ByteWriter({ littleEndian: false }).u32(1).finish(), Uint8Array.of(0, 0, 0, 1));
});

Deno.test("ByteWriter.patchU16() and patchU32() overwrite in place", () => {
  const writer = new ByteWriter({ littleEndian: true }).u32(0).u16(0).u8(9);
  assertEquals(writer.patchU32(0, 5).patchU16(4, 6).finish(), Uint8Array.of(5, 0, 0, 0, 6, 0, 9));
});

Deno.test("ByteReader names what is cut short, where, and by how much", () => {
  const reader = new ByteReader(new Uint8Array(5), "thing");
  reader.skip(2);
  const error = assertThrows(() => reader.u32(), CodecError, "thing: needs 4 at offset 2, got 3");
  assertEquals([error.what, error.offset, error.needed, error.got], ["thing", 2, 4, 3]);
  assertEquals(reader.offset, 2, "a failed read consumes nothing");
});

Deno.test("bytesEqual() compares length and content", () => {
  assert(bytesEqual(Uint8Array.of(1, 2), Uint8Array.of(1, 2)));
  assert(!bytesEqual(Uint8Array.of(1, 2), Uint8Array.of(1, 3)));
  assert(!bytesEqual(Uint8Array.of(1, 2), Uint8Array.of(1, 2, 3)));
});
