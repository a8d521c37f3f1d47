import { assertEquals, assertThrows } from "@std/assert";
import { AlreadyExistsError, InvalidConfigError, PoolExhaustedError } from "../../../core/errors.ts";
import { formatIp } from "../../../core/ip/address.ts";
import {
  formatPrefix,
  type IpPrefix,
  parsePrefix,
  prefixCovers,
  prefixesOverlap,
} from "../../../core/ip/prefix.ts";
import { gatewayOf, ServiceSubnetRegistry } from "../../../core/ipam/subnet_registry.ts";
import { seededTest } from "../../support/seeded_random.ts";

function registry(cluster: string, length: number, ...exclude: string[]): ServiceSubnetRegistry {
  return new ServiceSubnetRegistry(prefix(cluster), length, { exclude: exclude.map(prefix) });
}

function prefix(cidr: string): IpPrefix {
  return parsePrefix(cidr)!;
}

function assign(table: ServiceSubnetRegistry, service: string, node: string): string {
  return formatPrefix(table.assign(service, node));
}

const VECTORS: { service: string; node: string; want: string }[] = [
  { service: "web", node: "0", want: "10.200.46.224/28" },
  { service: "web", node: "1", want: "10.200.74.16/28" },
  { service: "web", node: "2", want: "10.200.248.128/28" },
  { service: "web", node: "42", want: "10.200.33.128/28" },
  { service: "web", node: "1000000", want: "10.200.123.144/28" },
  { service: "api", node: "1", want: "10.200.209.176/28" },
  { service: "db", node: "1", want: "10.200.87.240/28" },
  { service: "svc-a", node: "node-1", want: "10.200.103.32/28" },
  { service: "svc-a", node: "node-2", want: "10.200.75.240/28" },
  { service: "svc-b", node: "node-1", want: "10.200.147.144/28" },
  { service: "svc-b", node: "node-2", want: "10.200.66.0/28" },
  { service: "a", node: "bc", want: "10.200.99.96/28" },
  { service: "ab", node: "c", want: "10.200.228.64/28" },
  { service: "wéb", node: "1", want: "10.200.180.64/28" },
  { service: "", node: "0", want: "10.200.61.160/28" },
  { service: "zlayer-manager", node: "18446744073709551615", want: "10.200.167.64/28" },
];

Deno.test("assign() gives every known subnet of a /16 [overlay T31]", () => {
  for (const { service, node, want } of VECTORS) {
    assertEquals(assign(registry("10.200.0.0/16", 28), service, node), want, `${service} / ${node}`);
  }
});

Deno.test("assign() gives the known subnets of other clusters [overlay T31]", () => {
  const cases: { cluster: string; length: number; service: string; node: string; want: string }[] = [
    { cluster: "10.42.0.0/16", length: 28, service: "web", node: "1", want: "10.42.74.16/28" },
    { cluster: "172.20.0.0/20", length: 28, service: "web", node: "1", want: "172.20.10.16/28" },
    { cluster: "10.200.37.9/24", length: 28, service: "web", node: "1", want: "10.200.37.16/28" },
    { cluster: "10.0.0.0/8", length: 28, service: "web", node: "1", want: "10.254.74.16/28" },
    { cluster: "10.200.0.0/27", length: 28, service: "web", node: "1", want: "10.200.0.16/28" },
    // 72 bits of slots: the hash counts modulo 2^64 - 1.
    {
      cluster: "fd00:200::/48",
      length: 120,
      service: "web",
      node: "1",
      want: "fd00:200:0:66:acce:2e09:8fe4:a100/120",
    },
    {
      cluster: "fd00:200::/48",
      length: 120,
      service: "api",
      node: "1",
      want: "fd00:200:0:ce:f3bf:a4d2:a57d:1b00/120",
    },
    { cluster: "fd00:200::/112", length: 120, service: "web", node: "1", want: "fd00:200::a100/120" },
    { cluster: "fd00:200::/112", length: 120, service: "web", node: "2", want: "fd00:200::8800/120" },
  ];
  for (const { cluster, length, service, node, want } of cases) {
    assertEquals(assign(registry(cluster, length), service, node), want, cluster);
  }
});

Deno.test("assign() gives a taken slot's neighbour, and a release moves nobody [overlay T31]", () => {
  const table = registry("10.200.0.0/16", 28);
  assertEquals(assign(table, "svc0", "1"), "10.200.249.176/28");
  assertEquals(assign(table, "svc220", "1"), "10.200.249.192/28");
  assertEquals(formatPrefix(table.release("svc0", "1")!), "10.200.249.176/28");
  assertEquals(assign(table, "svc220", "1"), "10.200.249.192/28");
  assertEquals(table.release("svc0", "1"), undefined);
  assertEquals(assign(table, "svc0", "1"), "10.200.249.176/28");
});

Deno.test("assign() goes on at the first slot after the last [overlay T31]", () => {
  const table = registry("10.200.0.0/16", 28);
  assertEquals(assign(table, "svc7609", "1"), "10.200.255.240/28");
  assertEquals(assign(table, "svc10360", "1"), "10.200.0.0/28");
});

Deno.test("assign() fills small clusters and then fails; a repeated pair keeps its subnet [overlay T31]", () => {
  const small = registry("10.200.0.0/28", 30);
  const pairs = ["a", "b", "c", "d"];
  const want = ["10.200.0.12/30", "10.200.0.8/30", "10.200.0.4/30", "10.200.0.0/30"];
  assertEquals(pairs.map((service) => assign(small, service, "0")), want);
  assertEquals(pairs.map((service) => assign(small, service, "0")), want);
  const error = assertThrows(() => small.assign("e", "0"), PoolExhaustedError, "exhausted");
  assertEquals(error.message.includes("No available IP addresses in CIDR range"), true);

  const two = registry("10.200.0.0/29", 30);
  assertEquals(assign(two, "svc-a", "node-1"), "10.200.0.0/30");
  assertEquals(assign(two, "svc-a", "node-2"), "10.200.0.4/30");
  assertThrows(() => two.assign("svc-a", "node-3"), PoolExhaustedError);
});

Deno.test("a registry refuses subnets that are no part of the cluster [overlay T33]", () => {
  for (const length of [16, 8]) {
    assertThrows(
      () => registry("10.200.0.0/16", length),
      InvalidConfigError,
      `slice prefix /${length} must be more specific than cluster prefix /16`,
    );
  }
  assertThrows(
    () => registry("10.200.0.0/16", 33),
    InvalidConfigError,
    "slice prefix /33 exceeds address family max /32",
  );
  assertThrows(() => registry("fd00::/64", 129), InvalidConfigError, "exceeds address family max /128");
});

Deno.test("4096 nodes fill a /16 of /28, the next one fails [overlay T34]", () => {
  const table = registry("10.200.0.0/16", 28);
  const subnets = new Set(Array.from({ length: 4096 }, (_, node) => assign(table, "web", String(node))));
  assertEquals(subnets.size, 4096);
  assertThrows(() => table.assign("web", "4096"), PoolExhaustedError, "exhausted");
  assertEquals(table.assign("web", "17"), table.get("web", "17"));
});

Deno.test("assign() passes over slots that overlap an excluded prefix", () => {
  // web/1 belongs to 10.200.74.16/28.
  const cases: { exclude: string[]; want: string }[] = [
    { exclude: ["10.200.0.0/28"], want: "10.200.74.16/28" },
    { exclude: ["10.200.74.16/28"], want: "10.200.74.32/28" },
    { exclude: ["10.200.74.18/32"], want: "10.200.74.32/28" },
    { exclude: ["10.200.74.0/24"], want: "10.200.75.0/28" },
    { exclude: ["10.200.74.0/24", "10.200.75.0/28"], want: "10.200.75.16/28" },
    { exclude: ["10.200.64.0/18", "10.200.128.0/17"], want: "10.200.0.0/28" },
    { exclude: ["fd00::/64"], want: "10.200.74.16/28" },
  ];
  for (const { exclude, want } of cases) {
    assertEquals(assign(registry("10.200.0.0/16", 28, ...exclude), "web", "1"), want, exclude.join());
  }
});

Deno.test("assign() fails at once when everything is excluded, however large", () => {
  for (const [cluster, length] of [["10.0.0.0/8", 28], ["fd00::/16", 120], ["fd00::/56", 120]] as const) {
    assertThrows(() => registry(cluster, length, cluster).assign("web", "1"), PoolExhaustedError);
    const around = cluster.startsWith("10") ? "0.0.0.0/0" : "::/0";
    assertThrows(() => registry(cluster, length, around).assign("web", "1"), PoolExhaustedError);
  }
});

/** The prefixes that hold everything of a cluster but one subnet. */
function allBut(cluster: IpPrefix, subnet: IpPrefix): IpPrefix[] {
  const bits = subnet.address.family === 4 ? 32 : 128;
  return Array.from({ length: subnet.length - cluster.length }, (_, i) => {
    const length = cluster.length + 1 + i;
    const flipped = subnet.address.value ^ (1n << BigInt(bits - length));
    return { address: { family: subnet.address.family, value: flipped }, length };
  });
}

Deno.test("assign() finds the one slot that is not excluded, among 2^64-1", () => {
  const cluster = prefix("fd00::/56"); // 64 bits of slots
  const only = (subnet: string): ServiceSubnetRegistry =>
    new ServiceSubnetRegistry(cluster, 120, { exclude: allBut(cluster, prefix(subnet)) });
  for (const subnet of ["fd00::/120", "fd00::12:3400/120", "fd00::ff:ffff:ffff:ffff:fe00/120"]) {
    assertEquals(assign(only(subnet), "web", "1"), subnet);
  }
  // The hash cannot name this one, the 2^64th.
  assertThrows(() => only("fd00::ff:ffff:ffff:ffff:ff00/120").assign("web", "1"), PoolExhaustedError);
});

Deno.test("exclude() leaves assigned subnets alone", () => {
  const table = registry("10.200.0.0/16", 28);
  assertEquals(assign(table, "web", "1"), "10.200.74.16/28");
  table.exclude([prefix("10.200.74.0/24")]);
  assertEquals(assign(table, "web", "1"), "10.200.74.16/28");
  table.release("web", "1");
  assertEquals(assign(table, "web", "1"), "10.200.75.0/28");
});

Deno.test("adopt() enters what was assigned before, wherever it is", () => {
  const table = registry("10.200.0.0/16", 28);
  table.adopt("svc220", "1", prefix("10.200.249.192/28"));
  table.adopt("svc220", "1", prefix("10.200.249.193/28")); // the same subnet, spelt with host bits
  assertEquals(assign(table, "svc220", "1"), "10.200.249.192/28");
  assertThrows(
    () => table.adopt("web", "1", prefix("10.200.249.192/28")),
    AlreadyExistsError,
    '"svc220" has it',
  );
  assertThrows(
    () => table.adopt("svc220", "1", prefix("10.200.0.0/28")),
    AlreadyExistsError,
    "it has 10.200.249.192",
  );
  for (const cidr of ["10.200.0.0/27", "10.201.0.0/28", "fd00::/28"]) {
    assertThrows(() => table.adopt("web", "1", prefix(cidr)), InvalidConfigError, cidr);
  }
  assertEquals(assign(table, "web", "1"), "10.200.74.16/28");
});

Deno.test("the gateway is the first address of the subnet", () => {
  assertEquals(formatIp(gatewayOf(prefix("10.200.46.224/28"))), "10.200.46.225");
  assertEquals(formatIp(gatewayOf(prefix("fd00:200::a100/120"))), "fd00:200::a101");
});

Deno.test("names with separators in them stay apart", () => {
  const table = registry("10.200.0.0/16", 28);
  table.assign("a\x1fb", "c");
  assertEquals(table.get("a", "b\x1fc"), undefined);
  assertEquals(table.get('a","b', "c"), undefined);
});

seededTest("assigned subnets lie in the cluster, apart from each other and from the excluded", (random) => {
  for (let round = 0; round < 60; round++) {
    const length = 18 + random.below(5);
    const cluster = prefix(`10.${random.below(256)}.${random.below(256)}.9/${length}`);
    const subnetLength = length + 1 + random.below(6);
    const exclude = Array.from({ length: random.below(3) }, () => ({
      address: { family: 4 as const, value: cluster.address.value ^ random.bits(13) },
      length: Math.min(32, length + random.below(14)),
    }));
    const table = new ServiceSubnetRegistry(cluster, subnetLength, { exclude });
    const live = new Map<string, string>();
    const free = countFreeSlots(cluster, subnetLength, exclude);
    for (let step = 0; step < 150; step++) {
      const node = String(random.below(100));
      if (random.below(3) === 0) {
        assertEquals(table.release("s", node) !== undefined, live.delete(node));
      } else if (!live.has(node) && live.size === free) {
        assertThrows(() => table.assign("s", node), PoolExhaustedError);
      } else {
        const subnet = table.assign("s", node);
        assertEquals(subnet.length, subnetLength);
        assertEquals(prefixCovers(cluster, subnet), true);
        assertEquals(exclude.some((one) => prefixesOverlap(one, subnet)), false);
        assertEquals(live.get(node) ?? formatPrefix(subnet), formatPrefix(subnet));
        live.set(node, formatPrefix(subnet));
        assertEquals(new Set(live.values()).size, live.size);
      }
    }
  }
});

function countFreeSlots(cluster: IpPrefix, length: number, exclude: readonly IpPrefix[]): number {
  const bits = BigInt(32 - cluster.length);
  const network = (cluster.address.value >> bits) << bits;
  let free = 0;
  for (let i = 0; i < 1 << (length - cluster.length); i++) {
    const value = network + (BigInt(i) << BigInt(32 - length));
    const slot = { address: { family: 4 as const, value }, length };
    if (!exclude.some((one) => prefixesOverlap(one, slot))) free++;
  }
  return free;
}
