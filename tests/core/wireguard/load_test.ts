/** What keeps a flood of handshakes from taking the device: load meter and rate limiter. */
import { assertEquals } from "@std/assert";
import { LoadMeter } from "../../../core/wireguard/load_meter.ts";
import { RateLimiter } from "../../../core/wireguard/rate_limiter.ts";
import { endpoint } from "../../support/sim_wireguard.ts";

Deno.test("LoadMeter: half a second's worth at once is no load, more is, for a second", () => {
  const meter = new LoadMeter(100);
  const start = 5_000;
  for (let i = 0; i < 50; i++) assertEquals(meter.count(start), false, `message ${i}`);
  for (let i = 0; i < 1_000; i++) assertEquals(meter.count(start), true);
  assertEquals([meter.isUnderLoad(start + 999), meter.isUnderLoad(start + 1_000)], [true, false]);
  assertEquals(meter.count(start + 1_500), false, "the flood is forgotten soon");
});

Deno.test("LoadMeter: what the device can do in the long run is no load", () => {
  const meter = new LoadMeter(100);
  for (let now = 0; now < 60_000; now += 10) assertEquals(meter.count(now), false, `at ${now}`);
});

Deno.test("LoadMeter: with nothing to spare every message is load", () => {
  assertEquals(new LoadMeter(0).count(0), true);
});

/** How many of so many messages, evenly spaced, get through. */
function passed(limiter: RateLimiter, count: number, spacingMs: number): number {
  const source = endpoint("192.0.2.1");
  return Array.from({ length: count }, (_, i) => limiter.allow(source, i * spacingMs)).filter(Boolean).length;
}

Deno.test("RateLimiter lets 5 through at once and 20 a second after that", () => {
  assertEquals(passed(new RateLimiter(), 100, 0), 5);
  assertEquals(passed(new RateLimiter(), 1_000, 10), 5 + 199);
  assertEquals(passed(new RateLimiter(), 200, 50), 200);
});

Deno.test("RateLimiter counts by /32 and /64, whatever the port", () => {
  const limiter = new RateLimiter();
  const spend = (address: string, port = 1): number =>
    Array.from({ length: 9 }, () => limiter.allow(endpoint(address, port), 0)).filter(Boolean).length;
  assertEquals(spend("192.0.2.1"), 5);
  assertEquals(spend("192.0.2.1", 2), 0);
  assertEquals(spend("192.0.2.2"), 5);
  assertEquals(spend("2001:db8::1"), 5);
  assertEquals(spend("2001:db8::ffff:1"), 0, "the same /64");
  assertEquals(spend("2001:db8:0:1::1"), 5, "another /64");
});

Deno.test("RateLimiter forgets sources and takes no more than it can remember", () => {
  const limiter = new RateLimiter();
  for (let i = 0; i < 70_000; i++) limiter.allow(endpoint(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`), 0);
  assertEquals(limiter.size, 65_536);
  assertEquals(limiter.allow(endpoint("192.0.2.1"), 10), false);
  assertEquals(limiter.allow(endpoint("192.0.2.1"), 1_000), true);
  assertEquals(limiter.size, 1);
});
