/**
 * The kinds of field that the protocol is made of, as zod schemas, and the words for a value that breaks one.
 *
 * Every schema carries its rule as its error text ("must be ..."), so that a message is always
 * `<field> <value> <rule>`.
 */

import { z } from "zod";
import { parseIp } from "../core/ip/address.ts";

/** Longest part of an offending string that is repeated in a message, in UTF-16 units. */
const MAX_ECHO = 64;

/** Largest u64. */
export const MAX_U64 = 2n ** 64n - 1n;

const TEXT_RULE = "must be a string of whole Unicode characters";

/** Any Unicode string; half of a surrogate pair, which JSON can spell but UTF-8 cannot, is refused. */
export const text: z.ZodString = z.string(TEXT_RULE).refine((value) => value.isWellFormed(), TEXT_RULE);

const IP_RULE = "must be an IPv4 or IPv6 address";

/** Plain IPv4 or IPv6 text, kept as written. */
export const ipText: z.ZodString = z.string(IP_RULE).refine(
  (value) => parseIp(value) !== undefined,
  IP_RULE,
);

/** `true` or `false`. */
export const bool: z.ZodBoolean = z.boolean("must be true or false");

function integer(min: number, max: number): z.ZodInt {
  const rule = `must be an integer from ${min} to ${max}`;
  return z.int(rule).min(min, rule).max(max, rule);
}

/** 0 to 65535. */
export const u16: z.ZodInt = integer(0, 0xffff);

/** 0 to 4294967295. */
export const u32: z.ZodInt = integer(0, 0xffff_ffff);

/** Whether a value that came out of a parser with exact integers is a u64. */
export function isU64(value: unknown): value is number | bigint {
  if (typeof value === "bigint") return value >= 0n && value <= MAX_U64;
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

const U64_RULE = `must be an integer from 0 to ${MAX_U64}`;

/** A u64, exact: a `number` or, from an exact parser, a `bigint` on the way in; a `bigint` from here on. */
export const u64: z.ZodPipe<z.ZodCustom<number | bigint>, z.ZodTransform<bigint, number | bigint>> = z
  .custom<number | bigint>(isU64, U64_RULE).transform(BigInt);

/** A u64 whose big values mean nothing different from each other: a `number`, rounded over 2^53. */
export const u64Rounded: z.ZodPipe<z.ZodCustom<number | bigint>, z.ZodTransform<number, number | bigint>> = z
  .custom<number | bigint>(isU64, U64_RULE).transform(Number);

/** A field that may be missing; `null` counts as missing. */
// deno-lint-ignore explicit-function-return-type -- the type is four wrappers deep and inferred at each use
export function optional<T extends z.ZodType>(schema: T) {
  return schema.nullish().transform((value) => value ?? undefined).optional();
}

/**
 * An object whose member `tag` says which of the variants it is.
 *
 * @param rule What is said of another tag; by default the list of tags.
 */
// deno-lint-ignore explicit-function-return-type -- inferred from the variants
export function tagged<const T extends readonly [Variant, ...Variant[]]>(
  tag: string,
  variants: T,
  rule?: string,
) {
  const tags = variants.map((variant) => JSON.stringify((variant.shape[tag] as z.ZodLiteral).value));
  const otherTag = rule ?? `must be one of ${tags.join(", ")}`;
  return z.discriminatedUnion(tag, variants, {
    error: (issue) => (issue.code as string) === "invalid_type" ? "must be an object" : otherTag,
  });
}

type Variant = z.ZodObject;

/** A value as it may stand in a message: short, on one line, and itself valid Unicode. */
export function echoValue(value: unknown): string {
  if (typeof value === "string") {
    const shown = value.length > MAX_ECHO ? `${value.slice(0, MAX_ECHO)}…` : value;
    return JSON.stringify(shown.toWellFormed());
  }
  if (Array.isArray(value)) return "(an array)";
  if (typeof value === "object" && value !== null) return "(an object)";
  return String(value);
}

/**
 * The first thing a schema found wrong, in words: `wg_port 70000 must be an integer from 0 to 65535`,
 * `service is missing`.
 *
 * @param error What `safeParse` returned.
 * @param input The value it was given.
 */
export function describeMismatch(error: z.ZodError, input: unknown): string {
  const issue = error.issues[0]!;
  const value = issue.path.reduce(memberOf, input);
  const name = issue.path.join(".") || "request";
  if (value === undefined) return `${name} is missing`;
  return `${name} ${echoValue(value)} ${issue.message}`;
}

function memberOf(value: unknown, key: PropertyKey): unknown {
  return typeof value === "object" && value !== null
    ? (value as Record<PropertyKey, unknown>)[key]
    : undefined;
}
