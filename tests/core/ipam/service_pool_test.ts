import { assertEquals, assertGreater, assertLess, assertThrows } from "@std/assert";
import { AlreadyExistsError, InvalidConfigError, PoolExhaustedError } from "../../../core/errors.ts";
import { formatIp, type IpAddress, parseIp } from "../../../core/ip/address.ts";
import { parsePrefix } from "../../../core/ip/prefix.ts";
import { FreeRanges } from "../../../core/ipam/free_ranges.ts";
import { ServicePool } from "../../../core/ipam/service_pool.ts";
import { seededTest } from "../../support/seeded_random.ts";

function pool(cidr: string): ServicePool {
  return new ServicePool(parsePrefix(cidr)!, "zl-br");
}

function ip(text: string): IpAddress {
  return parseIp(text)!;
}

function takeAll(from: ServicePool): string[] {
  const all: string[] = [];
  for (;;) {
    try {
      all.push(formatIp(from.allocate()));
    } catch (error) {
      if (error instanceof PoolExhaustedError) return all;
      throw error;
    }
  }
}

Deno.test("ServicePool hands out the lowest free address, whatever was released last [overlay T29]", () => {
  const p = pool("10.200.0.0/28");
  assertEquals([p.allocate(), p.allocate(), p.allocate()].map(formatIp), [
    "10.200.0.1",
    "10.200.0.2",
    "10.200.0.3",
  ]);
  p.release(ip("10.200.0.1"));
  p.release(ip("10.200.0.2"));
  assertEquals([p.allocate(), p.allocate(), p.allocate()].map(formatIp), [
    "10.200.0.1",
    "10.200.0.2",
    "10.200.0.4",
  ]);
});

Deno.test("ServicePool of small subnets [overlay T29]", () => {
  const cases: { cidr: string; want: string[]; total: number }[] = [
    { cidr: "10.0.0.8/30", want: ["10.0.0.9", "10.0.0.10"], total: 2 },
    { cidr: "10.0.0.8/31", want: ["10.0.0.8", "10.0.0.9"], total: 0 },
    { cidr: "10.0.0.8/32", want: ["10.0.0.8"], total: 0 },
    { cidr: "fd00::8/126", want: ["fd00::9", "fd00::a", "fd00::b"], total: 3 },
    { cidr: "fd00::8/127", want: ["fd00::9"], total: 1 },
    { cidr: "fd00::8/128", want: [], total: 0 },
  ];
  for (const { cidr, want, total } of cases) {
    const p = pool(cidr);
    assertEquals([p.total, p.available], [total, total], cidr);
    assertEquals(takeAll(p), want, cidr);
    assertEquals([p.allocated, p.available], [want.length, 0], cidr);
  }
});

Deno.test("ServicePool of a bridge never hands out nor takes back the gateway [overlay T30]", () => {
  for (
    const [cidr, gateway, rest] of [["10.200.46.224/28", "10.200.46.225", 13], [
      "fd00::/120",
      "fd00::1",
      254,
    ]] as const
  ) {
    const p = ServicePool.forBridge(parsePrefix(cidr)!, "zl-br");
    assertEquals(p.isAllocated(ip(gateway)), true);
    assertEquals(p.available, rest);
    assertEquals(p.release(ip(gateway)), false);
    const all = takeAll(p);
    assertEquals([all.length, all.includes(gateway)], [rest, false], cidr);
    const error = assertThrows(() => p.allocate(), PoolExhaustedError);
    assertEquals(error.message, `service bridge zl-br subnet ${cidr} exhausted`);
    assertEquals(p.release(ip(gateway)), false);
    assertThrows(() => p.allocate(), PoolExhaustedError);
  }
  assertThrows(() => ServicePool.forBridge(parsePrefix("fd00::/128")!, "zl-br"), PoolExhaustedError);
});

Deno.test("allocateSpecific() takes any address of the subnet once", () => {
  const p = pool("10.200.0.0/28");
  for (const text of ["10.200.0.0", "10.200.0.15", "10.200.0.7"]) p.allocateSpecific(ip(text));
  assertThrows(
    () => p.allocateSpecific(ip("10.200.0.7")),
    AlreadyExistsError,
    "10.200.0.7 is already allocated",
  );
  for (const text of ["10.200.0.16", "10.199.255.255", "fd00::1"]) {
    assertThrows(
      () => p.allocateSpecific(ip(text)),
      InvalidConfigError,
      `${text} is outside subnet 10.200.0.0/28`,
    );
  }
  assertEquals(p.allocated, 3);
});

Deno.test("markAllocated() may be repeated", () => {
  const p = pool("10.200.0.0/28");
  p.markAllocated(ip("10.200.0.1"));
  p.markAllocated(ip("10.200.0.1"));
  assertEquals(p.allocated, 1);
  assertThrows(() => p.markAllocated(ip("10.200.1.1")), InvalidConfigError, "outside");
  assertEquals(formatIp(p.allocate()), "10.200.0.2");
});

Deno.test("allocateFirst() gives the first host or fails", () => {
  const p = pool("fd00::/120");
  assertEquals(formatIp(p.allocateFirst()), "fd00::1");
  assertThrows(() => p.allocateFirst(), AlreadyExistsError);
  assertEquals(formatIp(pool("10.0.0.8/31").allocateFirst()), "10.0.0.8");
  assertThrows(() => pool("fd00::8/128").allocateFirst(), PoolExhaustedError);
});

Deno.test("release() tells whether the address was handed out", () => {
  const p = pool("10.200.0.0/28");
  const a = p.allocate();
  assertEquals([p.release(a), p.release(a)], [true, false]);
  assertEquals([p.release(ip("10.200.0.9")), p.release(ip("10.9.9.9")), p.release(ip("::1"))], [
    false,
    false,
    false,
  ]);
  assertEquals([p.allocated, p.available], [0, 14]);
});

Deno.test("counters stop at 32 bits", () => {
  assertEquals(pool("fd00::/64").total, 4294967295);
  assertEquals(pool("fd00::/96").total, 4294967295);
  assertEquals(pool("fd00::/97").total, 2 ** 31 - 1);
  assertEquals(pool("10.0.0.0/8").total, 2 ** 24 - 2);
});

/** @returns How often the work asks for the next free number, or whether one is free. */
function questions(work: () => void): number {
  const { lowest, isFree } = FreeRanges.prototype;
  let asked = 0;
  FreeRanges.prototype.lowest = function (from): bigint | undefined {
    asked++;
    return lowest.call(this, from);
  };
  FreeRanges.prototype.isFree = function (number): boolean {
    asked++;
    return isFree.call(this, number);
  };
  try {
    work();
  } finally {
    Object.assign(FreeRanges.prototype, { lowest, isFree });
  }
  return asked;
}

Deno.test("ServicePool of a /8 looks at no taken address to find a free one", () => {
  const p = pool("10.0.0.0/8");
  for (let i = 0; i < 65536; i++) p.allocate();
  const asked = questions(() => {
    for (let i = 0; i < 5000; i++) {
      p.release(ip("10.0.0.1"));
      assertEquals(formatIp(p.allocate()), "10.0.0.1");
      p.release(p.allocate());
    }
  });
  assertGreater(asked, 0);
  assertLess(asked, 20 * 5000);
});

seededTest("ServicePool agrees with a plain set", (random) => {
  for (let round = 0; round < 30; round++) {
    const cidr = random.pick(["10.9.0.0/28", "10.9.0.0/30", "10.9.0.0/31", "fd00::/124", "fd00::/127"]);
    const p = pool(cidr);
    const base = p.subnet.address.value;
    const v4 = p.subnet.address.family === 4;
    const size = 1 << ((v4 ? 32 : 128) - p.subnet.length);
    const hosts = Array.from({ length: size }, (_, i) => base + BigInt(i))
      .filter((_, i) => v4 ? size < 4 || (i > 0 && i < size - 1) : i > 0);
    const taken = new Set<bigint>();
    for (let step = 0; step < 300; step++) {
      const one = { family: p.subnet.address.family, value: base + BigInt(random.below(size)) };
      const action = random.below(4);
      if (action === 0) {
        const lowest = hosts.find((host) => !taken.has(host));
        if (lowest === undefined) assertThrows(() => p.allocate(), PoolExhaustedError);
        else assertEquals(p.allocate().value, lowest);
        if (lowest !== undefined) taken.add(lowest);
      } else if (action === 1) {
        p.markAllocated(one);
        taken.add(one.value);
      } else if (action === 2 && taken.has(one.value)) {
        assertThrows(() => p.allocateSpecific(one), AlreadyExistsError);
      } else {
        assertEquals(p.release(one), taken.delete(one.value));
      }
      assertEquals([p.allocated, p.isAllocated(one)], [taken.size, taken.has(one.value)]);
    }
  }
});
