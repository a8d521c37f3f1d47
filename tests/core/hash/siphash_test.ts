import { assertEquals } from "@std/assert";
import { hex64 } from "../../../core/hash/fnv.ts";
import { sipHash13 } from "../../../core/hash/siphash.ts";

/** Hashed parts of interface names, as every node of a cluster computes them. */
const NAME_HASHES: { parts: string[]; suffix: string; want: string }[] = [
  { parts: ["dep", "i0"], suffix: "g", want: "d23886b389194ab8" },
  { parts: ["dep", "i0", "web"], suffix: "b", want: "9030aa19bb874d9d" },
  { parts: ["dep", "i0", "webserver"], suffix: "b", want: "1268001cd2e48de1" },
  { parts: ["dep", "i0", "webserver"], suffix: "d", want: "87aa71bb0f19a338" },
  { parts: ["prod", "42", "web"], suffix: "b", want: "2b113f2ca50c9753" },
  { parts: ["prod", "42", "web"], suffix: "d", want: "c6773e13ceca848a" },
  { parts: ["default", "1a2b3c4d"], suffix: "g", want: "8d30241e4f01cab8" },
  { parts: ["default", "1a2b3c4d", "web"], suffix: "b", want: "bb08314cca233318" },
  { parts: ["zlayer-manager"], suffix: "g", want: "4b72278e21887f17" },
  { parts: ["production", "i-0a1b2c"], suffix: "g", want: "3622de3645116e75" },
  { parts: ["production", "i-0a1b2c", "web"], suffix: "d", want: "02cdb44d81b9a74d" },
  { parts: ["deployment-1110", "i0"], suffix: "g", want: "00029346a76085af" },
  { parts: ["abcdefghijklmnop"], suffix: "", want: "16393d31d84d559f" },
  { parts: ["abcdefgh", "ijklmnop"], suffix: "", want: "e4ef7605942b428a" },
  { parts: ["abcdefghijkl"], suffix: "suffix1234", want: "91b0e738ab0ef1fc" },
  { parts: ["abcdefghijkl"], suffix: "suffix12345", want: "6fa08c1367a6cdca" },
  { parts: ["dép", "ïnst", "wéb"], suffix: "b", want: "32aa3c48b9c4118c" },
  { parts: ["", "", "web"], suffix: "b", want: "0617d3fd6342708d" },
];

Deno.test("sipHash13() gives the known hashes [overlay T1]", () => {
  assertEquals(hex64(sipHash13(new Uint8Array())), "d1fba762150c532c");
  for (const { parts, suffix, want } of NAME_HASHES) {
    const message = [...parts, suffix].flatMap((part) => [...new TextEncoder().encode(part), 0xff]);
    assertEquals(hex64(sipHash13(Uint8Array.from(message))), want, `${parts} / ${suffix}`);
  }
});

Deno.test("sipHash13() reads a view of a larger buffer from its own start", () => {
  const buffer = Uint8Array.from({ length: 40 }, (_, i) => i);
  const copy = buffer.slice(3, 30);
  assertEquals(sipHash13(buffer.subarray(3, 30)), sipHash13(copy));
});

Deno.test("sipHash13() tells messages of all lengths around a word apart", () => {
  const hashes = new Set(Array.from({ length: 600 }, (_, length) => sipHash13(new Uint8Array(length))));
  assertEquals(hashes.size, 600);
});
