/** The changing operations of the engine, for tests that break each of them at every step; and the audit after. */

import { assert, assertEquals } from "@std/assert";
import { formatIp } from "../../core/ip/address.ts";
import type { StateStore } from "../../core/state/state_store.ts";
import { encodeKey } from "../../core/wireguard/keys.ts";
import { type EngineRig, freshPublicKey, globalRequest } from "./engine_rig.ts";

/** Told of every write of a store, before and after it; throwing stops it there. */
export type StepHook = (label: string, when: "before" | "after") => void;

/** A store whose writes pass a hook. */
export function hookedStore(store: StateStore, hook: StepHook): StateStore {
  return new Proxy(store, {
    get(target, key): unknown {
      const value: unknown = Reflect.get(target, key, target);
      if (key === "record") {
        return (label: string, change: Parameters<StateStore["record"]>[1]): void => {
          hook(label, "before");
          target.record(label, change);
          hook(label, "after");
        };
      }
      if (key === "commit") {
        return async (label: string, change: Parameters<StateStore["commit"]>[1]): Promise<void> => {
          hook(`commit ${label}`, "before");
          await target.commit(label, change);
          hook(`commit ${label}`, "after");
        };
      }
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** One operation. */
export interface Operation {
  readonly name: string;
  /** Done and answered before the crash run begins. */
  readonly prepare: (rig: EngineRig) => Promise<void>;
  readonly run: (rig: EngineRig) => Promise<unknown>;
  /** What has to hold after a restart when `run` was answered. */
  readonly promised: (rig: EngineRig) => void | Promise<void>;
}

const PEER = freshPublicKey();
const pid = (n: number): { platform: "linux_pid"; pid: number } => ({ platform: "linux_pid", pid: n });
const GUEST = { platform: "guest_managed", id: "vm1" } as const;
const PEER_SPEC = {
  publicKey: PEER,
  endpoint: "198.51.100.7:51420",
  allowedIps: "10.200.0.17/32,10.201.1.0/24",
  persistentKeepaliveSecs: 25,
};
const none = async (): Promise<void> => {};

/** A node with a global overlay, the service `web`, a container on it (200) and one beside it (100). */
export async function withService(rig: EngineRig): Promise<void> {
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

/** All of them. */
export const OPERATIONS: readonly Operation[] = [
  {
    name: "setup_global_overlay",
    prepare: none,
    run: (rig) => rig.engine.setupGlobalOverlay(globalRequest({ sliceCidr: "10.200.0.0/28" }), rig.context),
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
    run: (rig) => rig.engine.attachContainer({ handle: GUEST, service: "web", joinGlobal: false }),
    promised: (rig) => assertEquals(rig.host.links.get("zl-prod-42-g")!.device!.peers.size, 1),
  },
  {
    name: "detach_container guest",
    prepare: async (rig) => {
      await withService(rig);
      await rig.engine.attachContainer({ handle: GUEST, service: "web", joinGlobal: false });
    },
    run: (rig) => rig.engine.detachContainer(GUEST),
    promised: (rig) => assertEquals(rig.host.links.get("zl-prod-42-g")!.device!.peers.size, 0),
  },
  {
    name: "teardown_service_overlay with a guest",
    prepare: async (rig) => {
      await withService(rig);
      await rig.engine.attachContainer({ handle: GUEST, service: "web", joinGlobal: false });
    },
    run: (rig) => rig.engine.teardownServiceOverlay("web"),
    promised: (rig) => assertEquals([rig.store.services.size, rig.store.guests.size], [0, 0]),
  },
  {
    name: "setup_service_overlay to shared",
    prepare: async (rig) => {
      await withDedicated(rig);
      await rig.engine.addPeer(PEER_SPEC, { scope: "service", service: "db" });
    },
    run: (rig) => rig.engine.setupServiceOverlay("db", "shared"),
    promised: (rig) =>
      assert([...rig.host.links.values()].every((link) => link.device?.listenPort !== 51421)),
  },
  {
    name: "setup_global_overlay again",
    prepare: withService,
    run: (rig) =>
      rig.engine.setupGlobalOverlay(
        globalRequest({ deployment: "other", sliceCidr: "10.200.0.0/28" }),
        rig.context,
      ),
    promised: (rig) => assert(rig.host.links.get("zl-prod-42-g")?.up),
  },
  {
    name: "setup_global_overlay after teardown, under another name and address",
    prepare: async (rig) => {
      await withService(rig);
      await rig.engine.teardownGlobalOverlay(rig.context);
    },
    run: (rig) =>
      rig.engine.setupGlobalOverlay(
        globalRequest({ instanceId: "43", sliceCidr: "10.200.9.0/28" }),
        rig.context,
      ),
    promised: async (rig) => {
      assert(rig.host.links.get("zl-prod-43-g")?.up);
      assertEquals((await rig.engine.status(false)).nodeIp, "10.200.9.1");
    },
  },
  {
    name: "add_peer",
    prepare: withService,
    run: (rig) => rig.engine.addPeer(PEER_SPEC, { scope: "global" }),
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
export function audit(rig: EngineRig): string[] {
  const { store, host } = rig;
  const wrong: string[] = [];
  const records = [
    ...[...store.services.values()].map(({ name, phase }) => ({ name, phase })),
    ...[...store.attachments.values()].map(({ handle, phase }) => ({ name: handle, phase })),
    ...[...store.guests.values()].map(({ id, phase }) => ({ name: id, phase })),
  ];
  for (const { name, phase } of records) if (phase !== "ready") wrong.push(`${name} is still ${phase}`);
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
  for (const guest of store.guests.values()) {
    const lease = store.leases.get(guest.overlayIp);
    if (lease?.owner !== `guest:${guest.id}`) wrong.push(`guest ${guest.id} has no lease`);
  }
  wrong.push(...auditDevices(rig));
  for (const process of host.processes.values()) {
    for (const [name, link] of process.links) {
      const lease = store.leases.get(formatIp(link.address.address));
      if (lease?.owner !== `pid:${process.pid}`) wrong.push(`pid ${process.pid} ${name} has no lease`);
    }
  }
  return wrong;
}

/** Devices whose peers are not those recorded. */
function auditDevices({ store, host }: EngineRig): string[] {
  const devices = [
    { service: "", name: store.settings.globalDevice?.interface },
    ...[...store.services.values()].map((s) => ({ service: s.name, name: s.dedicated?.interface })),
  ];
  return devices.flatMap(({ service, name }) => {
    if (name === undefined) return [];
    const have = [...host.links.get(name)?.device?.peers.values() ?? []].map((p) => encodeKey(p.publicKey));
    const want = [
      ...[...store.peers.values()].filter((peer) => peer.service === service),
      ...service === "" ? store.guests.values() : [],
    ].map((peer) => peer.publicKey);
    const same = have.sort().join() === want.sort().join();
    return same ? [] : [`device ${name} has ${have.length} peers, not the ${want.length} recorded`];
  });
}
