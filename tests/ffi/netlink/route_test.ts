import { assertEquals, assertThrows } from "@std/assert";
import { CodecError } from "../../../ffi/bytes.ts";
import * as nl from "../../../ffi/netlink/constants.ts";
import { decodeRoute, encodeRoute, type Route } from "../../../ffi/netlink/route.ts";
import { assertMutationsDecode, assertPrefixesDecode, canonicalAttributes } from "../../support/codec.ts";
import { fromHex, goldenMessage, toHex } from "../../support/golden.ts";
import { withSeed } from "../../support/seeded_random.ts";

const RTMSG_BYTES = 12;
const GOLDEN = [
  "request_route_default",
  "request_route_multipath",
  "reply_route_default",
  "reply_route_multipath",
  "reply_route_ipv6",
];

Deno.test("encodeRoute() adds a default route as iproute2 does", () => {
  const { payload } = goldenMessage("request_route_default");
  const encoded = encodeRoute({
    family: nl.AF_INET,
    table: nl.RT_TABLE_MAIN,
    protocol: nl.RTPROT_STATIC,
    scope: nl.RT_SCOPE_UNIVERSE,
    type: nl.RTN_UNICAST,
    gateway: Uint8Array.of(10, 1, 2, 1),
    priority: 50,
    outIndex: decodeRoute(payload).outIndex!,
  });
  assertEquals(canonicalAttributes(encoded, RTMSG_BYTES), canonicalAttributes(payload, RTMSG_BYTES));
});

Deno.test("encodeRoute() adds a multipath route as iproute2 does", () => {
  const { payload } = goldenMessage("request_route_multipath");
  const index = decodeRoute(payload).multipath![0]!.index;
  const encoded = encodeRoute({
    family: nl.AF_INET,
    destinationLength: 16,
    table: nl.RT_TABLE_MAIN,
    protocol: nl.RTPROT_BOOT,
    type: nl.RTN_UNICAST,
    destination: Uint8Array.of(10, 9, 0, 0),
    multipath: [
      { flags: 0, hops: 0, index, gateway: Uint8Array.of(10, 1, 2, 1) },
      { flags: 0, hops: 2, index, gateway: Uint8Array.of(10, 1, 2, 2) },
    ],
  });
  assertEquals(toHex(encoded), toHex(payload));
});

Deno.test("decodeRoute() reads captured routes", () => {
  const byDefault = decodeRoute(goldenMessage("reply_route_default").payload);
  assertEquals(
    [
      byDefault.destinationLength,
      byDefault.gateway,
      byDefault.priority,
      byDefault.protocol,
      byDefault.tableId,
    ],
    [0, Uint8Array.of(10, 1, 2, 1), 50, nl.RTPROT_STATIC, nl.RT_TABLE_MAIN],
  );
  const multipath = decodeRoute(goldenMessage("reply_route_multipath").payload);
  assertEquals(multipath.multipath?.map((hop) => [hop.hops, hop.gateway?.[3]]), [[0, 1], [2, 2]]);
  const v6 = decodeRoute(goldenMessage("reply_route_ipv6").payload);
  assertEquals([v6.family, v6.destinationLength, v6.destination?.[0]], [nl.AF_INET6, 64, 0xfd]);
});

Deno.test("captured routes survive decoding and encoding, unknown attributes included", () => {
  for (const name of GOLDEN) {
    const { payload } = goldenMessage(name);
    const again = encodeRoute(decodeRoute(payload));
    assertEquals(canonicalAttributes(again, RTMSG_BYTES), canonicalAttributes(payload, RTMSG_BYTES), name);
  }
});

Deno.test("decodeRoute() stands cut and mutated messages", () => {
  for (const name of GOLDEN) {
    assertPrefixesDecode(goldenMessage(name).payload, decodeRoute);
    assertMutationsDecode(goldenMessage(name).payload, decodeRoute);
  }
});

Deno.test("decodeRoute() refuses a next hop shorter than its header", () => {
  const rtmsg = "02 00 00 00 00 00 00 00 00 00 00 00";
  const payload = fromHex(`${rtmsg}  0c 00 09 00  04 00 00 00 01 00 00 00`);
  assertThrows(() => decodeRoute(payload), CodecError, "rtnh_len: needs 8 at offset 0, got 4");
});

Deno.test("routes of any fields round-trip", () => {
  withSeed((random) => {
    for (let round = 0; round < 300; round++) {
      const byte = (): number => random.below(256);
      const route: Route = {
        family: byte(),
        destinationLength: byte(),
        sourceLength: byte(),
        tos: byte(),
        table: byte(),
        protocol: byte(),
        scope: byte(),
        type: byte(),
        flags: random.u32(),
        ...random.maybe("destination", random.bytes(16)),
        ...random.maybe("outIndex", random.u32()),
        ...random.maybe("gateway", random.bytes(4)),
        ...random.maybe("priority", random.u32()),
        ...random.maybe("preferredSource", random.bytes(4)),
        ...random.maybe("tableId", random.u32()),
        ...random.maybe(
          "multipath",
          Array.from({ length: random.below(4) }, () => ({
            flags: byte(),
            hops: byte(),
            index: random.u32(),
            ...random.maybe("gateway", random.bytes(16)),
            unknown: [],
          })),
        ),
        unknown: [],
      };
      assertEquals(decodeRoute(encodeRoute(route)), route);
    }
  });
});
