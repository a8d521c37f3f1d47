import { assertEquals } from "@std/assert";
import {
  decodeFamily,
  decodeGenericMessage,
  encodeFamilyRequest,
  encodeGenericMessage,
} from "../../../ffi/netlink/genetlink.ts";
import { assertMutationsDecode, assertPrefixesDecode } from "../../support/codec.ts";
import { fromHex, goldenMessage, toHex } from "../../support/golden.ts";

Deno.test("encodeFamilyRequest() asks for a family by name", () => {
  assertEquals(
    toHex(encodeFamilyRequest("wireguard")),
    toHex(fromHex(`
      03 01 00 00                                            # CTRL_CMD_GETFAMILY, version 1
      0e 00 02 00  77 69 72 65 67 75 61 72 64 00  00 00      # CTRL_ATTR_FAMILY_NAME`)),
  );
});

Deno.test("decodeFamily() reads captured families", () => {
  const controller = decodeFamily(goldenMessage("reply_family").payload);
  assertEquals([controller.name, controller.id, controller.version], ["nlctrl", 16, 2]);
  const wireguard = decodeFamily(goldenMessage("reply_family_wireguard").payload);
  assertEquals([wireguard.name, wireguard.id, wireguard.maxAttribute], ["wireguard", 32, 8]);
});

Deno.test("generic messages round-trip", () => {
  const message = { command: 1, version: 2, attributes: fromHex("05 00 01 00 ff 00 00 00") };
  assertEquals(decodeGenericMessage(encodeGenericMessage(message)), message);
});

Deno.test("decodeFamily() stands cut and mutated messages", () => {
  const { payload } = goldenMessage("reply_family");
  assertPrefixesDecode(payload, decodeFamily);
  assertMutationsDecode(payload, decodeFamily);
});
