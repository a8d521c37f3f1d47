import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { PoolExhaustedError } from "../../../core/errors.ts";
import { formatIp, parseIp } from "../../../core/ip/address.ts";
import { parsePrefix } from "../../../core/ip/prefix.ts";
import { NodePool } from "../../../core/ipam/node_pool.ts";
import { seededTest } from "../../support/seeded_random.ts";

function pool(cidr: string): NodePool {
  return new NodePool(parsePrefix(cidr)!);
}

function take(from: NodePool, count: number): string[] {
  return Array.from({ length: count }, () => formatIp(from.allocate()));
}

Deno.test("NodePool hands a released address out first [overlay T26]", () => {
  const p = pool("10.200.0.0/28");
  const a = p.allocate();
  const b = p.allocate();
  assertNotEquals(a, b);
  assertEquals(p.release(a), true);
  assertEquals(p.allocate(), a);
});

Deno.test("NodePool reuses the last released address first [overlay T27]", () => {
  const p = pool("10.200.0.0/28");
  const [x, , y] = [p.allocate(), p.allocate(), p.allocate()];
  p.release(x);
  p.release(y);
  assertEquals([p.allocate(), p.allocate()], [y, x]);
  assertEquals(formatIp(p.allocate()), "10.200.0.4");
});

Deno.test("NodePool of a /28 has .1 to .14 and says what is exhausted [overlay T28]", () => {
  const p = pool("10.200.0.0/28");
  assertEquals(take(p, 14), Array.from({ length: 14 }, (_, i) => `10.200.0.${i + 1}`));
  const error = assertThrows(() => p.allocate(), PoolExhaustedError);
  assertEquals(
    error.message,
    "IP allocator exhausted: next address 10.200.0.15 is outside slice 10.200.0.0/28",
  );
  assertEquals(p.allocated, 14);
  assertThrows(() => p.allocate(), PoolExhaustedError);
  p.release(parseIp("10.200.0.9")!);
  assertEquals(take(p, 1), ["10.200.0.9"]);
});

Deno.test("NodePool of small prefixes", () => {
  const cases: { cidr: string; want: string[] }[] = [
    { cidr: "10.0.0.4/30", want: ["10.0.0.5", "10.0.0.6"] },
    { cidr: "10.0.0.4/31", want: [] },
    { cidr: "10.0.0.4/32", want: [] },
    { cidr: "255.255.255.252/30", want: ["255.255.255.253", "255.255.255.254"] },
    { cidr: "fd00::/128", want: [] },
    { cidr: "fd00::/127", want: ["fd00::1"] },
    { cidr: "fd00::4/126", want: ["fd00::5", "fd00::6", "fd00::7"] }, // IPv6 has no broadcast
  ];
  for (const { cidr, want } of cases) {
    const p = pool(cidr);
    assertEquals(take(p, want.length), want, cidr);
    assertThrows(() => p.allocate(), PoolExhaustedError, "exhausted", cidr);
  }
});

Deno.test("NodePool ignores host bits but shows them", () => {
  const p = pool("10.200.0.9/30");
  assertEquals(take(p, 2), ["10.200.0.9", "10.200.0.10"]);
  assertThrows(() => p.allocate(), PoolExhaustedError, "outside slice 10.200.0.9/30");
});

Deno.test("NodePool takes back only what it handed out", () => {
  const p = pool("10.200.0.0/28");
  const a = p.allocate();
  for (const ip of ["10.200.0.2", "10.200.0.0", "10.200.0.15", "10.200.1.1", "192.0.2.1", "::1"]) {
    assertEquals(p.release(parseIp(ip)!), false, ip);
  }
  assertEquals(p.release(a), true);
  assertEquals(p.release(a), false);
  assertEquals(take(p, 2), ["10.200.0.1", "10.200.0.2"]);
});

Deno.test("NodePool keeps reserved addresses back, from the fresh ones and the released ones", () => {
  const p = pool("10.200.0.0/28");
  for (const ip of ["10.200.0.1", "10.200.0.3", "10.200.0.3"]) assertEquals(p.reserve(parseIp(ip)!), true);
  for (const ip of ["10.200.0.0", "10.200.0.15", "10.200.0.16", "fd00::1"]) {
    assertEquals(p.reserve(parseIp(ip)!), false, ip);
  }
  assertEquals(p.allocated, 2);
  assertEquals(take(p, 2), ["10.200.0.2", "10.200.0.4"]);
  p.release(parseIp("10.200.0.2")!);
  p.reserve(parseIp("10.200.0.2")!);
  assertEquals(take(p, 1), ["10.200.0.5"]);
  assertEquals(p.release(parseIp("10.200.0.3")!), true);
  assertEquals(take(p, 1), ["10.200.0.3"]);
});

Deno.test("NodePool of a node that is set up again with its leases read back keeps the node's IP [overlay T35]", () => {
  const before = pool("10.200.0.16/28");
  const nodeIp = before.allocate();
  const container = before.allocate();
  const after = pool("10.200.0.16/28");
  after.reserve(nodeIp);
  after.reserve(container);
  assertEquals(take(after, 1), ["10.200.0.19"]);
});

seededTest(
  "NodePool agrees with a plain model: last released first, then the lowest never released",
  (random) => {
    const sizes = [["10.9.0.0/28", 14], ["10.9.0.0/27", 30], ["fd00::/124", 15], ["10.9.0.0/30", 2]] as const;
    for (let round = 0; round < 30; round++) {
      const [cidr, size] = random.pick(sizes);
      const p = pool(cidr);
      const { family, value: base } = p.slice.address;
      const live = new Set<bigint>();
      let released: bigint[] = [];
      for (let step = 0; step < 400; step++) {
        const ip = { family, value: base + BigInt(random.below(size + 4)) };
        const action = random.below(4);
        if (action === 0) {
          const usable = ip.value > base && ip.value <= base + BigInt(size);
          assertEquals(p.reserve(ip), usable);
          if (usable) live.add(ip.value);
          if (usable) released = released.filter((one) => one !== ip.value);
        } else if (action === 1) {
          const wasLive = live.delete(ip.value);
          assertEquals(p.release(ip), wasLive);
          if (wasLive) released.push(ip.value);
        } else if (live.size === size) {
          assertThrows(() => p.allocate(), PoolExhaustedError);
        } else {
          let want = released.pop();
          for (let n = base + 1n; want === undefined; n++) if (!live.has(n)) want = n;
          assertEquals(p.allocate().value, want);
          live.add(want);
        }
        assertEquals(p.allocated, live.size);
        assertEquals(p.isAllocated(ip), live.has(ip.value));
      }
    }
  },
);
