import { assertEquals } from "@std/assert";
import type { EngineContext } from "../../../core/engine/context.ts";
import type { DeviceReader } from "../../../core/engine/devices.ts";
import { PeerWatch } from "../../../core/engine/peer_watch.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { waitFor } from "../../support/wait_for.ts";

Deno.test("a look that fails is logged, and the next one comes all the same", async () => {
  const clock = new FakeClock();
  const warnings: string[] = [];
  const context = {
    clock,
    log: { warn: (message: string) => warnings.push(message) },
    store: { services: new Map(), settings: {}, guests: new Map(), peers: new Map() },
  } as unknown as EngineContext;
  let looks = 0;
  const failing = {
    onLook(): void {
      looks++;
      throw new Error("a full disk");
    },
    onNews(): void {},
  };
  const watch = new PeerWatch(context, {} as DeviceReader, [failing]);
  watch.start();
  for (const count of [1, 2]) {
    clock.advance(10_000);
    await waitFor(`look ${count}`, () => looks === count && clock.pendingTimers === 1);
  }
  watch.stop();
  assertEquals(warnings, Array(2).fill("cannot look at peers"));
});
