import { assertEquals } from "@std/assert";
import { isPeerHealthy } from "../../../core/wireguard/health.ts";

Deno.test("isPeerHealthy(): 60 s is healthy; 180 s, 300 s and never are not [overlay T45]", () => {
  const now = 1_000_000;
  const rows = [
    { age: 0, want: true },
    { age: 60_000, want: true },
    { age: 179_999, want: true },
    { age: 180_000, want: false },
    { age: 300_000, want: false },
  ];
  for (const { age, want } of rows) assertEquals(isPeerHealthy(now - age, now), want, `${age} ms`);
  assertEquals(isPeerHealthy(undefined, now), false);
});
