/**
 * Routing rules: `struct fib_rule_hdr` and the `FRA_*` attributes (linux/fib_rules.h).
 *
 * Layout, host byte order: u8 family, u8 dst_len, u8 src_len, u8 tos, u8 table, u16 zero, u8 action, u32 flags,
 * attributes.
 */

import { ByteReader, ByteWriter } from "../bytes.ts";
import { AttributeSchema, BYTES, STRING, U32, U8, type UnknownAttributes } from "./attribute.ts";
import * as nl from "./constants.ts";

/** Attributes of a rule. */
export interface RuleAttributes {
  readonly destination?: Uint8Array;
  readonly source?: Uint8Array;
  readonly inName?: string;
  readonly outName?: string;
  /** Lower is asked first. */
  readonly priority?: number;
  readonly fwmark?: number;
  readonly fwmask?: number;
  /** Ignore what the table says if its prefix is not longer. */
  readonly suppressPrefixLength?: number;
  /** Leads over the header's 8 bits. */
  readonly tableId?: number;
  /** `RTPROT_*`: who made the rule. */
  readonly protocol?: number;
}

/** Fixed part of a rule message. */
export interface RuleHeader {
  readonly family: number;
  readonly destinationLength: number;
  readonly sourceLength: number;
  readonly tos: number;
  readonly table: number;
  /** `FR_ACT_*`. */
  readonly action: number;
  /** `FIB_RULE_*`. */
  readonly flags: number;
}

/** A rule as wanted. */
export type RuleRequest = Partial<RuleHeader> & RuleAttributes & Partial<UnknownAttributes>;

/** A rule as the kernel tells it. */
export type Rule = RuleHeader & RuleAttributes & UnknownAttributes;

const RULE = new AttributeSchema<RuleAttributes>({
  destination: [nl.FRA_DST, BYTES],
  source: [nl.FRA_SRC, BYTES],
  inName: [nl.FRA_IIFNAME, STRING],
  outName: [nl.FRA_OIFNAME, STRING],
  priority: [nl.FRA_PRIORITY, U32],
  fwmark: [nl.FRA_FWMARK, U32],
  fwmask: [nl.FRA_FWMASK, U32],
  suppressPrefixLength: [nl.FRA_SUPPRESS_PREFIXLEN, U32],
  tableId: [nl.FRA_TABLE, U32],
  protocol: [nl.FRA_PROTOCOL, U8],
});

/** Encodes the payload of an `RTM_*RULE` message. */
export function encodeRule(rule: RuleRequest): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter({ initialBytes: 64 });
  writer.u8(rule.family ?? 0).u8(rule.destinationLength ?? 0).u8(rule.sourceLength ?? 0).u8(rule.tos ?? 0)
    .u8(rule.table ?? 0).u16(0).u8(rule.action ?? 0).u32(rule.flags ?? 0);
  RULE.write(writer, rule);
  return writer.finish();
}

/** Decodes the payload of an `RTM_*RULE` message. @throws {CodecError} If it is cut short. */
export function decodeRule(payload: Uint8Array): Rule {
  const reader = new ByteReader(payload, "fib_rule_hdr");
  const [family, destinationLength, sourceLength, tos] = [reader.u8(), reader.u8(), reader.u8(), reader.u8()];
  const table = reader.u8();
  reader.skip(2);
  const [action, flags] = [reader.u8(), reader.u32()];
  const header = { family, destinationLength, sourceLength, tos, table, action, flags };
  return { ...header, ...RULE.decode(reader.rest()) };
}
