import { assertEquals } from "@std/assert";
import { fnv1a64, hex64 } from "../../../core/hash/fnv.ts";

const VECTORS: { text: string; want: string }[] = [
  { text: "", want: "cbf29ce484222325" },
  { text: "a", want: "af63dc4c8601ec8c" },
  { text: "foobar", want: "85944171f73967e8" }, // from the authors' test suite
  { text: "/tmp/foooverlayd", want: "82df603b8711caa8" },
  { text: "/tmp/foowg", want: "5dce3bb75db083da" },
];

Deno.test("fnv1a64() gives the known hashes [daemon 11]", () => {
  for (const { text, want } of VECTORS) {
    assertEquals(hex64(fnv1a64(new TextEncoder().encode(text))), want, text);
  }
});

Deno.test("hex64() keeps leading zeros", () => {
  assertEquals(hex64(0x1fn), "000000000000001f");
});
