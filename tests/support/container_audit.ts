/** Operations on containers of Windows, for crash and fault runs, and what has to be right after them. */
import { assert, assertEquals } from "@std/assert";
import { NotFoundError } from "../../core/errors.ts";
import { networkName } from "../../core/backend/windows/names.ts";
import { type Attached, BASE, type ContainerRig, DEPLOYMENT } from "./container_rig.ts";
import { HOST_DEFAULT } from "./fake_hcn/service.ts";

/** One operation. */
export interface ContainerOperation {
  readonly name: string;
  /** What the audit finds wrong before, and so may find after a run that failed. */
  readonly damaged?: RegExp;
  /** Done and answered before. */
  readonly prepare: (rig: ContainerRig) => Promise<unknown>;
  readonly run: (rig: ContainerRig) => Promise<unknown>;
  /** What has to hold after recovery when `run` was answered. */
  readonly promised: (rig: ContainerRig, reply: unknown) => void;
}

const none = async (): Promise<void> => {};

async function withContainers(rig: ContainerRig): Promise<void> {
  await rig.attach("bystander", "10.200.0.9");
  await rig.attach("c1", "10.200.0.5");
}

async function withDedicated(rig: ContainerRig): Promise<void> {
  await rig.attach("bystander", "10.200.0.9");
  await rig.engine.setupServiceOverlay("db", "dedicated");
  await rig.attach("c1", undefined, { service: "db" });
}

const isAttached = (rig: ContainerRig, reply: unknown): void => {
  const { namespaceGuid, ip } = reply as Attached;
  const record = [...rig.store.containerEndpoints.values()].find((one) => one.namespace === namespaceGuid);
  assertEquals([record?.phase, record?.ip], ["ready", ip], "the attach that was answered");
};

const isDetached = (rig: ContainerRig): void =>
  assertEquals([...rig.store.containerEndpoints.values()].filter((one) => one.containerId === "c1"), []);

/** Somebody damages what is in HCN; the next look mends it. */
function mended(damage: (rig: ContainerRig) => void): ContainerOperation["run"] {
  return async (rig) => {
    // A service that has forgotten everything has made the daemon forget the container.
    const isThere = (): boolean =>
      [...rig.store.containerEndpoints.values()].some(({ containerId, ip, endpoint, namespace }) =>
        containerId === "c1" && ip === "10.200.0.5" &&
        rig.hns.endpoints.get(endpoint)?.namespace === namespace
      );
    if (!isThere()) await rig.attach("c1", "10.200.0.5");
    damage(rig);
    await rig.engine.sweepContainers();
    if (!isThere()) throw new NotFoundError("endpoint", "c1");
  };
}

const isWhole = (rig: ContainerRig): void => {
  const record = [...rig.store.containerEndpoints.values()].find((one) => one.containerId === "c1");
  const endpoint = rig.hns.endpoints.get(record?.endpoint ?? "");
  assertEquals([endpoint?.ip, endpoint?.namespace], ["10.200.0.5", record!.namespace]);
};

/** All of them. */
export const CONTAINER_OPERATIONS: readonly ContainerOperation[] = [
  { name: "attach with nothing there", prepare: none, run: (rig) => rig.attach("c1"), promised: isAttached },
  {
    name: "attach to a network that is known",
    prepare: (rig) => rig.attach("bystander", "10.200.0.9"),
    run: (rig) => rig.attach("c1", "10.200.0.5"),
    promised: isAttached,
  },
  {
    name: "attach in place of one that vanished",
    damaged: /^container c1 is not in HCN$/,
    prepare: async (rig) => {
      await withContainers(rig);
      for (const { id, name } of rig.hns.endpoints.values()) {
        if (name === "zlayer-c1") rig.hns.endpoints.delete(id);
      }
    },
    run: (rig) => rig.attach("c1", "10.200.0.5"),
    promised: isAttached,
  },
  {
    name: "attach again",
    prepare: withContainers,
    run: (rig) => rig.attach("c1", "10.200.0.5"),
    promised: isAttached,
  },
  {
    name: "attach to a dedicated service",
    prepare: withDedicated,
    run: (rig) => rig.attach("c2", undefined, { service: "db" }),
    promised: isAttached,
  },
  {
    name: "repair of an endpoint",
    prepare: withContainers,
    run: mended(({ hns }) => {
      for (const { id, name } of hns.endpoints.values()) if (name === "zlayer-c1") hns.endpoints.delete(id);
    }),
    promised: isWhole,
  },
  {
    name: "repair of the base network",
    prepare: withContainers,
    run: mended(({ hns }) => {
      hns.endpoints.clear();
      hns.networks.clear();
    }),
    promised: isWhole,
  },
  { name: "detach", prepare: withContainers, run: (rig) => rig.detach("c1"), promised: isDetached },
  {
    name: "detach by the namespace",
    prepare: withContainers,
    run: (rig) =>
      rig.detach(
        [...rig.store.containerEndpoints.values()].find((one) => one.containerId === "c1")?.namespace ?? "-",
      ),
    promised: isDetached,
  },
  {
    name: "setup_service_overlay dedicated",
    prepare: (rig) => rig.attach("bystander", "10.200.0.9"),
    run: (rig) => rig.engine.setupServiceOverlay("db", "dedicated"),
    promised: (rig) => assertEquals(rig.store.services.get("db")?.phase, "ready"),
  },
  {
    name: "teardown_service_overlay dedicated",
    prepare: withDedicated,
    run: (rig) => rig.engine.teardownServiceOverlay("db"),
    promised: (rig) => {
      assertEquals(rig.store.services.size, 0);
      assert(
        ![...rig.hns.networks.values()].some(({ name }) =>
          name === networkName({ deployment: DEPLOYMENT, service: "db" })
        ),
      );
    },
  },
];

/** Has the regular work done: what broke off, then two looks around, some time apart. */
export async function recovered(rig: ContainerRig): Promise<void> {
  const isOpen = [...rig.store.services.values()].some(({ phase }) => phase !== "ready");
  if (isOpen) await rig.drive(rig.engine.reconcile());
  await rig.drive(rig.engine.sweepContainers());
  await rig.drive(new Promise<void>((done) => void rig.node.clock.after(30_000, done)), 1000);
  await rig.drive(rig.engine.sweepContainers());
}

/** Everything wrong with a node that has recovered; empty when all is well. */
export function auditContainers(rig: ContainerRig): string[] {
  const { store, hns } = rig;
  const wrong: string[] = [];
  const records = [...store.containerEndpoints.values()];
  for (const { containerId, phase, endpoint, namespace, ip, pool } of records) {
    const who = `container ${containerId}`;
    if (phase !== "ready") wrong.push(`${who} is still ${phase}`);
    const there = hns.endpoints.get(endpoint);
    if (there?.namespace !== namespace || !hns.namespaces.has(namespace)) wrong.push(`${who} is not in HCN`);
    if (there && there.ip !== ip) wrong.push(`${who} has ${there.ip} in HCN, not ${ip}`);
    const lease = store.leases.get(ip);
    if (lease?.owner !== `container:${containerId}` || lease.pool !== pool) wrong.push(`${who} has no lease`);
  }
  for (const id of hns.endpoints.keys()) {
    if (!store.containerEndpoints.has(id)) wrong.push(`endpoint ${id} leaked`);
  }
  for (const id of hns.namespaces.keys()) {
    if (id !== HOST_DEFAULT && !records.some(({ namespace }) => namespace === id)) {
      wrong.push(`namespace ${id} leaked`);
    }
  }
  for (const { ip, owner } of store.leases.values()) {
    const isHeld = records.some((one) => one.ip === ip && `container:${one.containerId}` === owner);
    if (owner.startsWith("container:") && !isHeld) wrong.push(`lease ${ip} of ${owner} leaked`);
  }
  wrong.push(...auditNetworks(rig), ...rig.library.problems());
  for (const { name, phase } of store.services.values()) {
    if (phase !== "ready") wrong.push(`${name} is still ${phase}`);
  }
  return wrong;
}

/** Networks that no service has, and services that have none. */
function auditNetworks({ store, hns, networks }: ContainerRig): string[] {
  const wanted = new Map([[BASE, "base"]]);
  for (const { name, dedicated } of store.services.values()) {
    if (dedicated) wanted.set(networkName({ deployment: DEPLOYMENT, service: name }), `service:${name}`);
  }
  const wrong = [...hns.networks.values()].filter(({ name }) => !wanted.has(name))
    .map(({ name }) => `network ${name} leaked`);
  for (const { owner, kind } of networks) {
    if (kind.startsWith("hcn") && ![...wanted.values()].includes(owner)) {
      wrong.push(`marker entry ${owner} leaked`);
    }
  }
  return wrong;
}
