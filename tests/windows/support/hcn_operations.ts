/** Operations that the tests interrupt, and what has to be so when they were answered. */
import { assertEquals } from "@std/assert";
import type { HcnNode } from "./hcn_node.ts";

/** One of them. */
export interface HcnOperation {
  readonly name: string;
  readonly prepare: (node: HcnNode) => Promise<unknown>;
  readonly run: (node: HcnNode) => Promise<unknown>;
  readonly promised: (node: HcnNode) => void;
}

function containers(node: HcnNode): string[] {
  return [...node.rig.store.containerEndpoints.values()].map(({ containerId, ip }) => `${containerId} ${ip}`)
    .sort();
}

const BYSTANDER = "bystander 10.200.0.9";

/** By name, since a child process is told which. */
export const HCN_OPERATIONS: Readonly<Record<string, HcnOperation>> = {
  "first attach": {
    name: "first attach",
    prepare: async () => {},
    run: (node) => node.attach("c1", "10.200.0.5"),
    promised: (node) => assertEquals(containers(node), ["c1 10.200.0.5"]),
  },
  attach: {
    name: "attach",
    prepare: (node) => node.attach("bystander", "10.200.0.9"),
    run: (node) => node.attach("c1", "10.200.0.5"),
    promised: (node) => assertEquals(containers(node), [BYSTANDER, "c1 10.200.0.5"]),
  },
  detach: {
    name: "detach",
    prepare: async (node) => {
      await node.attach("bystander", "10.200.0.9");
      await node.attach("c1", "10.200.0.5");
    },
    run: (node) => node.detach("c1"),
    promised: (node) => assertEquals(containers(node), [BYSTANDER]),
  },
};
