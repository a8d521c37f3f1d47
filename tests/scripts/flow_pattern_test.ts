import { Buffer } from "node:buffer";
import { assert, assertEquals } from "@std/assert";
import { MARKER, PATTERN, PatternCheck } from "../../scripts/support/flow_pattern.ts";

/** Checks three periods of the pattern, cut into chunks, after a change. */
function check(chunkBytes: number, change: (flow: Uint8Array) => Uint8Array): PatternCheck {
  const flow = change(
    Uint8Array.from({ length: 3 * PATTERN.length }, (_, i) => PATTERN[i % PATTERN.length]!),
  );
  const pattern = new PatternCheck();
  for (let at = 0; at < flow.length; at += chunkBytes) pattern.push(flow.subarray(at, at + chunkBytes));
  return pattern;
}

Deno.test("PATTERN shows the marker in any 1,200 bytes of it", () => {
  for (let at = 0; at + 1_200 <= PATTERN.length; at++) {
    assert(new TextDecoder().decode(PATTERN.subarray(at, at + 1_200)).includes(MARKER), `at ${at}`);
  }
});

Deno.test("PatternCheck takes the pattern however it is cut", () => {
  for (const chunkBytes of [7, 1_380, PATTERN.length, PATTERN.length + 1, 4 * PATTERN.length]) {
    const pattern = check(chunkBytes, (flow) => flow);
    assertEquals([pattern.isIntact, pattern.bytes], [true, 3 * PATTERN.length], `chunks of ${chunkBytes}`);
  }
});

Deno.test("PatternCheck notices what is changed, lost, doubled or swapped", async (t) => {
  const at = PATTERN.length + 100;
  const rows: { name: string; change: (flow: Uint8Array) => Uint8Array }[] = [
    { name: "a bit of the last byte", change: (flow) => flow.with(flow.length - 1, flow.at(-1)! ^ 1) },
    {
      name: "a lost byte",
      change: (flow) => Buffer.concat([flow.subarray(0, at), flow.subarray(at + 1)]),
    },
    {
      name: "a segment twice",
      change: (flow) => Buffer.concat([flow.subarray(0, at), flow.subarray(at - 1_380)]),
    },
    {
      name: "two segments swapped",
      change: (flow) =>
        Buffer.concat([
          flow.subarray(0, at),
          flow.subarray(at + 1_380, at + 2_760),
          flow.subarray(at, at + 1_380),
          flow.subarray(at + 2_760),
        ]),
    },
  ];
  for (const { name, change } of rows) {
    await t.step(name, () => assertEquals(check(1_380, change).isIntact, false));
  }
});
