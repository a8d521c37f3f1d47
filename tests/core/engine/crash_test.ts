/**
 * The daemon dies before and after every effect and every commit of every changing operation.
 *
 * For each operation the number of crash points is counted in a run that lives; then the operation is run
 * again once per point on a fresh node, killed there, and a new engine is started on what is left. The audit
 * compares the fake kernel with the records and with what had been answered.
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { NotFoundError } from "../../../core/errors.ts";
import { formatIp } from "../../../core/ip/address.ts";
import type { StateStore } from "../../../core/state/state_store.ts";
import { encodeKey } from "../../../core/wireguard/keys.ts";
import { EngineRig, freshPublicKey, globalRequest } from "../../support/engine_rig.ts";

/** Thrown where the process is dead; nothing of it may act afterwards. */
class Crash extends Error {}

/** Kills the engine at the n-th point it passes. */
class Reaper {
  passed = 0;
  dead = false;
  readonly labels: string[] = [];

  constructor(readonly killAt: number) {}

  point(label: string): void {
    if (this.dead) throw new Crash("dead");
    this.labels.push(label);
    if (this.passed++ === this.killAt) {
      this.dead = true;
      throw new Crash(label);
    }
  }
}

/** A store in which the process can die before or after a commit, and cannot commit once dead. */
function mortalStore(store: StateStore, reaper: Reaper): StateStore {
  return new Proxy(store, {
    get(target, key): unknown {
      const value: unknown = Reflect.get(target, key, target);
      if (key === "record") {
        return (label: string, change: Parameters<StateStore["record"]>[1]): void => {
          reaper.point(`before ${label}`);
          target.record(label, change);
          reaper.point(`after ${label}`);
        };
      }
      if (key === "commit") {
        return async (label: string, change: Parameters<StateStore["commit"]>[1]): Promise<void> => {
          reaper.point(`before commit ${label}`);
          await target.commit(label, change);
          reaper.point(`after commit ${label}`);
        };
      }
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

interface Operation {
  readonly name: string;
  /** Done and answered before the crash run begins. */
  readonly prepare: (rig: EngineRig) => Promise<void>;
  readonly run: (rig: EngineRig) => Promise<unknown>;
  /** What has to hold after a restart when `run` was answered. */
  readonly promised: (rig: EngineRig) => void | Promise<void>;
}

const PEER = freshPublicKey();
const pid = (n: number): { platform: "linux_pid"; pid: number } => ({ platform: "linux_pid", pid: n });
const none = async (): Promise<void> => {};

async function withService(rig: EngineRig): Promise<void> {
  await rig.engine.setupGlobalOverlay(globalRequest({ sliceCidr: "10.200.0.0/28" }), rig.context);
  await rig.engine.setupServiceOverlay("web", "shared");
  rig.host.spawn(100);
  rig.host.spawn(200);
  await rig.engine.attachContainer({ handle: pid(200), service: "web", joinGlobal: true });
}

async function withDedicated(rig: EngineRig): Promise<void> {
  await withService(rig);
  await rig.engine.setupServiceOverlay("db", "dedicated");
}

const OPERATIONS: readonly Operation[] = [
  {
    name: "setup_global_overlay",
    prepare: none,
    run: (rig) => rig.engine.setupGlobalOverlay(globalRequest(), rig.context),
    promised: (rig) => assert(rig.host.links.get("zl-prod-42-g")?.up),
  },
  {
    name: "teardown_global_overlay",
    prepare: withService,
    run: (rig) => rig.engine.teardownGlobalOverlay(rig.context),
    promised: (rig) => assert(!rig.host.links.has("zl-prod-42-g")),
  },
  {
    name: "setup_service_overlay shared",
    prepare: none,
    run: (rig) => rig.engine.setupServiceOverlay("web", "shared"),
    promised: (rig) => assert(rig.host.links.get("zl---web-b")?.up),
  },
  {
    name: "setup_service_overlay dedicated",
    prepare: withService,
    run: (rig) => rig.engine.setupServiceOverlay("db", "dedicated"),
    promised: (rig) => assert([...rig.host.links.values()].some((link) => link.device?.listenPort === 51421)),
  },
  {
    name: "setup_service_overlay to dedicated",
    prepare: withService,
    run: (rig) => rig.engine.setupServiceOverlay("web", "dedicated"),
    promised: (rig) => assert([...rig.host.links.values()].some((link) => link.device?.listenPort === 51421)),
  },
  {
    name: "teardown_service_overlay",
    prepare: withDedicated,
    run: async (rig) => {
      await rig.engine.teardownServiceOverlay("db");
      await rig.engine.teardownServiceOverlay("web");
    },
    promised: (rig) => assertEquals(rig.store.services.size, 0),
  },
  {
    name: "attach_container",
    prepare: withService,
    run: (rig) => rig.engine.attachContainer({ handle: pid(100), service: "web", joinGlobal: true }),
    promised: (rig) => {
      assert(rig.host.processes.get(100)!.links.has("eth0"));
      assert(rig.host.processes.get(100)!.links.has("eth1"));
    },
  },
  {
    name: "detach_container",
    prepare: withService,
    run: (rig) => rig.engine.detachContainer(pid(200)),
    promised: (rig) => assertEquals(rig.host.processes.get(200)!.links.size, 0),
  },
  {
    name: "attach_container guest",
    prepare: withService,
    run: (rig) =>
      rig.engine.attachContainer({
        handle: { platform: "guest_managed", id: "vm1" },
        service: "web",
        joinGlobal: false,
      }),
    promised: (rig) => assertEquals(rig.host.links.get("zl-prod-42-g")!.device!.peers.size, 1),
  },
  {
    name: "add_peer",
    prepare: withService,
    run: (rig) =>
      rig.engine.addPeer({
        publicKey: PEER,
        endpoint: "198.51.100.7:51420",
        allowedIps: "10.200.0.17/32,10.201.1.0/24",
        persistentKeepaliveSecs: 25,
      }, { scope: "global" }),
    promised: (rig) => assertEquals(peersOf(rig, "zl-prod-42-g"), [PEER]),
  },
  {
    name: "remove_peer",
    prepare: async (rig) => {
      await withService(rig);
      await OPERATIONS.find((operation) => operation.name === "add_peer")!.run(rig);
    },
    run: (rig) => rig.engine.removePeer(PEER, { scope: "global" }),
    promised: (rig) => assertEquals(peersOf(rig, "zl-prod-42-g"), []),
  },
];

function peersOf(rig: EngineRig, device: string): string[] {
  return [...rig.host.links.get(device)!.device!.peers.values()].map((peer) => encodeKey(peer.publicKey));
}

/** Everything wrong with a node whose engine has recovered; empty when all is well. */
function audit(rig: EngineRig): string[] {
  const { store, host } = rig;
  const wrong: string[] = [];
  for (
    const record of [...store.services.values(), ...store.attachments.values(), ...store.guests.values()]
  ) {
    if (record.phase !== "ready") wrong.push(`${JSON.stringify(record)} is still open`);
  }
  const known = new Set([
    ...(store.settings.globalDevice ? [store.settings.globalDevice.interface] : []),
    ...[...store.services.values()].flatMap((
      s,
    ) => [s.bridge, ...(s.dedicated ? [s.dedicated.interface] : [])]),
    ...[...store.attachments.values()].flatMap((a) => a.links.map((link) => link.hostName)),
  ]);
  for (const name of host.links.keys()) if (!known.has(name)) wrong.push(`link ${name} leaked`);
  for (const name of known) if (!host.links.get(name)?.up) wrong.push(`link ${name} is missing or down`);
  const owners = new Set([
    "node",
    ...store.attachments.keys(),
    ...[...store.guests.keys()].map((id) => `guest:${id}`),
  ]);
  for (const lease of store.leases.values()) {
    if (!owners.has(lease.owner)) wrong.push(`lease ${lease.ip} of ${lease.owner} leaked`);
    if (lease.pool !== "node" && !store.services.has(lease.pool.slice(8))) {
      wrong.push(`lease ${lease.ip} has no pool`);
    }
  }
  for (const process of host.processes.values()) {
    for (const [name, link] of process.links) {
      const lease = store.leases.get(formatIp(link.address.address));
      if (lease?.owner !== `pid:${process.pid}`) wrong.push(`pid ${process.pid} ${name} has no lease`);
    }
  }
  return wrong;
}

/** Runs one operation to the crash point; whether it was answered, and which point it was. */
async function crashAt(
  operation: Operation,
  killAt: number,
): Promise<{ rig: EngineRig; reaper: Reaper; answered: boolean }> {
  const rig = await EngineRig.start();
  await operation.prepare(rig);
  await rig.engine.stop();
  rig.store.close();
  const reaper = new Reaper(Infinity);
  let real: StateStore | undefined;
  await rig.boot({ store: (store) => mortalStore(real = store, reaper) });
  const armed = new Reaper(killAt);
  Object.assign(reaper, { passed: 0, killAt, labels: armed.labels });
  rig.host.onEffect = (label, when) => reaper.point(`${when} ${label}`);
  let answered = true;
  try {
    await operation.run(rig);
  } catch (error) {
    answered = false;
    if (!reaper.dead) throw error;
  }
  rig.host.onEffect = () => {};
  reaper.dead = true;
  rig.kill(real);
  return { rig, reaper, answered };
}

for (const operation of OPERATIONS) {
  Deno.test(`a crash at any point of ${operation.name} loses no promise and leaks nothing`, async () => {
    const whole = await crashAt(operation, Infinity);
    assert(whole.answered);
    await whole.rig[Symbol.asyncDispose]();
    const points = whole.reaper.labels.length;
    assert(points >= 2, `only ${points} crash points`);
    for (let at = 0; at <= points; at++) {
      const { rig, answered } = await crashAt(operation, at);
      try {
        await rig.boot();
        const where = whole.reaper.labels[at] ?? "after the reply";
        assertEquals(audit(rig), [], `${operation.name}, killed ${where}`);
        if (answered) await operation.promised(rig);
        // What was interrupted can be asked for again, and the bystander has kept what it had.
        await operation.run(rig);
        await operation.promised(rig);
        assertEquals(audit(rig), [], `${operation.name} again, killed ${where}`);
      } finally {
        await rig[Symbol.asyncDispose]();
      }
    }
  });
}

Deno.test("the audit sees what it is there to see: planted leaks (negative control)", async () => {
  await using rig = await EngineRig.start();
  await withService(rig);
  assertEquals(audit(rig), []);
  rig.host.add({
    kind: "veth",
    name: "veth-9-s",
    tag: "zlayer-overlayd/x/y:z",
    up: true,
    mtuBytes: 1420,
    addresses: [],
    routes: [],
  });
  await rig.store.commit(
    "plant",
    (write) => write.putLease({ ip: "10.200.0.9", pool: "node", owner: "pid:9" }),
  );
  rig.host.remove("veth-200-s");
  const wrong = audit(rig).join("\n");
  assertStringIncludes(wrong, "link veth-9-s leaked");
  assertStringIncludes(wrong, "lease 10.200.0.9 of pid:9 leaked");
  assertStringIncludes(wrong, "link veth-200-s is missing or down");
});

Deno.test("a dead process cannot act on: the reaper stops every later effect (negative control)", async () => {
  const { rig, reaper } = await crashAt(OPERATIONS[2]!, 1);
  try {
    await rig.engine.setupServiceOverlay("other", "shared").then(
      () => assert(false, "a dead engine answered"),
      (error: unknown) =>
        assert(error instanceof Crash || error instanceof NotFoundError || error instanceof Error),
    );
    assert(!rig.host.links.has("zl---other-b"));
    assert(reaper.dead);
  } finally {
    await rig[Symbol.asyncDispose]();
  }
});
