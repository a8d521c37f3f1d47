import { assertEquals } from "@std/assert";
import * as nl from "../../../ffi/netlink/constants.ts";
import { decodeNeighbour, encodeNeighbour, type Neighbour } from "../../../ffi/netlink/neighbour.ts";
import { assertMutationsDecode, assertPrefixesDecode, canonicalAttributes } from "../../support/codec.ts";
import { fromHex, goldenMessage, toHex } from "../../support/golden.ts";
import { withSeed } from "../../support/seeded_random.ts";

const NDMSG_BYTES = 12;
const DESTINATION = Uint8Array.of(10, 1, 2, 9);
const MAC = fromHex("02 00 00 00 00 09");

Deno.test("encodeNeighbour() adds a neighbour as iproute2 does", () => {
  const { payload } = goldenMessage("request_neighbour");
  const { index } = decodeNeighbour(payload);
  const encoded = encodeNeighbour({
    family: nl.AF_INET,
    index,
    state: nl.NUD_PERMANENT,
    destination: DESTINATION,
    linkLayerAddress: MAC,
  });
  assertEquals(toHex(encoded), toHex(payload));
});

Deno.test("decodeNeighbour() reads a captured neighbour, and it survives encoding", () => {
  const { payload } = goldenMessage("reply_neighbour");
  const neighbour = decodeNeighbour(payload);
  assertEquals(
    [neighbour.state, neighbour.destination, neighbour.linkLayerAddress],
    [nl.NUD_PERMANENT, DESTINATION, MAC],
  );
  assertEquals(
    canonicalAttributes(encodeNeighbour(neighbour), NDMSG_BYTES),
    canonicalAttributes(payload, NDMSG_BYTES),
  );
});

Deno.test("decodeNeighbour() stands cut and mutated messages", () => {
  for (const name of ["request_neighbour", "reply_neighbour"]) {
    assertPrefixesDecode(goldenMessage(name).payload, decodeNeighbour);
    assertMutationsDecode(goldenMessage(name).payload, decodeNeighbour);
  }
});

Deno.test("neighbours of any fields round-trip", () => {
  withSeed((random) => {
    for (let round = 0; round < 200; round++) {
      const neighbour: Neighbour = {
        family: random.below(256),
        index: random.u32(),
        state: random.below(65536),
        flags: random.below(256),
        type: random.below(256),
        ...random.maybe("destination", random.bytes(16)),
        ...random.maybe("linkLayerAddress", random.bytes(6)),
        unknown: [],
      };
      assertEquals(decodeNeighbour(encodeNeighbour(neighbour)), neighbour);
    }
  });
});
