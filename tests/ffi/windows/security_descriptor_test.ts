import { assertEquals, assertThrows } from "@std/assert";
import { ByteReader, CodecError } from "../../../ffi/bytes.ts";
import { decodeSecurityDescriptor, decodeSid } from "../../../ffi/windows/security_descriptor.ts";
import { fromHex } from "../../support/golden.ts";
import { seededTest } from "../../support/seeded_random.ts";
import { descriptorBytes, sidBytes } from "../../support/windows/descriptor_bytes.ts";

/** Of `C:\`, read with GetNamedSecurityInfoW under Wine 10. */
const GOLDEN = fromHex(
  "0100" + "0480" + // revision, control: self-relative, with a DACL
    "14000000" + "30000000" + "00000000" + "4c000000" + // owner, group, no SACL, DACL
    "010500000000000515000000000000000000000000000000e8030000" + // S-1-5-21-0-0-0-1000
    "01050000000000051500000000000000000000000000000001020000" + // S-1-5-21-0-0-0-513
    "02005400" + "03000000" + // ACL, 84 bytes, 3 entries
    "00031400" + "ff011f00" + "010100000000000512000000" + // (A;OICI;FA;;;SY)
    "00032400" + "ff011f00" + "010500000000000515000000000000000000000000000000e8030000" +
    "00031400" + "a9001200" + "010100000000000100000000", // (A;OICI;0x1200a9;;;WD)
);

Deno.test("decodeSecurityDescriptor() reads owner and entries", () => {
  const user = "S-1-5-21-0-0-0-1000";
  const entry = { kind: "allow", inheritOnly: false } as const;
  assertEquals(decodeSecurityDescriptor(GOLDEN), {
    owner: user,
    entries: [
      { ...entry, mask: 0x1f01ff, sid: "S-1-5-18" },
      { ...entry, mask: 0x1f01ff, sid: user },
      { ...entry, mask: 0x1200a9, sid: "S-1-1-0" },
    ],
  });
});

Deno.test("decodeSecurityDescriptor() tells a list of nobody from none, and kinds of entries", async (t) => {
  const sid = "S-1-5-32-544";
  const entry = { inheritOnly: false, mask: 2, sid } as const;
  const rows = [
    { name: "nothing", fields: {}, want: { owner: undefined, entries: undefined } },
    { name: "nobody", fields: { owner: sid, entries: [] }, want: { owner: sid, entries: [] } },
    ...[
      { type: 0, want: { ...entry, kind: "allow" } },
      { type: 1, want: { ...entry, kind: "deny" } },
      { type: 9, want: { ...entry, kind: "allow" } },
      { type: 10, want: { ...entry, kind: "deny" } },
      { type: 5, want: { kind: "other", inheritOnly: false, mask: 0, sid: "" } },
    ].map(({ type, want }) => ({
      name: `type ${type}`,
      fields: { entries: [{ type, mask: 2, sid }] },
      want: { owner: undefined, entries: [want] },
    })),
    {
      name: "handed down only",
      fields: { entries: [{ flags: 0x0b, mask: 0xf000_0000, sid }] },
      want: { owner: undefined, entries: [{ kind: "allow", inheritOnly: true, mask: 0xf000_0000, sid }] },
    },
  ];
  for (const { name, fields, want } of rows) {
    await t.step(name, () => assertEquals<unknown>(decodeSecurityDescriptor(descriptorBytes(fields)), want));
  }
});

Deno.test("decodeSecurityDescriptor() refuses what is cut off or impossible", async (t) => {
  for (let length = 0; length < GOLDEN.length; length++) {
    assertThrows(() => decodeSecurityDescriptor(GOLDEN.subarray(0, length)), CodecError);
  }
  const planted = [
    { name: "revision", at: 0, value: 2 },
    { name: "absolute form", at: 3, value: 0 },
    { name: "owner in the header", at: 4, value: 4 },
    { name: "owner's revision", at: 20, value: 0 },
    { name: "owner's length", at: 21, value: 16 },
    { name: "list behind the end", at: 16, value: 0xa0 },
    { name: "list longer than the rest", at: 78, value: 0x55 },
    { name: "list shorter than its head", at: 78, value: 7 },
    { name: "more entries than fit", at: 80, value: 4 },
    { name: "entry shorter than its head", at: 86, value: 3 },
    { name: "entry shorter than its SID", at: 86, value: 0x13 },
  ];
  for (const { name, at, value } of planted) {
    await t.step(name, () => {
      const bytes = GOLDEN.slice();
      bytes[at] = value;
      assertThrows(() => decodeSecurityDescriptor(bytes), CodecError);
    });
  }
});

seededTest(
  "decodeSecurityDescriptor() gives a value or a CodecError for any bytes, and what was written for others",
  (random) => {
    for (let round = 0; round < 2000; round++) {
      const bytes = random.oneIn(4) ? random.bytes(random.below(200)) : GOLDEN.slice();
      for (let i = random.below(4); i > 0 && bytes.length > 0; i--) {
        bytes[random.below(bytes.length)] = random.below(256);
      }
      try {
        decodeSecurityDescriptor(bytes);
      } catch (error) {
        if (!(error instanceof CodecError)) throw error;
      }
      const sid = [
        "S-1",
        random.below(2 ** 32) * 2 ** random.below(16),
        ...Array.from({ length: random.below(16) }, () => random.u32()),
      ].join("-");
      const entries = Array.from({ length: random.below(4) }, () => ({ mask: random.u32(), sid }));
      const want = entries.map((entry) => ({ kind: "allow" as const, inheritOnly: false, ...entry }));
      assertEquals(decodeSecurityDescriptor(descriptorBytes({ owner: sid, entries })), {
        owner: sid,
        entries: want,
      });
    }
  },
);

Deno.test("decodeSid() reads an authority of 48 bits", () => {
  const read = (bytes: Uint8Array): string => decodeSid(new ByteReader(bytes, "SID", { littleEndian: true }));
  assertEquals(
    read(Uint8Array.of(1, 1, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xff, 0xff, 0xff, 0xff)),
    "S-1-20015998343868-4294967295",
  );
  assertEquals(read(sidBytes("S-1-5-18")), "S-1-5-18");
});
