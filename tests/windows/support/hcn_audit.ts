/** Everything wrong between the records of a node and the fake HNS; empty when all is well. */
import { BASE } from "../../support/container_rig.ts";
import { DEFAULT_NAMESPACE_ID } from "./hcn_examples.ts";
import { type HcnNode, type HnsState, leftOf } from "./hcn_node.ts";

/** See the module. */
export function auditHcn(node: HcnNode): string[] {
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
  wrong.push(...auditNetworks(node));
  for (const { ip, owner } of store.leases.values()) {
    const isHeld = records.some((one) => one.ip === ip && owner === `container:${one.containerId}`);
    if (owner.startsWith("container:") && !isHeld) wrong.push(`lease ${ip} of ${owner} leaked`);
  }
  return [...wrong, ...leftOf(node.fake)];
}

/** Networks that no service has, services without one, and entries in the marker of neither. */
function auditNetworks(node: HcnNode): string[] {
  const services = [...node.rig.store.services.values()];
  const wanted = new Map(
    services.filter(({ dedicated }) => dedicated).map((
      { name },
    ) => [`${BASE}-svc-${name}`, `service:${name}`]),
  );
  const names = node.state().networks.map(({ document }) => document?.Name ?? "");
  const isKnown = (owner: string): boolean => owner === "base" || [...wanted.values()].includes(owner);
  return [
    ...names.filter((name) => name !== BASE && !wanted.has(name)).map((name) => `network ${name} leaked`),
    ...[...wanted.keys()].filter((name) => !names.includes(name)).map((name) =>
      `network ${name} is not there`
    ),
    ...services.filter(({ phase }) => phase !== "ready").map(({ name, phase }) =>
      `${name} is still ${phase}`
    ),
    ...node.marker.filter(({ owner }) => !isKnown(owner)).map(({ owner }) => `marker entry ${owner} leaked`),
  ];
}

function isIn({ namespaces }: HnsState, namespace: string, endpoint: string): boolean {
  const resources = namespaces.find(({ id }) => id === namespace)?.resources ?? [];
  return resources.some(({ id }) => id.toLowerCase() === endpoint);
}
