/** JSON files: read exactly, checked by a schema, and told apart from their secrets when they are bad. */

import type { z } from "zod";
import { InvalidConfigError } from "./errors.ts";

/**
 * Reads JSON text that a schema describes. Integers that a double cannot hold arrive as `bigint`.
 *
 * @param what What the text should be, for the message: `network marker`.
 * @throws {InvalidConfigError} Naming the paths that are wrong, and no value: the text may hold keys.
 */
export function decodeJson<T extends z.ZodType>(text: string, schema: T, what: string): z.output<T> {
  let value: unknown;
  try {
    value = JSON.parse(text, exactInteger);
  } catch {
    // The parser's message quotes the text.
    throw new InvalidConfigError(`not a valid ${what}: no JSON`);
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const reasons = result.error.issues.map((issue) => `${issue.path.join(".") || "it"}: ${issue.message}`);
  throw new InvalidConfigError(`not a valid ${what}: ${reasons.join("; ")}`);
}

/** Reviver; the third argument holds the number as it was written (ECMAScript 2026 `JSON.parse`). */
function exactInteger(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  const source = context?.source;
  const rounded = typeof value === "number" && !Number.isSafeInteger(value);
  return rounded && source !== undefined && /^-?[0-9]+$/.test(source) ? BigInt(source) : value;
}
