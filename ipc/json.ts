/**
 * JSON with exact integers, and a cheap look at JSON before it is parsed.
 *
 * `JSON.parse` makes doubles, which lose digits over 2^53, and it spends seconds and hundreds of megabytes on
 * 8 MiB of `[[[[` or of distinct keys. Both matter to a daemon that reads frames from strangers. Pure.
 */

/** Digits of the longest u64; longer texts are out of every range and not worth a `bigint`. */
const MAX_INTEGER_TEXT = /^-?[0-9]{1,20}$/;

interface RawJson {
  rawJSON(text: string): unknown;
}

interface SourceContext {
  readonly source?: string;
}

/**
 * Parses JSON; integers beyond ±(2^53 - 1) become `bigint`, other numbers stay `number`.
 *
 * A number that is written with a fraction or an exponent stays a `number`, whatever its size.
 * About ten times slower than `JSON.parse`: use it when {@linkcode hasInexactInteger} says so.
 *
 * @throws {SyntaxError} If the text is not JSON.
 * @throws {RangeError} If it nests deeper than the stack.
 */
export function parseExactJson(text: string): unknown {
  const reviver = (_key: string, value: unknown, context: SourceContext): unknown =>
    hasInexactInteger(value) && MAX_INTEGER_TEXT.test(context.source ?? "") ? BigInt(context.source!) : value;
  // TypeScript's library lacks the third argument (ECMAScript proposal "JSON.parse source text access").
  return JSON.parse(text, reviver as (key: string, value: unknown) => unknown);
}

/** Writes JSON; a `bigint` becomes a number with all its digits. */
export function stringifyExactJson(value: unknown): string {
  return JSON.stringify(
    value,
    (_key, item) => typeof item === "bigint" ? (JSON as unknown as RawJson).rawJSON(item.toString()) : item,
  );
}

/** Whether a parsed value is a number whose digits may have been lost. */
export function hasInexactInteger(value: unknown): boolean {
  return typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value);
}

/** How much structure {@linkcode isJsonModest} lets through. */
export interface JsonLimits {
  /** Greatest nesting of arrays and objects. */
  readonly maxDepth: number;
  /** Greatest number of `{ [ , :` outside strings. */
  readonly maxTokens: number;
}

/**
 * Whether JSON bytes stay within limits of depth and size of structure. Strings may be as long as they
 * like. Reads each byte once; says nothing of whether the JSON is valid.
 */
export function isJsonModest(bytes: Uint8Array, limits: JsonLimits): boolean {
  let depth = 0;
  let tokens = 0;
  for (let i = 0; i < bytes.length; i++) {
    switch (bytes[i]) {
      case 0x22: // "
        i = endOfString(bytes, i);
        break;
      case 0x7b: // {
      case 0x5b: // [
        if (++depth > limits.maxDepth) return false;
        if (++tokens > limits.maxTokens) return false;
        break;
      case 0x7d: // }
      case 0x5d: // ]
        depth--;
        break;
      case 0x2c: // ,
      case 0x3a: // :
        if (++tokens > limits.maxTokens) return false;
        break;
    }
  }
  return true;
}

/** Index of the quote that ends the string opened at `start`, or the length when it never ends. */
function endOfString(bytes: Uint8Array, start: number): number {
  for (let i = start + 1; i < bytes.length; i++) {
    if (bytes[i] === 0x5c) i++; // \
    else if (bytes[i] === 0x22) return i;
  }
  return bytes.length;
}
