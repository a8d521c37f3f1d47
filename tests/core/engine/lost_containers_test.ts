/** How containers that were lost are told of. */
import { assertEquals } from "@std/assert";
import { LostContainers } from "../../../core/engine/lost_containers.ts";
import { FakeClock } from "../../support/fake_clock.ts";

Deno.test("three lost containers are named, the others counted; each is shown for an hour", () => {
  const clock = new FakeClock();
  const lost = new LostContainers(clock);
  const named = (): string | undefined => /forgotten: (.*?); one/.exec(lost.problem() ?? "")?.[1];
  assertEquals(lost.problem(), undefined);
  lost.add({ containerId: "c0", namespace: "n0", ip: "" });
  assertEquals(named(), "c0 (no address)");
  clock.advance(1_800_000);
  for (const n of [1, 2, 3, 4]) lost.add({ containerId: `c${n}`, namespace: `n${n}`, ip: `10.0.0.${n}` });
  assertEquals(named(), "c0 (no address), c1 (10.0.0.1), c2 (10.0.0.2) and 2 more");
  clock.advance(1_800_000);
  assertEquals(named(), "c1 (10.0.0.1), c2 (10.0.0.2), c3 (10.0.0.3) and 1 more");
  lost.forget("c2", undefined);
  lost.forget("somebody", "n4");
  assertEquals(named(), "c1 (10.0.0.1), c3 (10.0.0.3)");
  clock.advance(1_800_000);
  assertEquals(lost.problem(), undefined);
});
