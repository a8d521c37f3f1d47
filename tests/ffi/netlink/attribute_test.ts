import { assertEquals, assertThrows } from "@std/assert";
import { CodecError } from "../../../ffi/bytes.ts";
import {
  AttributeSchema,
  BYTES,
  decodeAttributes,
  encodeAttributes,
  fixedBytes,
  S32,
  STRING,
  U16,
  U32,
  U64,
  U8,
} from "../../../ffi/netlink/attribute.ts";
import { NLA_F_NESTED } from "../../../ffi/netlink/constants.ts";
import { fromHex, toHex } from "../../support/golden.ts";
import { withSeed } from "../../support/seeded_random.ts";

Deno.test("encodeAttributes() counts header and payload, and pads to 4 bytes", () => {
  const encoded = encodeAttributes([
    { type: 3, flags: 0, payload: Uint8Array.of(0x7a, 0x74, 0x30, 0x00, 0x31) },
    { type: 18, flags: NLA_F_NESTED, payload: new Uint8Array(0) },
  ]);
  assertEquals(
    toHex(encoded),
    toHex(fromHex(`
      09 00 03 00  7a 74 30 00 31  00 00 00  # length 9, padded to 12
      04 00 12 80                            # nested, empty`)),
  );
});

Deno.test("decodeAttributes() reads what encodeAttributes() wrote", () => {
  withSeed((random) => {
    for (let round = 0; round < 200; round++) {
      const attributes = Array.from({ length: random.below(8) }, () => ({
        type: random.below(0x4000),
        flags: random.pick([0, 0x8000, 0x4000]),
        payload: random.bytes(random.below(20)),
      }));
      assertEquals(decodeAttributes(encodeAttributes(attributes)), attributes);
    }
  });
});

Deno.test("decodeAttributes() takes a last attribute without padding and refuses impossible lengths", () => {
  assertEquals(decodeAttributes(fromHex("05 00 01 00 ff")), [{
    type: 1,
    flags: 0,
    payload: Uint8Array.of(0xff),
  }]);
  assertThrows(() => decodeAttributes(fromHex("03 00 01 00")), CodecError, "nla_len");
  assertThrows(() => decodeAttributes(fromHex("09 00 01 00 ff ff ff ff")), CodecError, "nlattr");
  assertThrows(() => decodeAttributes(fromHex("08 00")), CodecError, "nlattr");
});

Deno.test("encodeAttributes() refuses what a u16 length or a 14-bit type cannot say", () => {
  const payload = new Uint8Array(65_532);
  assertThrows(
    () => encodeAttributes([{ type: 1, flags: 0, payload }]),
    RangeError,
    "65532 bytes exceed 65531",
  );
  assertThrows(
    () => encodeAttributes([{ type: 0x4000, flags: 0, payload: new Uint8Array(0) }]),
    RangeError,
    "16384",
  );
});

interface Example {
  readonly small?: number;
  readonly short?: number;
  readonly word?: number;
  readonly signed?: number;
  readonly long?: bigint;
  readonly text?: string;
  readonly raw?: Uint8Array;
  readonly key?: Uint8Array;
}

const EXAMPLE = new AttributeSchema<Example>({
  small: [1, U8],
  short: [2, U16],
  word: [3, U32],
  signed: [4, S32],
  long: [5, U64],
  text: [6, STRING],
  raw: [7, BYTES],
  key: [8, fixedBytes("key", 4)],
});

Deno.test("AttributeSchema round-trips fields and keeps unknown attributes", () => {
  withSeed((random) => {
    for (let round = 0; round < 300; round++) {
      const value = {
        ...random.maybe("small", random.below(256)),
        ...random.maybe("short", random.below(65536)),
        ...random.maybe("word", random.u32()),
        ...random.maybe("signed", random.u32() | 0),
        ...random.maybe("long", random.u64()),
        ...random.maybe("text", random.text(12)),
        ...random.maybe("raw", random.bytes(random.below(9))),
        ...random.maybe("key", random.bytes(4)),
        unknown: Array.from(
          { length: random.below(3) },
          () => ({ type: 9 + random.below(50), flags: 0, payload: random.bytes(random.below(9)) }),
        ),
      };
      assertEquals(EXAMPLE.decode(EXAMPLE.encode(value)), value);
    }
  });
});

Deno.test("AttributeSchema lets the last of equal attributes count and leaves out undefined fields", () => {
  const twice = fromHex("08 00 03 00 01 00 00 00  08 00 03 00 02 00 00 00");
  assertEquals(EXAMPLE.decode(twice), { word: 2, unknown: [] });
  assertEquals(EXAMPLE.encode({}).length, 0);
});

Deno.test("STRING takes text with and without its NUL", () => {
  assertEquals(STRING.decode(fromHex("7a 74 30 00 31"), 0), "zt0");
  assertEquals(STRING.decode(fromHex("7a 74 30"), 0), "zt0");
  assertEquals(toHex(STRING.encode("é")), "c3 a9 00");
});

Deno.test("fixedBytes() refuses another length", () => {
  assertThrows(() => EXAMPLE.decode(fromHex("07 00 08 00 01 02 03 00")), CodecError, "key: needs 4");
});
