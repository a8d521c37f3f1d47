/** A service that hangs keeps the daemon neither from starting nor from stopping. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { DaemonConfig } from "../../../../core/config.ts";
import { FakeBackend } from "../../../../core/backend/fake.ts";
import { openEngine } from "../../../../core/open_engine.ts";
import { ContainerRig, tick } from "../../../support/container_rig.ts";
import { globalRequest } from "../../../support/engine_rig.ts";
import { waitFor } from "../../../support/wait_for.ts";
import { FakeHcnLibrary } from "../../../support/fake_hcn/library.ts";

/** A node with a dedicated service whose network could not be removed when it was taken down. */
async function withLeftover(): Promise<ContainerRig> {
  const rig = await ContainerRig.start();
  await rig.engine.setupServiceOverlay("web", "dedicated");
  rig.library.next("DeleteNetwork", { hresult: 0x80070005 | 0 });
  await assertRejects(() => rig.engine.teardownServiceOverlay("web"));
  return rig;
}

/** From now on no call comes back until the result is called. */
function hang(rig: ContainerRig): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  rig.library.onCall = (_call, _index, when) => when === "before" ? { until: promise } : undefined;
  return () => {
    rig.library.onCall = () => {};
    resolve();
  };
}

Deno.test("a start does not wait for a service that hangs; what was left open is settled when it answers", async () => {
  await using rig = await withLeftover();
  await rig.engine.stop();
  rig.store.close();
  const release = hang(rig);
  await rig.boot();
  assertEquals((await rig.engine.status(true)).detail!.pending, ["removing service web"]);
  release();
  await rig.drive(rig.engine.reconcile());
  assertEquals([rig.store.services.size, rig.hns.networks.size], [0, 0]);
});

Deno.test("what was left open is settled right after a start, without being asked for", async () => {
  await using rig = await withLeftover();
  await rig.engine.stop();
  rig.store.close();
  await rig.boot();
  await tick();
  await tick();
  assertEquals([rig.store.services.size, rig.hns.networks.size], [0, 0]);
});

Deno.test("a stop waits for a pass that runs, so that nothing is done after it", async () => {
  await using rig = await withLeftover();
  const release = hang(rig);
  const pass = rig.engine.sweepContainers();
  await waitFor("a call is made", () => rig.library.hanging === 1);
  let isStopped = false;
  const stop = rig.engine.stop().then(() => void (isStopped = true));
  await tick();
  assertEquals(isStopped, false);
  release();
  await Promise.all([stop, pass]);
  rig.library.taken();
  await tick();
  assertEquals(rig.library.taken(), []);
});

Deno.test("a stop gives a pass up that does not end", async () => {
  await using rig = await withLeftover();
  const release = hang(rig);
  const pass = rig.engine.sweepContainers();
  await waitFor("a call is made", () => rig.library.hanging === 1);
  const from = rig.node.clock.monotonicMs();
  await rig.drive(rig.engine.stop());
  const waitedMs = rig.node.clock.monotonicMs() - from;
  assert(waitedMs >= 1000 && waitedMs < 5000, `${waitedMs} ms`);
  release();
  await rig.drive(pass);
});

Deno.test("a stop does not wait long for a call that hangs", async () => {
  await using rig = await withLeftover();
  await rig.engine.stop();
  rig.store.close();
  const { log, host, dataDir } = rig.node;
  const backend = new FakeBackend(host, { containers: rig.containers });
  const config = { dataDir } as DaemonConfig;
  const release = hang(rig);
  // Right after its start the engine settles what was left, and that hangs.
  const engine = await openEngine(config, () => log, { openBackend: () => Promise.resolve(backend) });
  await engine.service.setupGlobalOverlay(globalRequest({ deployment: "zlayer" }), rig.node.context);
  await engine.close();
  release();
  await tick();
  // What a call brings that comes back so late goes with the process.
  rig.library = new FakeHcnLibrary(rig.hns);
  await rig.boot();
});
