/** Everything wrong between the records of a node and the fake HNS; empty when all is well. */
import { BASE } from "../../support/container_rig.ts";
import { DEFAULT_NAMESPACE_ID } from "./hcn_examples.ts";
import type { HcnNode, HnsState } from "./hcn_node.ts";

/** See the module. @param networks Names of those that may be there besides the base network. */
export function auditHcn(node: HcnNode, networks: readonly string[] = []): string[] {
  const { store } = node.rig;
  const state = node.state();
  const records = [...store.containerEndpoints.values()];
  const known = new Set(records.flatMap(({ endpoint, namespace }) => [endpoint, namespace]));
  known.add(DEFAULT_NAMESPACE_ID);
  const wrong = records.flatMap((record) => {
    const who = `container ${record.containerId}`;
    const there = state.endpoints.find(({ id }) => id === record.endpoint);
    const lease = store.leases.get(record.ip);
    return [
      ...(record.phase === "ready" ? [] : [`${who} is still ${record.phase}`]),
      ...(there?.ip === record.ip && isIn(state, record.namespace, record.endpoint)
        ? []
        : [`${who} is not there`]),
      ...(lease?.owner === `container:${record.containerId}` ? [] : [`${who} has no lease`]),
    ];
  });
  for (const kind of ["endpoints", "namespaces"] as const) {
    wrong.push(...state[kind].filter(({ id }) => !known.has(id)).map(({ id }) => `${kind}: ${id} leaked`));
  }
  for (const { document } of state.networks) {
    const name = document?.Name ?? "";
    if (name !== BASE && !networks.includes(name)) wrong.push(`network ${name} leaked`);
  }
  for (const { ip, owner } of store.leases.values()) {
    const isHeld = records.some((one) => one.ip === ip && owner === `container:${one.containerId}`);
    if (owner.startsWith("container:") && !isHeld) wrong.push(`lease ${ip} of ${owner} leaked`);
  }
  return [...wrong, ...auditMemory(node)];
}

/** Handles and strings that are not given back, and rules of the library that were broken. */
export function auditMemory({ fake }: HcnNode): string[] {
  const kept = Object.entries(fake.counters()).filter(([name, value]) =>
    /Open$|Kept$|^inFlight$|^hanging$/.test(name) && value !== 0
  );
  return [...kept.map(([name, value]) => `${name} ${value}`), ...fake.violations()];
}

function isIn({ namespaces }: HnsState, namespace: string, endpoint: string): boolean {
  const resources = namespaces.find(({ id }) => id === namespace)?.resources ?? [];
  return resources.some(({ id }) => id.toLowerCase() === endpoint);
}
