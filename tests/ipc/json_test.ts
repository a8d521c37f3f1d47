import { assertEquals, assertThrows } from "@std/assert";
import { hasInexactInteger, isJsonModest, parseExactJson, stringifyExactJson } from "../../ipc/json.ts";

const EXACT: { name: string; input: string; want: unknown }[] = [
  { name: "largest u64", input: "18446744073709551615", want: 18446744073709551615n },
  { name: "first integer a double skips", input: "9007199254740993", want: 9007199254740993n },
  { name: "negative", input: "-9007199254740993", want: -9007199254740993n },
  { name: "largest safe integer", input: "9007199254740991", want: 9007199254740991 },
  { name: "nested", input: '{"a":[18446744073709551614,1]}', want: { a: [18446744073709551614n, 1] } },
  { name: "exponent stays a double", input: "1e19", want: 1e19 },
  { name: "fraction stays a double", input: "9007199254740993.5", want: 9007199254740994 },
  { name: "digits in a string", input: '"18446744073709551615"', want: "18446744073709551615" },
  { name: "too long for any u64", input: "9".repeat(30), want: 1e30 },
];

Deno.test("parseExactJson() keeps every digit of an integer", async (t) => {
  for (const { name, input, want } of EXACT) {
    await t.step(name, () => assertEquals(parseExactJson(input), want));
  }
});

Deno.test("parseExactJson() rejects what is not JSON", () => {
  assertThrows(() => parseExactJson("{"), SyntaxError);
});

Deno.test("stringifyExactJson() writes a bigint as an integer", () => {
  assertEquals(
    stringifyExactJson({ a: 18446744073709551615n, b: ["1", 2] }),
    '{"a":18446744073709551615,"b":["1",2]}',
  );
});

Deno.test("hasInexactInteger() sees numbers that lost digits and nothing else", () => {
  for (const value of [2 ** 53, -(2 ** 53), 1e300]) {
    assertEquals(hasInexactInteger(value), true, String(value));
  }
  for (const value of [0, 2 ** 53 - 1, 0.5, NaN, Infinity, "9007199254740993", 1n, null, undefined]) {
    assertEquals(hasInexactInteger(value), false, String(value));
  }
});

const LIMITS = { maxDepth: 3, maxTokens: 8 };
const MODEST: { name: string; input: string; want: boolean }[] = [
  { name: "deep enough", input: "[[[]]]", want: true },
  { name: "too deep", input: "[[[[]]]]", want: false },
  { name: "siblings do not add up to depth", input: "[[],[],[]]", want: true },
  { name: "too many members", input: "[1,2,3,4,5,6,7,8,9]", want: false },
  { name: "structure inside a string", input: '{"a":"[[[[{{{{,,,,,,,::::"}', want: true },
  { name: "escaped quote", input: '{"a":"\\"[[[[[[[[[["}', want: true },
  { name: "escaped backslash before the quote", input: '["\\\\",[[[1]]]]', want: false },
  { name: "string without an end", input: '["[[[[[[[[[[', want: true },
  { name: "empty", input: "", want: true },
];

Deno.test("isJsonModest() counts structure outside strings", async (t) => {
  for (const { name, input, want } of MODEST) {
    await t.step(name, () => assertEquals(isJsonModest(new TextEncoder().encode(input), LIMITS), want));
  }
});
