import { assertEquals } from "@std/assert";
import { familyBits, formatIp, type IpAddress } from "../../../core/ip/address.ts";
import { formatPrefix, type IpPrefix, prefixContains, prefixEquals } from "../../../core/ip/prefix.ts";
import { AllowedIps } from "../../../core/wireguard/allowed_ips.ts";
import { type SeededRandom, seededTest } from "../../support/seeded_random.ts";
import { ipPacket, prefix } from "../../support/sim_wireguard.ts";

interface Owner {
  readonly name: string;
}
const [A, B, C]: [Owner, Owner, Owner] = [{ name: "a" }, { name: "b" }, { name: "c" }];

function destination(table: AllowedIps<Owner>, address: string): string | undefined {
  const packet = ipPacket(address.includes(":") ? "::1" : "127.0.0.1", address, new Uint8Array(0));
  return table.lookupDestination(packet, 0, packet.length)?.name;
}

function texts(prefixes: readonly IpPrefix[]): string[] {
  return prefixes.map(formatPrefix);
}

Deno.test("AllowedIps: the longest prefix wins", () => {
  const table = new AllowedIps<Owner>();
  table.insert(prefix("0.0.0.0/0"), A);
  table.insert(prefix("10.0.0.0/8"), B);
  table.insert(prefix("10.1.2.3/32"), C);
  table.insert(prefix("::/0"), A);
  table.insert(prefix("fd00::/64"), B);
  table.insert(prefix("fd00::1/128"), C);
  const wants = {
    "192.0.2.1": "a",
    "10.255.0.1": "b",
    "10.1.2.3": "c",
    "10.1.2.2": "b",
    "2001:db8::1": "a",
    "fd00::2": "b",
    "fd00::1": "c",
    "fd00:0:0:1::1": "a",
  };
  for (const [address, want] of Object.entries(wants)) {
    assertEquals(destination(table, address), want, address);
  }
});

Deno.test("AllowedIps: nobody owns what nobody was given; families do not mix", () => {
  const table = new AllowedIps<Owner>();
  assertEquals([destination(table, "10.0.0.1"), destination(table, "fd00::1")], [undefined, undefined]);
  table.insert(prefix("0.0.0.0/0"), A);
  assertEquals([destination(table, "10.0.0.1"), destination(table, "fd00::1")], ["a", undefined]);
});

Deno.test("AllowedIps: a prefix given to another owner moves, whatever its host bits", () => {
  const table = new AllowedIps<Owner>();
  table.insert(prefix("10.0.0.5/24"), A);
  table.insert(prefix("10.0.1.0/24"), A);
  table.insert(prefix("10.0.0.77/24"), B);
  assertEquals([texts(table.prefixes(A)), texts(table.prefixes(B))], [["10.0.1.0/24"], ["10.0.0.0/24"]]);
  assertEquals(destination(table, "10.0.0.1"), "b");
  assertEquals(table.remove(prefix("10.0.0.0/24"), A), false, "it is not A's any more");
  assertEquals(destination(table, "10.0.0.1"), "b");
});

Deno.test("AllowedIps.prefixes() keeps the order, inserting twice changes nothing", () => {
  const table = new AllowedIps<Owner>();
  for (const text of ["10.0.2.0/24", "fd00::/64", "10.0.1.0/24", "10.0.2.9/24"]) {
    table.insert(prefix(text), A);
  }
  assertEquals(texts(table.prefixes(A)), ["10.0.2.0/24", "fd00::/64", "10.0.1.0/24"]);
  assertEquals(table.prefixes(B), []);
});

Deno.test("AllowedIps.removeAll() leaves the prefixes of others", () => {
  const table = new AllowedIps<Owner>();
  for (const text of ["10.0.0.0/8", "10.0.0.0/24", "10.0.0.1/32", "fd00::/64"]) table.insert(prefix(text), A);
  table.insert(prefix("10.0.0.0/16"), B);
  table.removeAll(A);
  assertEquals(
    ["10.0.0.1", "10.0.9.9", "10.9.9.9", "fd00::1"].map((address) => destination(table, address)),
    [
      "b",
      "b",
      undefined,
      undefined,
    ],
  );
  assertEquals(table.prefixes(A), []);
});

Deno.test("AllowedIps looks up by source and destination at an offset, and not in what is no packet", () => {
  const table = new AllowedIps<Owner>();
  table.insert(prefix("10.0.0.0/24"), A);
  table.insert(prefix("10.0.1.0/24"), B);
  const packet = ipPacket("10.0.0.1", "10.0.1.1", new Uint8Array(4));
  const buffer = Uint8Array.of(9, 9, 9, ...packet, 9);
  assertEquals(table.lookupSource(buffer, 3, packet.length), A);
  assertEquals(table.lookupDestination(buffer, 3, packet.length), B);
  assertEquals(table.lookupDestination(packet, 0, 19), undefined, "too short");
  packet[0] = 0x55;
  assertEquals(table.lookupDestination(packet, 0, packet.length), undefined, "version 5");
});

/** The rule, said plainly. */
class NaiveAllowedIps {
  #entries: { prefix: IpPrefix; owner: Owner }[] = [];

  insert(prefix: IpPrefix, owner: Owner): void {
    this.#entries = this.#entries.filter((entry) => !prefixEquals(entry.prefix, prefix));
    this.#entries.push({ prefix, owner });
  }

  remove(prefix: IpPrefix, owner: Owner): void {
    this.#entries = this.#entries.filter((entry) =>
      entry.owner !== owner || !prefixEquals(entry.prefix, prefix)
    );
  }

  removeAll(owner: Owner): void {
    this.#entries = this.#entries.filter((entry) => entry.owner !== owner);
  }

  lookup(address: IpAddress): string | undefined {
    const matches = this.#entries.filter(({ prefix }) => prefixContains(prefix, address));
    matches.sort((a, b) => b.prefix.length - a.prefix.length);
    return matches[0]?.owner.name;
  }
}

/** Addresses close together, so that prefixes nest and share long beginnings. */
function randomAddress(random: SeededRandom): IpAddress {
  const family = random.pick([4, 6] as const);
  const bits = familyBits(family);
  const crowd = random.pick([0n, 0xfd00n << BigInt(bits - 16)]) & ((1n << BigInt(bits)) - 1n);
  return { family, value: crowd ^ (random.bits(bits) >> BigInt(random.below(bits))) };
}

seededTest("AllowedIps agrees with a naive table", (random) => {
  const owners = Array.from({ length: 6 }, (_, i) => ({ name: `${i}` }));
  const [table, naive] = [new AllowedIps<Owner>(), new NaiveAllowedIps()];
  const given: IpPrefix[] = [];
  for (let i = 0; i < 3_000; i++) {
    const owner = random.pick(owners);
    const action = random.below(100);
    if (action < 55 || given.length === 0) {
      const address = randomAddress(random);
      const entry = { address, length: random.below(familyBits(address.family) + 1) };
      given.push(entry);
      table.insert(entry, owner);
      naive.insert(entry, owner);
    } else if (action < 97) {
      const entry = random.pick(given);
      table.remove(entry, owner);
      naive.remove(entry, owner);
    } else {
      table.removeAll(owner);
      naive.removeAll(owner);
    }
    for (let probe = 0; probe < 3; probe++) {
      const address = random.below(2) === 0 ? randomAddress(random) : random.pick(given).address;
      const text = formatIp(address);
      assertEquals(destination(table, text), naive.lookup(address), `step ${i}: ${text}`);
    }
  }
});
