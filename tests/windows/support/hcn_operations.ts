/** Operations that the tests interrupt, and what has to be so when they were answered. */
import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { readContainerPlaces } from "../../../core/operator/host_settings.ts";
import { BASE, DEPLOYMENT, SLICE } from "../../support/container_rig.ts";
import { auditHcn } from "./hcn_audit.ts";
import type { ChannelPool } from "./channel_pool.ts";
import { DEFAULT_NAMESPACE_ID, NAMESPACE_DOCUMENT, networkDocument } from "./hcn_examples.ts";
import { HcnNode, leftOf } from "./hcn_node.ts";

/** One of them. */
export interface HcnOperation {
  readonly name: string;
  /** Whether the node has its overlay before; it has unless that is part of the operation. */
  readonly isSetUp?: boolean;
  /** Whether a process that starts does all of it, before it is asked for anything. */
  readonly isStart?: boolean;
  readonly prepare: (node: HcnNode) => Promise<unknown>;
  readonly run: (node: HcnNode) => Promise<unknown>;
  readonly promised: (node: HcnNode) => void;
  /** What is done after trouble; by default what a node does by itself. */
  readonly recover?: (node: HcnNode) => Promise<unknown>;
  /** What is wrong then; by default {@linkcode auditHcn}. */
  readonly audit?: (node: HcnNode) => string[];
}

function containers(node: HcnNode): string[] {
  return [...node.rig.store.containerEndpoints.values()].map(({ containerId, ip }) => `${containerId} ${ip}`)
    .sort();
}

const BYSTANDER = "bystander 10.200.0.9";
const DB = "zlayer-overlay-svc-db";

/** A container on the node's network, and one on that of a dedicated service. */
async function withService(node: HcnNode): Promise<void> {
  await node.attach("bystander", "10.200.0.9");
  await node.engine.setupServiceOverlay("db", "dedicated");
  await node.attach("c1", undefined, "db");
}

/** What an earlier daemon left: a network and a container on it, of which nobody here has a record. */
function plantInheritance({ fake }: HcnNode): void {
  const [network, id, home] = [0, 1, 2].map((n) => `f0000000-0000-4000-8000-00000000000${n}`);
  const subnet = {
    IpAddressPrefix: SLICE,
    Routes: [{ NextHop: "10.200.0.1", DestinationPrefix: "0.0.0.0/0" }],
  };
  const document = networkDocument({ Name: BASE, Ipams: [{ Type: "Static", Subnets: [subnet] }] });
  fake.request("put", { kind: "network", object: { id: network, document } });
  const endpoint = { id, network, ip: "10.200.0.7", document: { Name: `${DEPLOYMENT}-old` } };
  fake.request("put", { kind: "endpoint", object: endpoint });
  const namespace = { id: home, document: NAMESPACE_DOCUMENT, resources: [{ type: "Endpoint", id }] };
  fake.request("put", { kind: "namespace", object: namespace });
}

/** An endpoint in no namespace, as a crash between two calls leaves it, that one look has seen. */
async function plantStray(node: HcnNode): Promise<void> {
  await node.attach("bystander", "10.200.0.9");
  const [network] = node.state().networks;
  const id = "f0000000-0000-4000-8000-000000000003";
  const object = { id, network: network!.id, ip: "10.200.0.8", document: { Name: `${DEPLOYMENT}-stray` } };
  node.fake.request("put", { kind: "endpoint", object });
  await node.engine.sweepContainers();
}

/** What is left of a deployment that is to be gone. */
function auditPurged(node: HcnNode): string[] {
  const { networks, endpoints, namespaces } = node.state();
  const left = [...networks, ...endpoints, ...namespaces].filter(({ id }) => id !== DEFAULT_NAMESPACE_ID);
  return [...left.map(({ id, document }) => `${document?.Name ?? id} is left`), ...leftOf(node.fake)];
}

/** As `purge` does it, which knows the containers by the database of the daemon that it has stopped. */
async function purge({ backend, rig }: HcnNode): Promise<void> {
  const places = await readContainerPlaces(join(rig.dataDir, "overlayd.db"));
  const failures = await backend.containers.purge(DEPLOYMENT, places);
  if (failures.length > 0) throw new Error(failures.join("; "));
}

const OPERATIONS: readonly HcnOperation[] = [
  {
    name: "first attach",
    prepare: async () => {},
    run: (node) => node.attach("c1", "10.200.0.5"),
    promised: (node) => assertEquals(containers(node), ["c1 10.200.0.5"]),
  },
  {
    name: "attach",
    prepare: (node) => node.attach("bystander", "10.200.0.9"),
    run: (node) => node.attach("c1", "10.200.0.5"),
    promised: (node) => assertEquals(containers(node), [BYSTANDER, "c1 10.200.0.5"]),
  },
  {
    name: "detach",
    prepare: async (node) => {
      await node.attach("bystander", "10.200.0.9");
      await node.attach("c1", "10.200.0.5");
    },
    run: (node) => node.detach("c1"),
    promised: (node) => assertEquals(containers(node), [BYSTANDER]),
  },
  {
    name: "first set-up",
    isSetUp: false,
    prepare: (node) => Promise.resolve(plantInheritance(node)),
    run: (node) => node.setUp(),
    promised: (node) => assertEquals(containers(node), ["old 10.200.0.7"]),
  },
  {
    name: "set-up of a dedicated service",
    prepare: (node) => node.attach("bystander", "10.200.0.9"),
    run: (node) => node.engine.setupServiceOverlay("db", "dedicated"),
    promised: (node) => {
      assertEquals(node.rig.store.services.get("db")?.phase, "ready");
      assertEquals(node.state().networks.map(({ document }) => document?.Name).sort(), [BASE, DB]);
    },
  },
  {
    name: "teardown of a dedicated service",
    prepare: withService,
    run: (node) => node.engine.teardownServiceOverlay("db"),
    promised: (node) => {
      assertEquals([node.rig.store.services.size, containers(node)], [0, [BYSTANDER]]);
      assertEquals(node.state().networks.map(({ document }) => document?.Name), [BASE]);
    },
  },
  {
    name: "collection",
    isStart: true,
    prepare: plantStray,
    run: (node) => node.engine.sweepContainers(),
    promised: (node) => assertEquals(containers(node), [BYSTANDER]),
  },
  {
    name: "purge",
    prepare: async (node) => {
      await node.engine.setupServiceOverlay("db", "dedicated");
      await node.attach("c1", "10.200.0.5");
      await node.engine.stop();
    },
    run: purge,
    promised: (node) => assertEquals(auditPurged(node), []),
    recover: async (node) => {
      // An engine that runs makes again what is purged under it.
      await node.engine.stop();
      await node.drive(purge(node));
    },
    audit: auditPurged,
  },
];

/** By name, since a child process is told which. */
export const HCN_OPERATIONS: Readonly<Record<string, HcnOperation>> = Object.fromEntries(
  OPERATIONS.map((operation) => [operation.name, operation]),
);

/** A node on which the operation can be done. */
export async function preparedNode(
  { isSetUp = true, prepare }: HcnOperation,
  pool?: ChannelPool,
): Promise<HcnNode> {
  const node = await HcnNode.start({ isSetUp, ...(pool ? { pool } : {}) });
  await prepare(node);
  return node;
}

/** Functions that the operation calls when nothing is wrong. @param options `isRestarted`: in another process. */
export async function callsOf(
  operation: HcnOperation,
  { isRestarted = false }: { readonly isRestarted?: boolean } = {},
): Promise<string[]> {
  await using node = await preparedNode(operation);
  let before = node.fake.calls().length;
  if (isRestarted) await node.restart();
  if (!isRestarted || !operation.isStart) {
    before = node.fake.calls().length;
    await operation.run(node);
  }
  operation.promised(node);
  assertEquals(auditOf(operation, node), []);
  return node.fake.calls().slice(before);
}

/** What is done after trouble. */
export async function recoverFrom({ recover }: HcnOperation, node: HcnNode): Promise<void> {
  await (recover?.(node) ?? node.recover());
}

/** Everything wrong after that; empty when all is well. */
export function auditOf({ audit = auditHcn }: HcnOperation, node: HcnNode): string[] {
  return audit(node);
}
