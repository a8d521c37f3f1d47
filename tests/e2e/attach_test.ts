/** Containers attached by pid to the real daemon: what they get, whom they reach, how they go. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { parsePrefix, prefixContains } from "../../core/ip/prefix.ts";
import { parseIp } from "../../core/ip/address.ts";
import { LeakAudit } from "../support/leak_audit.ts";
import { auditNode } from "../support/node_audit.ts";
import { OCI_PROGRAMS, OciContainer } from "../support/oci_container.ts";
import { globalRequest } from "../support/engine_rig.ts";
import { OverlayNode } from "../support/overlay_node.ts";
import { Container, needing } from "../support/test_netns.ts";
import { waitFor } from "../support/wait_for.ts";

const MTU_BYTES = 1420;

Deno.test({
  ...needing(
    OCI_PROGRAMS,
    "an OCI container gets eth0 with address, route, MTU and hardware address, and loses it",
  ),
  fn: async () => {
    await using _audit = await LeakAudit.begin();
    await using node = await OverlayNode.start();
    await using container = await OciContainer.start();
    const { name: bridge, mode } = await node.client.setupServiceOverlay("web", "auto");
    assertEquals(mode, "shared");
    const ip = await node.attach(container, "web");

    const [service] = (await node.status()).detail.services;
    assert(prefixContains(parsePrefix(service!.subnet)!, parseIp(ip)!), `${ip} is not in ${service!.subnet}`);
    assertEquals(await container.addresses("eth0"), [`${ip}/28`]);
    const eth0 = await container.link("eth0");
    assertEquals({ mtu: eth0?.mtu, up: eth0?.flags.includes("UP") }, { mtu: MTU_BYTES, up: true });
    assertEquals(eth0?.address, hardwareAddress(ip));
    assert((await container.link("lo"))?.flags.includes("UP"), "lo is down");
    const [route, ...others] = await container.ip("route", "show", "default");
    assertEquals([route?.gateway, route?.dev, others], [service!.gateway, "eth0", []]);
    const [hostLink] = await node.host.ip("link", "show", "type", "veth");
    assertEquals({ master: hostLink?.master, mtu: hostLink?.mtu }, { master: bridge, mtu: MTU_BYTES });
    assertStringIncludes(
      await container.exec("ping", "-c", "1", "-W", "1", service!.gateway),
      "1 packets received",
    );
    assert(await container.ping(service!.gateway, { size: MTU_BYTES - 28 }), "a packet of full size is lost");
    assertEquals(await auditNode(node, [container]), []);

    await node.detach(container);
    assertEquals((await container.links()).map(({ ifname }) => ifname), ["lo"]);
    assertEquals(await auditNode(node, [container]), []);
    await node.client.teardownServiceOverlay("web");
    assertEquals(await node.ownLinkNames(), []);
  },
});

/** The address that an IPv4 lease gives its link: an address handed out again has a familiar one. */
function hardwareAddress(ip: string): string {
  const bytes = ip.split(".").map(Number);
  return ["02", "7a", ...bytes.map((byte) => byte.toString(16).padStart(2, "0"))].join(":");
}

for (
  const { family, clusterCidr, length } of [
    { family: "IPv4", clusterCidr: "10.200.0.0/16", length: 28 },
    { family: "IPv6", clusterCidr: "fd00:200::/48", length: 120 },
  ]
) {
  Deno.test(`containers ping within a service and across services over ${family}`, async () => {
    await using _audit = await LeakAudit.begin();
    await using node = await OverlayNode.start();
    await using a = await Container.start();
    await using b = await Container.start();
    await using c = await Container.start();
    // Without WireGuard this fails, and yet tells the cluster's range.
    await node.client.setupGlobalOverlay(globalRequest({ clusterCidr })).catch(() => {});
    await node.client.setupServiceOverlay("web", "shared");
    await node.client.setupServiceOverlay("db", "shared");
    const [ipA, ipB, ipC] = await Promise.all([
      node.attach(a, "web"),
      node.attach(b, "web"),
      node.attach(c, "db"),
    ]);
    assertEquals(await a.addresses("eth0"), [`${ipA}/${length}`]);
    assert(prefixContains(parsePrefix(clusterCidr)!, parseIp(ipC)!), `${ipC} is not in ${clusterCidr}`);
    // The first request, too, has to be answered: no neighbour discovery or address detection holds it up.
    assert(await a.ping(ipB), "not within the service");
    assert(await a.ping(ipC), "not across services");
    assert(await c.ping(ipA), "not back");
    assertEquals(await auditNode(node, [a, b, c]), []);
    await node.client.teardownServiceOverlay("web");
    await node.client.teardownServiceOverlay("db");
    await node.client.teardownGlobalOverlay();
    assertEquals(await node.ownLinkNames(), []);
  });
}

Deno.test("attaching a pid again gives the same address and touches nothing; another service is refused", async () => {
  await using _audit = await LeakAudit.begin();
  await using node = await OverlayNode.start();
  await using container = await Container.start();
  await node.client.setupServiceOverlay("web", "shared");
  await node.client.setupServiceOverlay("db", "shared");
  const ip = await node.attach(container, "web");
  const before = await container.link("eth0");
  assertEquals(await node.attach(container, "web"), ip);
  assertEquals((await container.link("eth0"))?.ifindex, before?.ifindex);
  await assertRejects(() => node.attach(container, "db"), Error, "already attached to service web");
  assertEquals(await auditNode(node, [container]), []);
});

Deno.test("a second process of an attached namespace is refused", async () => {
  await using _audit = await LeakAudit.begin();
  await using node = await OverlayNode.start();
  await using container = await Container.start();
  await node.client.setupServiceOverlay("web", "shared");
  await node.attach(container, "web");
  const other = container.spawn(["sleep", "infinity"]);
  try {
    await waitFor("the process to enter the namespace", () => inodeOf(other.pid) === container.netnsInode);
    await assertRejects(
      () => node.attach(other, "web"),
      Error,
      `shares its network namespace with pid:${container.pid}`,
    );
  } finally {
    other.kill("SIGKILL");
    await other.output();
  }
  assertEquals(await auditNode(node, [container]), []);
});

Deno.test("the daemon's own namespace is refused, and stays as it is", async () => {
  await using _audit = await LeakAudit.begin();
  await using node = await OverlayNode.start();
  await node.client.setupServiceOverlay("web", "shared");
  const before = await node.host.links();
  await assertRejects(() => node.attach(node.daemon, "web"), Error, "host's network namespace");
  assertEquals((await node.host.links()).length, before.length);
  assertEquals(await auditNode(node, []), []);
});

Deno.test("a service that is not set up is refused with the known text", async () => {
  await using _audit = await LeakAudit.begin();
  await using node = await OverlayNode.start();
  await using container = await Container.start();
  await assertRejects(() => node.attach(container, "web"), Error, "no service bridge for service web");
  assertEquals(await auditNode(node, [container]), []);
});

Deno.test("detaching twice, and what was never attached, succeeds [daemon 38]", async () => {
  await using _audit = await LeakAudit.begin();
  await using node = await OverlayNode.start();
  await using container = await Container.start();
  await node.client.setupServiceOverlay("web", "shared");
  await node.detach(container);
  const ip = await node.attach(container, "web");
  await node.detach(container);
  await node.detach(container);
  assertEquals(await auditNode(node, [container]), []);
  assertEquals(await node.attach(container, "web"), ip, "the address did not become free");
});

Deno.test("a service torn down before its containers are detached takes their links along", async () => {
  await using _audit = await LeakAudit.begin();
  await using node = await OverlayNode.start();
  await using a = await Container.start();
  await using b = await Container.start();
  await node.client.setupServiceOverlay("web", "shared");
  await node.attach(a, "web");
  await node.attach(b, "web");
  await node.client.teardownServiceOverlay("web");
  assertEquals(await node.ownLinkNames(), []);
  assertEquals(await auditNode(node, [a, b]), []);
  await node.detach(a);
  await node.detach(b);
  assertEquals((await node.status()).serviceCount, 0);
});

Deno.test("the daemon needs no program: attach and detach with an empty PATH", async () => {
  await using _audit = await LeakAudit.begin();
  await using node = await OverlayNode.start({ env: { PATH: "" } });
  await using a = await Container.start();
  await using b = await Container.start();
  await node.client.setupServiceOverlay("web", "shared");
  await node.attach(a, "web");
  assert(await a.ping(await node.attach(b, "web")));
  assertEquals(await auditNode(node, [a, b]), []);
  await node.detach(a);
  await node.client.teardownServiceOverlay("web");
  assertEquals(await node.ownLinkNames(), []);
  assertEquals((await Deno.readTextFile(`/proc/${node.daemon.pid}/environ`)).match(/(^|\0)PATH=[^\0]/), null);
});

function inodeOf(pid: number): number | null {
  return Deno.statSync(`/proc/${pid}/ns/net`).ino;
}
