import { assertEquals } from "@std/assert";
import { formatIp, type IpAddress, parseIp } from "../../../core/ip/address.ts";
import {
  canonicalPrefix,
  formatPrefix,
  type IpPrefix,
  parsePrefix,
  prefixContains,
} from "../../../core/ip/prefix.ts";
import { PrefixTable } from "../../../core/ip/prefix_table.ts";
import { type SeededRandom, seededTest } from "../../support/seeded_random.ts";

function prefix(cidr: string): IpPrefix {
  return parsePrefix(cidr)!;
}

function find(table: PrefixTable<string>, ip: string): string | undefined {
  const entry = table.lookup(parseIp(ip)!);
  return entry && `${formatPrefix(entry.prefix)} ${entry.value}`;
}

Deno.test("lookup() finds the longest prefix, each family for itself", () => {
  const table = new PrefixTable<string>();
  for (
    const [cidr, value] of [["0.0.0.0/0", "any"], ["10.0.0.0/8", "ten"], ["10.1.2.3/32", "host"], [
      "::/0",
      "any6",
    ]]
  ) {
    table.set(prefix(cidr!), value!);
  }
  assertEquals(find(table, "10.1.2.3"), "10.1.2.3/32 host");
  assertEquals(find(table, "10.1.2.4"), "10.0.0.0/8 ten");
  assertEquals(find(table, "11.1.2.3"), "0.0.0.0/0 any");
  assertEquals(find(table, "::a01:203"), "::/0 any6");
  assertEquals(table.size, 4);
});

Deno.test("a prefix given to a second owner moves, host bits or not", () => {
  const table = new PrefixTable<string>();
  assertEquals(table.set(prefix("10.0.0.0/24"), "a"), undefined);
  assertEquals(table.set(prefix("10.0.0.77/24"), "b"), "a");
  assertEquals(find(table, "10.0.0.9"), "10.0.0.0/24 b");
  assertEquals(table.size, 1);
  assertEquals(table.get(prefix("10.0.0.5/24")), "b");
  assertEquals(table.get(prefix("10.0.0.0/25")), undefined);
});

Deno.test("delete() and deleteValue() leave the shorter prefixes", () => {
  const table = new PrefixTable<string>();
  table.set(prefix("10.0.0.0/8"), "a");
  table.set(prefix("10.1.0.0/16"), "b");
  table.set(prefix("fd00::/16"), "b");
  assertEquals(table.delete(prefix("10.2.0.0/16")), undefined);
  assertEquals(table.deleteValue("b").map(formatPrefix), ["10.1.0.0/16", "fd00::/16"]);
  assertEquals(find(table, "10.1.0.1"), "10.0.0.0/8 a");
  assertEquals(table.delete(prefix("10.9.9.9/8")), "a");
  assertEquals([find(table, "10.1.0.1"), table.size], [undefined, 0]);
});

Deno.test("a value may be undefined", () => {
  const table = new PrefixTable<undefined>();
  table.set(prefix("10.0.0.0/8"), undefined);
  assertEquals(table.lookup(parseIp("10.0.0.1")!)?.prefix, prefix("10.0.0.0/8"));
});

/** Few enough networks that prefixes nest and meet. */
function randomAddress(random: SeededRandom): IpAddress {
  const family = random.pick([4, 6] as const);
  const bits = family === 4 ? 32n : 128n;
  return { family, value: (random.bits(3) << (bits - 3n)) | random.bits(4) };
}

seededTest("PrefixTable agrees with a plain list", (random) => {
  for (let round = 0; round < 20; round++) {
    const table = new PrefixTable<number>();
    let model: { prefix: IpPrefix; value: number }[] = [];
    for (let step = 0; step < 200; step++) {
      const address = randomAddress(random);
      const length = random.pick(
        address.family === 4 ? [0, 1, 2, 3, 8, 28, 30, 32] : [0, 1, 3, 64, 125, 128],
      );
      const one = canonicalPrefix({ address, length });
      const same = (entry: { prefix: IpPrefix }): boolean => formatPrefix(entry.prefix) === formatPrefix(one);
      const former = model.find(same)?.value;
      const action = random.below(6);
      if (action === 5) {
        const value = random.below(5);
        assertEquals(table.deleteValue(value).length, model.filter((entry) => entry.value === value).length);
        model = model.filter((entry) => entry.value !== value);
      } else {
        model = model.filter((entry) => !same(entry));
        if (action < 2) assertEquals(table.delete({ address, length }), former);
        else {
          assertEquals(table.set({ address, length }, step % 5), former);
          model.push({ prefix: one, value: step % 5 });
        }
      }
      const ip = randomAddress(random);
      const best = model.filter((entry) => prefixContains(entry.prefix, ip))
        .sort((a, b) => b.prefix.length - a.prefix.length)[0];
      assertEquals(table.lookup(ip), best, formatIp(ip));
      assertEquals([...table.entries()].length, model.length);
      assertEquals(table.size, model.length);
    }
  }
});
