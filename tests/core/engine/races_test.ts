/** Requests and repair passes that meet: whoever comes second finds things as they are, and nothing is lost between. */

import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import type { NetworkBackend } from "../../../core/backend/backend.ts";
import { AlreadyExistsError, OverlayError } from "../../../core/errors.ts";
import { EngineRig, globalRequest } from "../../support/engine_rig.ts";

const pid = (n: number): { platform: "linux_pid"; pid: number } => ({ platform: "linux_pid", pid: n });

function attach(
  rig: EngineRig,
  n: number,
  service = "web",
): ReturnType<EngineRig["engine"]["attachContainer"]> {
  return rig.engine.attachContainer({ handle: pid(n), service, joinGlobal: false });
}

/** A backend whose calls of one method wait until they are let go; `entered` tells that one has come. */
class Gate {
  readonly entered = Promise.withResolvers<void>();
  readonly open = Promise.withResolvers<void>();
  armed = false;

  wrap(backend: NetworkBackend, method: keyof NetworkBackend): NetworkBackend {
    return new Proxy(backend, {
      get: (target, key): unknown => {
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value !== "function") return value;
        if (key !== method) return value.bind(target);
        return async (...args: unknown[]): Promise<unknown> => {
          if (this.armed) {
            this.armed = false;
            this.entered.resolve();
            await this.open.promise;
          }
          return await value.apply(target, args);
        };
      },
    });
  }
}

async function gatedRig(method: keyof NetworkBackend): Promise<{ rig: EngineRig; gate: Gate }> {
  const rig = new EngineRig();
  const gate = new Gate();
  await rig.boot({ backend: (backend) => gate.wrap(backend, method) });
  await rig.engine.setLocalNodeId(1n);
  return { rig, gate };
}

Deno.test("a teardown waits for a link that is being made anew, and takes it away", async () => {
  const { rig, gate } = await gatedRig("attachContainer");
  await using _ = rig;
  await rig.engine.setupServiceOverlay("web", "shared");
  rig.host.spawn(100);
  await attach(rig, 100);
  rig.host.deleteByHand("veth-100-s");
  gate.armed = true;
  const pass = rig.engine.reconcile();
  await gate.entered.promise;
  const teardown = rig.engine.teardownServiceOverlay("web");
  await rig.engine.status(true);
  gate.open.resolve();
  await Promise.all([pass, teardown]);
  assertEquals([...rig.host.links.keys()], []);
  assertEquals(rig.store.leases.size, 0);
  assertEquals((await rig.engine.status(true)).detail!.attachments, []);
});

Deno.test("an orphan's name that has found an owner by the time of its removal is left alone", async () => {
  const { rig, gate } = await gatedRig("ensureServiceNetwork");
  await using _ = rig;
  await rig.engine.setupServiceOverlay("web", "shared");
  await rig.engine.setupServiceOverlay("api", "shared");
  rig.host.spawn(100);
  await attach(rig, 100);
  const orphan = { ...rig.host.links.get("veth-100-s")! };
  await rig.engine.detachContainer(pid(100));
  rig.host.add(orphan);
  await rig.engine.reconcile();
  // The regular pass will remove the orphan, but first it has a bridge to put right, and that takes its time.
  rig.host.links.get("zl---api-b")!.mtuBytes = 900;
  gate.armed = true;
  rig.clock.advance(31_000);
  await gate.entered.promise;
  rig.host.remove("veth-100-s");
  await attach(rig, 100);
  const live = rig.host.links.get("veth-100-s");
  gate.open.resolve();
  await rig.engine.reconcile();
  assert(rig.host.links.get("veth-100-s") === live, "the pass removed the link of a live container");
});

Deno.test("two processes of one namespace attached at once: one wins, the other is refused", async () => {
  await using rig = await EngineRig.start();
  await rig.engine.setupServiceOverlay("web", "shared");
  const first = rig.host.spawn(100);
  rig.host.processes.set(101, { ...first, pid: 101, startTicks: first.startTicks + 1n });
  const outcomes = await Promise.allSettled([attach(rig, 100), attach(rig, 101)]);
  assertEquals(outcomes.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  const refused = outcomes.find((outcome) => outcome.status === "rejected")!;
  assert(refused.reason instanceof AlreadyExistsError, String(refused.reason));
  assertEquals(rig.store.leases.size, 1);
});

Deno.test("a namespace whose first process is gone can be attached by another at once", async () => {
  await using rig = await EngineRig.start();
  await rig.engine.setupServiceOverlay("web", "shared");
  const first = rig.host.spawn(100);
  await attach(rig, 100);
  rig.host.processes.set(101, { ...first, pid: 101, startTicks: first.startTicks + 1n });
  // Its pid is another's by now, in the same namespace.
  rig.host.processes.set(100, { ...first, startTicks: first.startTicks + 9n });
  await attach(rig, 101);
  assertEquals([...rig.store.attachments.keys()], ["pid:101"]);
  assertEquals(rig.store.leases.size, 1);
});

Deno.test("allocateIp() whose commit takes its time beside a set-up with a slice: no address goes out twice", async () => {
  await using rig = new EngineRig();
  const slow = Promise.withResolvers<void>();
  await rig.boot({
    store: (store) =>
      new Proxy(store, {
        get(target, key): unknown {
          const value: unknown = Reflect.get(target, key, target);
          if (key !== "commit") return typeof value === "function" ? value.bind(target) : value;
          return async (...args: Parameters<typeof store.commit>): Promise<void> => {
            if (args[0] === "allocate_ip") await slow.promise;
            await target.commit(...args);
          };
        },
      }),
  });
  const allocated = rig.engine.allocateIp("none", false);
  const request = globalRequest({ sliceCidr: "10.200.0.0/28" });
  const setup = rig.engine.setupGlobalOverlay(request, rig.context);
  // As long as a set-up could need that did not wait.
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 1));
  slow.resolve();
  await setup;
  assertNotEquals((await rig.engine.status(false)).nodeIp, await allocated);
});

Deno.test("the node's recorded address is not used when it is a local service's", async () => {
  await using rig = await EngineRig.start();
  await rig.engine.setupServiceOverlay("web", "shared");
  const bootstrap = { config: { cidr: "10.200.0.0/16", node_ip: "10.200.74.20" }, peers: [] };
  await Deno.writeTextFile(`${rig.dataDir}/overlay_bootstrap.json`, JSON.stringify(bootstrap));
  await rig.engine.setupGlobalOverlay(globalRequest(), rig.context);
  assertEquals((await rig.engine.status(false)).nodeIp, "10.200.0.1");
});

Deno.test("removeAll() goes on when one service cannot be taken down, and tells which", async () => {
  await using rig = await EngineRig.start();
  await rig.engine.setupGlobalOverlay(globalRequest(), rig.context);
  await rig.engine.setupServiceOverlay("a", "shared");
  await rig.engine.setupServiceOverlay("b", "shared");
  const stuck = rig.store.services.get("a")!.bridge;
  rig.host.onEffect = (label): void => {
    if (label === `delete ${stuck}`) throw new OverlayError("internal", "planted");
  };
  await assertRejects(() => rig.engine.removeAll(), OverlayError, "planted");
  assertEquals([...rig.host.links.keys()], [stuck]);
  rig.host.onEffect = (): void => {};
});

Deno.test("a stopped engine has no timer set", async () => {
  await using rig = await EngineRig.start();
  await rig.engine.setupServiceOverlay("web", "shared");
  assert(rig.clock.pendingTimers > 0);
  await rig.engine.stop();
  assertEquals(rig.clock.pendingTimers, 0);
});
