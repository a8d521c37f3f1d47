import { assertEquals, assertThrows } from "@std/assert";
import { z } from "zod";
import { InvalidConfigError } from "../../core/errors.ts";
import { decodeJson } from "../../core/json.ts";

Deno.test("decodeJson() keeps integers that a double cannot hold", () => {
  const schema = z.array(z.unknown());
  assertEquals(
    decodeJson(
      "[1, 9007199254740991, 9007199254740993, 18446744073709551615, -9007199254740993, 1e400]",
      schema,
      "x",
    ),
    [1, 9007199254740991, 9007199254740993n, 18446744073709551615n, -9007199254740993n, Infinity],
  );
});

Deno.test("decodeJson() names paths and never values", () => {
  const schema = z.object({ key: z.string(), list: z.array(z.object({ port: z.int().max(65535) })) });
  const cases = [
    { text: '{"key":"c2VjcmV0", oops', want: "not a valid test file: no JSON" },
    { text: '{"key":["c2VjcmV0"],"list":[]}', says: "key: " },
    { text: '{"key":"c2VjcmV0","list":[{"port":70000}]}', says: "list.0.port: " },
    { text: "42", says: "it: " },
  ];
  for (const { text, want, says } of cases) {
    const error = assertThrows(() => decodeJson(text, schema, "test file"), InvalidConfigError, says ?? "");
    if (want) assertEquals(error.message, want);
    assertEquals(/c2VjcmV0|70000/.test(error.message), false, error.message);
  }
});
