/** What containers see: packets inside a service, across services, to the host and into the overlay. */

import { assert, assertEquals } from "@std/assert";
import type { ContainerLinkSpec, ServiceNetworkSpec } from "../../../core/backend/backend.ts";
import { LinuxBackend } from "../../../core/backend/linux.ts";
import { parseIp } from "../../../core/ip/address.ts";
import { formatPrefix, type IpPrefix, parsePrefix } from "../../../core/ip/prefix.ts";
import { SILENT_LOG } from "../../../core/log.ts";
import { LeakAudit } from "../../support/leak_audit.ts";
import { Container, HERE } from "../../support/test_netns.ts";
import { waitFor } from "../../support/wait_for.ts";

const TAG = "zlayer-overlayd/data/0123456789abcdef:";

function network(name: string, gateway: string): ServiceNetworkSpec {
  return { name, tag: `${TAG}${name}`, gateway: parsePrefix(gateway)!, mtuBytes: 1420 };
}

function bridged(
  hostName: string,
  bridge: ServiceNetworkSpec,
  address: string,
  last: number,
): ContainerLinkSpec {
  return {
    hostName,
    tag: `${TAG}${hostName}`,
    containerName: "eth0",
    mac: Uint8Array.of(2, 0, 0, 0, 0, last),
    address: parsePrefix(address)!,
    mtuBytes: 1420,
    uplink: { kind: "bridge", bridge: bridge.name, gateway: bridge.gateway.address },
  };
}

/** A backend, bridges and containers that are gone at the end, and a check that they are. */
class DataPathRig implements AsyncDisposable {
  readonly #audit: LeakAudit;
  readonly backend: LinuxBackend;
  readonly #networks: ServiceNetworkSpec[] = [];
  readonly #links: ContainerLinkSpec[] = [];
  readonly #containers: Container[] = [];

  private constructor(audit: LeakAudit, backend: LinuxBackend) {
    this.#audit = audit;
    this.backend = backend;
  }

  static async open(): Promise<DataPathRig> {
    return new DataPathRig(await LeakAudit.begin(), await LinuxBackend.open(SILENT_LOG));
  }

  async network(name: string, gateway: string): Promise<ServiceNetworkSpec> {
    const spec = network(name, gateway);
    await this.backend.ensureServiceNetwork(spec);
    this.#networks.push(spec);
    return spec;
  }

  async container(...links: ContainerLinkSpec[]): Promise<Container> {
    const container = await Container.start();
    this.#containers.push(container);
    const netns = await this.backend.identify(container.pid);
    await this.backend.attachContainer({ netns, links });
    this.#links.push(...links);
    return container;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.backend.removeContainerLinks(this.#links);
    for (const container of this.#containers) await container.kill();
    for (const { name, tag } of this.#networks) await this.backend.removeServiceNetwork(name, tag);
    await this.backend.restoreHostSettings(this.backend.changedHostSettings());
    this.backend.close();
    await this.#audit.assertNoLeaks();
  }
}

for (
  const { family, gateways, addresses } of [
    {
      family: "IPv4",
      gateways: ["10.213.1.1/28", "10.213.2.1/28"],
      addresses: ["10.213.1.2/28", "10.213.1.3/28", "10.213.2.2/28"],
    },
    {
      family: "IPv6",
      gateways: ["fd00:213:1::1/120", "fd00:213:2::1/120"],
      addresses: ["fd00:213:1::2/120", "fd00:213:1::3/120", "fd00:213:2::2/120"],
    },
  ] as const
) {
  Deno.test(`${family}: containers reach each other, other services and their gateways at once`, async () => {
    await using rig = await DataPathRig.open();
    const web = await rig.network("ztweb", gateways[0]);
    const db = await rig.network("ztdb", gateways[1]);
    const a = await rig.container(bridged("zta", web, addresses[0], 2));
    const b = await rig.container(bridged("ztb", web, addresses[1], 3));
    const c = await rig.container(bridged("ztc", db, addresses[2], 4));
    // The first packet counts: nothing waits for duplicate detection or for a bridge port to learn.
    assert(await a.ping(bare(addresses[2])), "across services");
    assert(await a.ping(bare(addresses[1])), "inside a service");
    assert(await a.ping(bare(gateways[0])), "to the gateway");
    assert(await c.ping(bare(gateways[0])), "to another service's gateway");
    assert(await b.ping("127.0.0.1"), "lo is up");
    const overhead = family === "IPv4" ? 28 : 48;
    assert(await a.ping(bare(addresses[2]), { size: 1420 - overhead }), "a full packet");
  });
}

function bare(prefix: string): string {
  return prefix.split("/")[0]!;
}

Deno.test("a routed link reaches the node's overlay address and what is behind it, and back", async () => {
  await using rig = await DataPathRig.open();
  // Stands for the WireGuard device: its address is the gateway, and another node lies behind it.
  const cluster = await rig.network("ztcluster", "10.214.0.1/16");
  const cluster6 = await rig.network("ztcluster6", "fd00:214::1/48");
  const node = await rig.container(bridged("ztnode", cluster, "10.214.9.9/16", 9));
  const node6 = await rig.container(bridged("ztnode6", cluster6, "fd00:214:0:9::9/48", 9));
  const web = await rig.network("ztweb", "10.213.1.1/28");
  const eth1 = (name: string, gateway: string, address: string, route: string): ContainerLinkSpec => ({
    ...bridged(name, web, address, 7),
    containerName: name === "zteth1" ? "eth1" : "eth2",
    uplink: { kind: "routed", gateway: parseIp(gateway)!, routes: [parsePrefix(route)!] },
  });
  const a = await rig.container(
    bridged("zta", web, "10.213.1.2/28", 2),
    eth1("zteth1", "10.214.0.1", "10.214.0.7/32", "10.214.0.0/16"),
    eth1("zteth2", "fd00:214::1", "fd00:214::7/128", "fd00:214::/48"),
  );
  for (const target of ["10.214.0.1", "10.214.9.9", "fd00:214::1", "fd00:214:0:9::9"]) {
    // The node answers over its gateway, which routes the address to the host end.
    await pinRoute(target, node, node6);
    assert(await a.ping(target), target);
  }
  assert(await HERE.ping("10.214.0.7") && await HERE.ping("fd00:214::7"), "from the host");
  assert(await node.ping("10.214.0.7") && await node6.ping("fd00:214::7"), "from another node");
  const [route] = await a.ip("route", "get", "10.214.9.9");
  assertEquals([route?.dev, route?.prefsrc], ["eth1", "10.214.0.7"]);
});

Deno.test("a container reaches an address of its own subnet that lies elsewhere, as a guest's does", async () => {
  await using rig = await DataPathRig.open();
  const web = await rig.network("ztweb", "10.213.1.1/28");
  const a = await rig.container(bridged("zta", web, "10.213.1.2/28", 2));
  // Stands for a VM guest: an address of the service's, which the host routes by another link.
  const guest = await rig.container({
    ...bridged("ztguest", web, "10.213.1.9/32", 9),
    uplink: { kind: "routed", gateway: parseIp("10.213.1.1")!, routes: [parsePrefix("10.213.1.0/28")!] },
  });
  // The kernel puts its answer for another off by up to 0.8 s (proxy_delay).
  await waitFor("an answer to the guest", () => guest.ping("10.213.1.2"));
  assert(await a.ping("10.213.1.9"), "to the guest");
  assert(!await a.ping("10.213.1.5"), "an address that nobody has answers");
});

/** In the rig's cluster the address is on the other node's link; a real node would send it into the tunnel. */
async function pinRoute(target: string, node: Container, node6: Container): Promise<void> {
  if (target === "10.214.9.9") {
    await node.must(["ip", "route", "replace", "10.214.0.7/32", "via", "10.214.0.1"]);
  }
  if (target === "fd00:214:0:9::9") {
    await node6.must(["ip", "-6", "route", "replace", "fd00:214::7/128", "via", "fd00:214::1"]);
  }
}

Deno.test("the gateway's hardware address stays as ports come and go, and when the bridge is made anew", async () => {
  await using rig = await DataPathRig.open();
  const web = await rig.network("ztweb", "10.213.1.1/28");
  const mac = (await HERE.link("ztweb"))?.address;
  assertEquals(mac, "02:7a:0a:d5:01:01");
  await rig.container(bridged("zta", web, "10.213.1.2/28", 2));
  assertEquals((await HERE.link("ztweb"))?.address, mac);
  await HERE.must(["ip", "link", "del", "ztweb"]);
  await rig.backend.ensureServiceNetwork(web);
  assertEquals((await HERE.link("ztweb"))?.address, mac);
});

Deno.test("a flow goes on after its bridge was deleted by hand and mended", async () => {
  await using rig = await DataPathRig.open();
  const web = await rig.network("ztweb", "10.213.1.1/28");
  const [one, two] = [bridged("zta", web, "10.213.1.2/28", 2), bridged("ztb", web, "10.213.1.3/28", 3)];
  const a = await rig.container(one);
  await rig.container(two);
  await HERE.must(["ip", "link", "del", "ztweb"]);
  assert(!await a.ping("10.213.1.3"));
  await rig.backend.ensureServiceNetwork(web);
  for (const link of [one, two]) assert(await rig.backend.mendContainerLink(link));
  await waitFor("ping after mending", () => a.ping("10.213.1.3"));
});

Deno.test("a bridge keeps its MTU without ports, and ports have it", async () => {
  await using rig = await DataPathRig.open();
  const web = await rig.network("ztweb", "10.213.1.1/28");
  const link = bridged("zta", web, "10.213.1.2/28", 2);
  const a = await rig.container(link);
  assertEquals((await a.link("eth0"))?.mtu, 1420);
  await rig.backend.removeContainerLinks([link]);
  assertEquals((await HERE.link("ztweb"))?.mtu, 1420);
});

Deno.test("host ends and IPv4 bridges make no IPv6 address of their own", async () => {
  await using rig = await DataPathRig.open();
  const web = await rig.network("ztweb", "10.213.1.1/28");
  await rig.container(bridged("zta", web, "10.213.1.2/28", 2));
  for (const name of ["ztweb", "zta"]) {
    const [link] = await HERE.ip("-6", "address", "show", "dev", name);
    assertEquals(link?.addr_info ?? [], [], name);
  }
});

Deno.test("inventory tells addresses as they are on the links", async () => {
  await using rig = await DataPathRig.open();
  await rig.network("ztweb", "fd00:213:1::1/120");
  const entry = (await rig.backend.inventory()).find(({ name }) => name === "ztweb");
  const texts = (entry?.addresses as readonly IpPrefix[]).map(formatPrefix);
  assert(texts.includes("fd00:213:1::1/120"), `${texts}`);
});
