import { assertEquals, assertThrows } from "@std/assert";
import { IndexTable } from "../../../core/wireguard/index_table.ts";
import { seededTest } from "../../support/seeded_random.ts";

/** A table whose random numbers are these. */
function scripted(...numbers: readonly number[]): IndexTable<string> {
  const rest = [...numbers];
  return new IndexTable(() => rest.shift()!);
}

Deno.test("IndexTable draws again when an index is taken", () => {
  const table = scripted(7, 7, 7, 8, 7);
  assertEquals([table.allocate("a"), table.allocate("b")], [7, 8]);
  table.release(7);
  assertEquals(table.allocate("c"), 7);
  assertEquals([table.get(7), table.get(8), table.size], ["c", "b", 2]);
});

Deno.test("IndexTable takes 0 and 2^32-1, and knows nothing else", () => {
  const table = scripted(0, 0xffff_ffff, 0x8000_0000);
  assertEquals(["a", "b", "c"].map((value) => table.allocate(value)), [0, 0xffff_ffff, 0x8000_0000]);
  assertEquals([0, 0xffff_ffff, 0x8000_0000, 1].map((index) => table.get(index)), ["a", "b", "c", undefined]);
});

Deno.test("IndexTable.replace() changes what is there and nothing else", () => {
  const table = scripted(7);
  table.allocate("a");
  table.replace(7, "b");
  assertEquals(table.get(7), "b");
  assertThrows(() => table.replace(8, "c"), TypeError);
  table.release(8);
  assertEquals(table.size, 1);
});

seededTest("IndexTable agrees with a Map, also where indices crowd", (random) => {
  for (const spread of [2 ** 32, 1 << 7]) {
    // Few different low bits make long runs of probes.
    const table = new IndexTable<number>(() => (random.below(spread) * 64 + random.below(3)) >>> 0);
    const map = new Map<number, number>();
    for (let i = 1; i < 4_000; i++) {
      const held = [...map.keys()];
      if (held.length < 200 && random.below(5) < 3) map.set(table.allocate(i), i);
      else if (held.length > 0) {
        const index = random.pick(held);
        table.release(index);
        map.delete(index);
        assertEquals(table.get(index), undefined);
      }
      assertEquals(table.size, map.size);
      if (i % 50 === 0) { for (const [index, value] of map) assertEquals(table.get(index), value); }
    }
  }
});
