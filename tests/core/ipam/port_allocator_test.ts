import { assertEquals, assertThrows } from "@std/assert";
import { PoolExhaustedError } from "../../../core/errors.ts";
import { DedicatedPortAllocator } from "../../../core/ipam/port_allocator.ts";
import { dedicatedPorts, type Marker } from "../../../core/marker.ts";
import { seededTest } from "../../support/seeded_random.ts";

function take(ports: DedicatedPortAllocator, count: number): number[] {
  return Array.from({ length: count }, () => ports.allocate());
}

Deno.test("the lowest free port is handed out, also after a release [daemon 50]", () => {
  const ports = new DedicatedPortAllocator(51820);
  assertEquals(take(ports, 3), [51821, 51822, 51823]);
  ports.release(51821);
  ports.release(51821);
  assertEquals(take(ports, 2), [51821, 51824]);
});

Deno.test("reserved ports are skipped [daemon 51]", () => {
  const ports = new DedicatedPortAllocator(51820);
  ports.reserve(51821);
  assertEquals(ports.allocate(), 51822);
  ports.reserve(51823);
  ports.reserve(51823);
  assertEquals(ports.allocate(), 51824);
});

Deno.test("a full band is an error that names it [daemon 52]", () => {
  const ports = new DedicatedPortAllocator(51820);
  for (let port = 51821; port <= 52076; port++) ports.reserve(port);
  const error = assertThrows(() => ports.allocate(), PoolExhaustedError);
  assertEquals(error.message, "dedicated-overlay port band exhausted (51821..=52076, 256 ports)");
  ports.release(51900);
  assertEquals(ports.allocate(), 51900);
});

Deno.test("a base of 65535 has no port above it [daemon 53]", () => {
  assertThrows(
    () => new DedicatedPortAllocator(65535).allocate(),
    PoolExhaustedError,
    "exhausted (none above 65535)",
  );
  const short = new DedicatedPortAllocator(65533);
  assertEquals(take(short, 2), [65534, 65535]);
  assertThrows(() => short.allocate(), PoolExhaustedError, "exhausted (65534..=65535, 2 ports)");
});

Deno.test("ports of the marker's services are in use, that of another owner is not [daemon 54]", () => {
  const entry = { kind: "wg-dedicated", name: "zl-x", id: "", subnet: "10.0.0.0/28", wg_port: 51421 };
  const first = (owner: string): number => {
    const marker: Marker = { version: 1, networks: [{ owner, ...entry }] };
    const ports = new DedicatedPortAllocator();
    for (const port of dedicatedPorts(marker)) ports.reserve(port);
    return ports.allocate();
  };
  assertEquals(first("service:a"), 51422);
  assertEquals(first("base"), 51421);
});

Deno.test("the daemon's band is 51421 to 51676 [overlay T41]", () => {
  const ports = new DedicatedPortAllocator();
  ports.reserve(51423);
  assertEquals(take(ports, 3), [51421, 51422, 51424]);
  ports.release(51422);
  assertEquals(ports.allocate(), 51422);
  for (let port = 51425; port <= 51676; port++) assertEquals(ports.allocate(), port);
  const error = assertThrows(() => ports.allocate(), PoolExhaustedError);
  assertEquals(error.message, "dedicated-overlay port band exhausted (51421..=51676, 256 ports)");
});

Deno.test("a port that something else has is passed over and stays free", () => {
  const ports = new DedicatedPortAllocator(51420);
  assertEquals(ports.allocate((port) => port !== 51421), 51422);
  assertEquals(ports.isUsed(51421), false);
  assertEquals(ports.allocate(), 51421);
  assertThrows(() => ports.allocate(() => false), PoolExhaustedError);
});

Deno.test("ports outside the band are kept and never handed out", () => {
  const ports = new DedicatedPortAllocator(100);
  ports.reserve(50);
  assertEquals(ports.isUsed(50), true);
  ports.release(50);
  ports.release(9999);
  assertEquals(ports.allocate(), 101);
});

seededTest("DedicatedPortAllocator agrees with a plain set", (random) => {
  const base = 65300 + random.below(236);
  const ports = new DedicatedPortAllocator(base);
  const used = new Set<number>();
  const band = Array.from({ length: 256 }, (_, i) => base + 1 + i).filter((port) => port <= 65535);
  for (let step = 0; step < 2000; step++) {
    const port = base - 5 + random.below(300);
    const action = random.below(5);
    if (action === 0) {
      ports.release(port);
      used.delete(port);
    } else if (action === 1) {
      ports.reserve(port);
      used.add(port);
    } else {
      const lowest = band.find((one) => !used.has(one));
      if (lowest === undefined) assertThrows(() => ports.allocate(), PoolExhaustedError);
      else assertEquals(ports.allocate(), lowest);
      if (lowest !== undefined) used.add(lowest);
    }
  }
});
