import { assertEquals } from "@std/assert";
import { decodeAddress, encodeAddress, type LinkAddress } from "../../../ffi/netlink/address.ts";
import * as nl from "../../../ffi/netlink/constants.ts";
import { assertMutationsDecode, assertPrefixesDecode, canonicalAttributes } from "../../support/codec.ts";
import { fromHex, goldenMessage, toHex } from "../../support/golden.ts";
import { withSeed } from "../../support/seeded_random.ts";

const IFADDRMSG_BYTES = 8;
const GOLDEN = ["request_address4", "request_address6", "reply_address4", "reply_address6"];
const V4 = Uint8Array.of(10, 1, 2, 3);
const V6 = fromHex("fd00 0000 0000 0000 0000 0000 0000 0003");

Deno.test("encodeAddress() adds an IPv4 address as iproute2 does", () => {
  const { payload } = goldenMessage("request_address4");
  const { index } = decodeAddress(payload);
  const encoded = encodeAddress({ family: nl.AF_INET, prefixLength: 24, index, local: V4, address: V4 });
  assertEquals(toHex(encoded), toHex(payload));
});

Deno.test("encodeAddress() adds an IPv6 address without duplicate detection as iproute2 does", () => {
  const { payload } = goldenMessage("request_address6");
  const { index } = decodeAddress(payload);
  const encoded = encodeAddress({
    family: nl.AF_INET6,
    prefixLength: 64,
    headerFlags: nl.IFA_F_NODAD,
    index,
    local: V6,
    address: V6,
  });
  assertEquals(toHex(encoded), toHex(payload));
});

Deno.test("decodeAddress() reads captured addresses", () => {
  const v4 = decodeAddress(goldenMessage("reply_address4").payload);
  assertEquals([v4.family, v4.prefixLength, v4.scope, v4.local, v4.label], [nl.AF_INET, 24, 0, V4, "ztb"]);
  assertEquals(v4.flags, nl.IFA_F_PERMANENT);
  const v6 = decodeAddress(goldenMessage("reply_address6").payload);
  assertEquals([v6.family, v6.prefixLength, v6.address, v6.local], [nl.AF_INET6, 64, V6, undefined]);
  assertEquals(v6.flags! & nl.IFA_F_NODAD, nl.IFA_F_NODAD);
});

Deno.test("captured addresses survive decoding and encoding, unknown attributes included", () => {
  for (const name of GOLDEN) {
    const { payload } = goldenMessage(name);
    const again = encodeAddress(decodeAddress(payload));
    assertEquals(
      canonicalAttributes(again, IFADDRMSG_BYTES),
      canonicalAttributes(payload, IFADDRMSG_BYTES),
      name,
    );
  }
});

Deno.test("decodeAddress() stands cut and mutated messages", () => {
  for (const name of GOLDEN) {
    assertPrefixesDecode(goldenMessage(name).payload, decodeAddress);
    assertMutationsDecode(goldenMessage(name).payload, decodeAddress);
  }
});

Deno.test("addresses of any fields round-trip", () => {
  withSeed((random) => {
    for (let round = 0; round < 300; round++) {
      const address: LinkAddress = {
        family: random.below(256),
        prefixLength: random.below(129),
        headerFlags: random.below(256),
        scope: random.below(256),
        index: random.u32(),
        ...random.maybe("address", random.bytes(16)),
        ...random.maybe("local", random.bytes(4)),
        ...random.maybe("broadcast", random.bytes(4)),
        ...random.maybe("label", random.text(15)),
        ...random.maybe("flags", random.u32()),
        ...random.maybe("routePriority", random.u32()),
        unknown: [],
      };
      assertEquals(decodeAddress(encodeAddress(address)), address);
    }
  });
});
