/**
 * Compares what a daemon tells with what the kernel has, on the host and in the containers.
 *
 * The kernel's side comes from `ip -json`, never from the daemon, so that a leak shows whatever the records say.
 */
import type { DetailedStatus, HasPid, OverlayNode } from "./overlay_node.ts";
import type { IpObject, NetworkPlace } from "./test_netns.ts";

/** A container that lives now, attached or not. */
export type LivingContainer = NetworkPlace & HasPid;

/**
 * Everything wrong with a node at rest; empty when all is well.
 *
 * @param containers Every living container that was ever attached to the node.
 */
export async function auditNode(
  node: OverlayNode,
  containers: readonly LivingContainer[],
): Promise<string[]> {
  const status = await node.status();
  const inside = await Promise.all(containers.map((container) => auditContainer(container, status)));
  return [
    ...auditStates(status),
    ...auditHostLinks(status, await node.ownLinks()),
    ...await auditGateways(status, node),
    ...auditLeases(status),
    ...inside.flat(),
  ];
}

function auditStates({ detail }: DetailedStatus): string[] {
  const objects: { readonly name: string; readonly state: string; readonly problem?: string }[] = [
    ...(detail.global ? [{ ...detail.global, name: "global" }] : []),
    ...detail.services.map((service) => ({ ...service, name: `service ${service.name}` })),
    ...detail.attachments.map((attachment) => ({ ...attachment, name: attachment.handle })),
  ];
  return [
    ...detail.pending.map((text) => `pending: ${text}`),
    ...objects.filter(({ state }) => state !== "ready").map(({ name, state, problem }) =>
      `${name} is ${state}: ${problem ?? "no reason given"}`
    ),
  ];
}

/** Links that have to be there, with the bridge they are ports of. */
function expectedLinks(status: DetailedStatus): Map<string, string | undefined> {
  const { detail } = status;
  const bridges = new Map(detail.services.map(({ name, bridge }) => [name, bridge]));
  const links = new Map<string, string | undefined>();
  if (status.interface !== undefined) links.set(status.interface, undefined);
  for (const device of status.dedicatedServices) links.set(device.interface, undefined);
  for (const bridge of bridges.values()) links.set(bridge, undefined);
  for (const { service, hostLinks } of detail.attachments) {
    hostLinks.forEach((name, i) => links.set(name, i === 0 ? bridges.get(service) : undefined));
  }
  return links;
}

function auditHostLinks(status: DetailedStatus, links: readonly IpObject[]): string[] {
  const expected = expectedLinks(status);
  const present = new Map(links.map((link) => [link.ifname as string, link]));
  const wrong = [...present.keys()].filter((name) => !expected.has(name)).map((name) =>
    `link ${name} leaked`
  );
  for (const [name, bridge] of expected) {
    const link = present.get(name);
    if (!link) wrong.push(`link ${name} is missing`);
    else if (!link.flags.includes("UP")) wrong.push(`link ${name} is down`);
    else if (link.master !== bridge) wrong.push(`link ${name} is a port of ${link.master}, not ${bridge}`);
  }
  return wrong;
}

async function auditGateways({ detail }: DetailedStatus, { host }: OverlayNode): Promise<string[]> {
  const wrong: string[] = [];
  for (const { name, bridge, gateway, subnet } of detail.services) {
    if (await host.link(bridge) === undefined) continue; // reported as missing
    const want = `${gateway}/${subnet.split("/")[1]}`;
    const have = await host.addresses(bridge);
    if (have.join() !== want) wrong.push(`bridge ${bridge} of ${name} has ${have.join()}, not ${want}`);
  }
  return wrong;
}

function auditLeases({ detail }: DetailedStatus): string[] {
  const handles = new Map(detail.attachments.map((attachment) => [attachment.handle, attachment]));
  const taken = new Map<string, string>();
  const wrong: string[] = [];
  const take = (ip: string, by: string): void => {
    const other = taken.get(ip);
    if (other !== undefined) wrong.push(`${ip} is given to ${other} and to ${by}`);
    taken.set(ip, by);
  };
  for (const { name, gateway } of detail.services) take(gateway, `the gateway of ${name}`);
  for (const { ip, owner } of detail.leases) {
    take(ip, owner);
    if (owner.startsWith("pid:") && !handles.has(owner)) wrong.push(`lease ${ip} of ${owner} leaked`);
  }
  for (const { handle, ip, globalIp } of handles.values()) {
    for (const address of [ip, ...(globalIp === undefined ? [] : [globalIp])]) {
      if (taken.get(address) !== handle) wrong.push(`${address} of ${handle} is not leased to it`);
    }
  }
  return wrong;
}

/** A container has exactly the addresses that the status says, and none when it is not attached. */
async function auditContainer(container: LivingContainer, { detail }: DetailedStatus): Promise<string[]> {
  const handle = `pid:${container.pid}`;
  const attachment = detail.attachments.find((one) => one.handle === handle);
  const want = [attachment?.ip, attachment?.globalIp].filter((ip) => ip !== undefined);
  const links = (await container.ip("address", "show")).filter(({ ifname }) => ifname !== "lo");
  const have = links.flatMap(({ addr_info }) =>
    (addr_info as IpObject[]).filter(({ scope }) => scope !== "link").map(({ local }) => local as string)
  );
  const wrong: string[] = [];
  if (have.sort().join() !== want.sort().join()) {
    wrong.push(`${handle} has ${have.join() || "no address"}, status says ${want.join() || "none"}`);
  }
  const names = links.map(({ ifname }) => ifname as string);
  if (names.length !== want.length) wrong.push(`${handle} has links ${names.join() || "none"}`);
  for (const { ifname, flags } of links) {
    if (!flags.includes("UP")) wrong.push(`${handle}: ${ifname} is down`);
  }
  return wrong;
}
