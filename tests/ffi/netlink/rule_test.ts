import { assertEquals } from "@std/assert";
import * as nl from "../../../ffi/netlink/constants.ts";
import { decodeRule, encodeRule, type Rule } from "../../../ffi/netlink/rule.ts";
import { assertMutationsDecode, assertPrefixesDecode, canonicalAttributes } from "../../support/codec.ts";
import { goldenMessage } from "../../support/golden.ts";
import { withSeed } from "../../support/seeded_random.ts";

const FIB_RULE_HDR_BYTES = 12;

Deno.test("encodeRule() adds a rule as iproute2 does", () => {
  const { payload } = goldenMessage("request_rule");
  const encoded = encodeRule({
    family: nl.AF_INET,
    sourceLength: 24,
    action: nl.FR_ACT_TO_TBL,
    priority: 100,
    source: Uint8Array.of(10, 1, 2, 0),
    fwmark: 7,
    fwmask: 0xff,
    tableId: 51820,
  });
  assertEquals(
    canonicalAttributes(encoded, FIB_RULE_HDR_BYTES),
    canonicalAttributes(payload, FIB_RULE_HDR_BYTES),
  );
});

Deno.test("decodeRule() reads a captured rule, and it survives encoding", () => {
  const { payload } = goldenMessage("reply_rule");
  const rule = decodeRule(payload);
  assertEquals(
    [rule.sourceLength, rule.source, rule.priority, rule.fwmark, rule.fwmask, rule.tableId],
    [24, Uint8Array.of(10, 1, 2, 0), 100, 7, 0xff, 51820],
  );
  assertEquals(
    canonicalAttributes(encodeRule(rule), FIB_RULE_HDR_BYTES),
    canonicalAttributes(payload, FIB_RULE_HDR_BYTES),
  );
});

Deno.test("decodeRule() stands cut and mutated messages", () => {
  for (const name of ["request_rule", "reply_rule"]) {
    assertPrefixesDecode(goldenMessage(name).payload, decodeRule);
    assertMutationsDecode(goldenMessage(name).payload, decodeRule);
  }
});

Deno.test("rules of any fields round-trip", () => {
  withSeed((random) => {
    for (let round = 0; round < 200; round++) {
      const rule: Rule = {
        family: random.below(256),
        destinationLength: random.below(256),
        sourceLength: random.below(256),
        tos: random.below(256),
        table: random.below(256),
        action: random.below(256),
        flags: random.u32(),
        ...random.maybe("destination", random.bytes(16)),
        ...random.maybe("inName", random.text(15)),
        ...random.maybe("priority", random.u32()),
        ...random.maybe("suppressPrefixLength", random.u32()),
        ...random.maybe("protocol", random.below(256)),
        unknown: [],
      };
      assertEquals(decodeRule(encodeRule(rule)), rule);
    }
  });
});
