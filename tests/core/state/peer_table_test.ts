import { assertEquals } from "@std/assert";
import { parsePrefix } from "../../../core/ip/prefix.ts";
import { peerKey, PeerTable } from "../../../core/state/peer_table.ts";
import type { PeerRecord } from "../../../core/state/records.ts";
import { type SeededRandom, withSeed } from "../../support/seeded_random.ts";

function record(service: string, publicKey: string, ...allowedIps: string[]): PeerRecord {
  return { service, publicKey, endpoint: "", allowedIps, keepaliveSeconds: 0 };
}

function owner(table: PeerTable, service: string, cidr: string): string | undefined {
  return table.ownerOf(service, parsePrefix(cidr)!)?.publicKey;
}

Deno.test("PeerTable keeps the peers of each device in the order they came", () => {
  const table = new PeerTable();
  for (const one of [record("", "b"), record("web", "a"), record("", "a"), record("", "b", "10.0.0.0/8")]) {
    table.put(one);
  }
  assertEquals(table.ofService("").map(({ publicKey }) => publicKey), ["b", "a"]);
  assertEquals(table.ofService("web").length, 1);
  assertEquals([table.ofService("none"), table.size], [[], 3]);
  table.delete(peerKey("", "b"));
  assertEquals(table.delete(peerKey("", "b")), false);
  assertEquals(table.ofService("").map(({ publicKey }) => publicKey), ["a"]);
  table.clear();
  assertEquals([table.size, table.ofService("")], [0, []]);
});

Deno.test("PeerTable finds the owner of a prefix, whatever its host bits and whichever record came first", () => {
  const table = new PeerTable();
  table.put(record("", "a", "10.0.0.7/24", "fd00::1/64"));
  table.put(record("web", "b", "10.0.0.0/24"));
  assertEquals(owner(table, "", "10.0.0.0/24"), "a");
  assertEquals(owner(table, "", "fd00::/64"), "a");
  assertEquals(owner(table, "", "10.0.0.0/25"), undefined);
  assertEquals(owner(table, "web", "10.0.0.9/24"), "b");
  // A prefix moves: the winner is put first, then the loser without it.
  table.put(record("", "c", "10.0.0.0/24"));
  table.put(record("", "a", "fd00::1/64"));
  assertEquals([owner(table, "", "10.0.0.0/24"), owner(table, "", "fd00::/64")], ["c", "a"]);
  table.delete(peerKey("", "a"));
  assertEquals([owner(table, "", "10.0.0.0/24"), owner(table, "", "fd00::/64")], ["c", undefined]);
});

Deno.test("PeerTable agrees with a walk over all records", () => {
  withSeed((random) => {
    const table = new PeerTable();
    const slow = new Map<string, PeerRecord>();
    for (let step = 0; step < 2000; step++) {
      const one = randomRecord(random, slow);
      const key = peerKey(one.service, one.publicKey);
      if (random.oneIn(3)) assertEquals(table.delete(key), slow.delete(key));
      else {
        table.put(one);
        slow.set(key, one);
      }
      const [service, cidr] = [one.service, `10.0.${random.below(8)}.0/24`];
      const walked = [...slow.values()].find((it) => it.service === service && it.allowedIps.includes(cidr));
      assertEquals(owner(table, service, cidr), walked?.publicKey);
      assertEquals(table.ofService(service), [...slow.values()].filter((it) => it.service === service));
    }
  });
});

/** With one or two prefixes that nobody else on the device has, as the engine sees to. */
function randomRecord(random: SeededRandom, taken: ReadonlyMap<string, PeerRecord>): PeerRecord {
  const [service, publicKey] = [random.oneIn(2) ? "" : "web", `key${random.below(5)}`];
  const others = [...taken.values()].filter((it) => it.service === service && it.publicKey !== publicKey)
    .flatMap(({ allowedIps }) => allowedIps);
  const cidrs = Array.from({ length: 1 + random.below(2) }, () => `10.0.${random.below(8)}.0/24`);
  return record(service, publicKey, ...new Set(cidrs.filter((cidr) => !others.includes(cidr))));
}
