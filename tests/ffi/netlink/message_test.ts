import { assertEquals, assertThrows } from "@std/assert";
import { CodecError } from "../../../ffi/bytes.ts";
import { decodeMessages, decodeResult, encodeMessages } from "../../../ffi/netlink/message.ts";
import { assertMutationsDecode, assertPrefixesDecode } from "../../support/codec.ts";
import { fromHex, golden, goldenMessage, toHex } from "../../support/golden.ts";
import { withSeed } from "../../support/seeded_random.ts";

Deno.test("encodeMessages() writes struct nlmsghdr and pads between messages", () => {
  const datagram = encodeMessages([
    { type: 16, flags: 5, sequence: 1, portId: 0, payload: Uint8Array.of(0xaa) },
    { type: 19, flags: 5, sequence: 2, portId: 7, payload: new Uint8Array(0) },
  ]);
  assertEquals(
    toHex(datagram),
    toHex(fromHex(`
      11 00 00 00  10 00  05 00  01 00 00 00  00 00 00 00  # length 17, type, flags, sequence, port
      aa 00 00 00                                          # payload, padding
      10 00 00 00  13 00  05 00  02 00 00 00  07 00 00 00`)),
  );
});

Deno.test("decodeMessages() reads what encodeMessages() wrote", () => {
  withSeed((random) => {
    for (let round = 0; round < 200; round++) {
      const messages = Array.from({ length: random.below(6) }, () => ({
        type: random.below(65536),
        flags: random.below(65536),
        sequence: random.u32(),
        portId: random.u32(),
        payload: random.bytes(random.below(40)),
      }));
      assertEquals(decodeMessages(encodeMessages(messages)), messages);
    }
  });
});

Deno.test("decodeMessages() refuses a length below the header and one beyond the datagram", () => {
  assertThrows(() => decodeMessages(new Uint8Array(16)), CodecError, "nlmsg_len");
  assertThrows(() => decodeMessages(fromHex(`20 00 00 00 ${"00 ".repeat(12)}`)), CodecError, "nlmsghdr");
});

Deno.test("decodeMessages() stands cut and mutated datagrams", () => {
  for (const name of ["reply_link_veth", "error_name_too_long", "request_link_veth"]) {
    assertPrefixesDecode(golden(`netlink/${name}`), decodeMessages);
    assertMutationsDecode(golden(`netlink/${name}`), decodeMessages);
  }
});

Deno.test("decodeResult() reads errno and extended acknowledgement from captured errors", () => {
  assertEquals(decodeResult(goldenMessage("ack_success")), { errno: 0, extendedAck: {} });
  assertEquals(decodeResult(goldenMessage("error_unknown_kind")), {
    errno: 95,
    extendedAck: { message: "Unknown device type" },
  });
  assertEquals(decodeResult(goldenMessage("error_name_too_long")), {
    errno: 34,
    extendedAck: { message: "Attribute failed policy validation", offset: 32 },
  });
});

Deno.test("decodeResult() reads NLMSG_DONE with and without a body", () => {
  const done = { type: 3, flags: 2, sequence: 1, portId: 0 };
  assertEquals(decodeResult({ ...done, payload: new Uint8Array(0) }).errno, 0);
  assertEquals(decodeResult({ ...done, payload: fromHex("00 00 00 00") }).errno, 0);
  assertEquals(decodeResult({ ...done, payload: fromHex("a1 ff ff ff") }).errno, 95);
  const extended = fromHex("ea ff ff ff  07 00 01 00 6e 6f 00 00");
  assertEquals(decodeResult({ ...done, flags: 0x202, payload: extended }), {
    errno: 22,
    extendedAck: { message: "no" },
  });
});

Deno.test("decodeResult() stands cut and mutated messages", () => {
  for (const name of ["ack_success", "error_unknown_kind", "error_name_too_long"]) {
    const message = goldenMessage(name);
    const decode = (payload: Uint8Array): unknown => decodeResult({ ...message, payload });
    assertPrefixesDecode(message.payload, decode);
    assertMutationsDecode(message.payload, decode);
  }
});
