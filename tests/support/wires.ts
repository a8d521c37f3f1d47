/** Cables between namespaces: veth pairs with fixed addresses. */
import type { NamedNetns } from "./test_netns.ts";

/** One end of a cable. */
export interface Plug {
  readonly place: NamedNetns;
  /** Name of the link, unique in its namespace. */
  readonly link: string;
  /** Such as `10.1.0.1/24`, IPv6 ones without duplicate address detection. */
  readonly addresses: readonly string[];
}

/** Joins two namespaces; both ends are up. The cable goes with either namespace. */
export async function wire(
  a: Plug,
  b: Plug,
  options: { readonly mtuBytes?: number } = {},
): Promise<void> {
  const peer = ["peer", "name", b.link, "netns", b.place.name];
  await a.place.must(["ip", "link", "add", a.link, "type", "veth", ...peer]);
  for (const { place, link, addresses } of [a, b]) {
    // A router asks for neighbours from its link-local address, which has to be good at once.
    await sysctl(place, `net/ipv6/conf/${link}/accept_dad`, 0);
    if (options.mtuBytes !== undefined) {
      await place.must(["ip", "link", "set", link, "mtu", String(options.mtuBytes)]);
    }
    for (const address of addresses) await addAddress(place, link, address);
  }
  for (const { place, link } of [a, b]) await place.must(["ip", "link", "set", link, "up"]);
}

/** Gives a link an address that can be used at once. */
export async function addAddress(place: NamedNetns, link: string, address: string): Promise<void> {
  const nodad = address.includes(":") ? ["nodad"] : [];
  await place.must(["ip", "address", "add", address, "dev", link, ...nodad]);
}

/** Sets a kernel setting of a namespace, named with slashes as under /proc/sys. */
export async function sysctl(place: NamedNetns, name: string, value: number): Promise<void> {
  await place.must(["sh", "-c", `echo ${value} > /proc/sys/${name}`]);
}

/** Makes a namespace pass packets of both families on. */
export async function forward(place: NamedNetns): Promise<void> {
  await sysctl(place, "net/ipv4/ip_forward", 1);
  await sysctl(place, "net/ipv6/conf/all/forwarding", 1);
}
