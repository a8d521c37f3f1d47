/** What others do to the host and to containers behind the daemon's back, and what it does about it. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { LeakAudit } from "../support/leak_audit.ts";
import { auditNode } from "../support/node_audit.ts";
import { OverlayNode } from "../support/overlay_node.ts";
import { reusePid } from "../support/pid_reuse.ts";
import { Container } from "../support/test_netns.ts";
import { waitFor } from "../support/wait_for.ts";

/**
 * Time within which the daemon has put its own things right. It waits a fraction of a second after it was told (the
 * engine's tests hold it to that, by a clock that they move); the rest is for a busy machine. The look around that
 * comes every 30 s finds the same: it must not be what this time is enough for.
 */
const REPAIR_MS = 20_000;

/** Waits until nothing is wrong with a node. */
async function settled(node: OverlayNode, containers: readonly Container[]): Promise<void> {
  let wrong: string[] = [];
  try {
    await waitFor("audit", async () => (wrong = await auditNode(node, containers)).length === 0);
  } catch {
    assertEquals(wrong, []);
  }
}

Deno.test("a bridge deleted by hand is back at once with its ports, and pings work again", async () => {
  await using _audit = await LeakAudit.begin();
  await using node = await OverlayNode.start();
  await using a = await Container.start();
  await using b = await Container.start();
  const { name: bridge } = await node.client.setupServiceOverlay("web", "shared");
  await node.attach(a, "web");
  const ipB = await node.attach(b, "web");
  assert(await a.ping(ipB));
  const eth0 = (await a.link("eth0"))?.ifindex;
  await node.host.must(["ip", "link", "delete", bridge]);
  await waitFor("the ping", () => a.ping(ipB), { timeoutMs: REPAIR_MS });
  await settled(node, [a, b]);
  assertEquals((await a.link("eth0"))?.ifindex, eth0, "the container's link was made anew");
});

for (
  const { what, harm } of [
    {
      what: "set down",
      harm: (node: OverlayNode, link: string) => node.host.must(["ip", "link", "set", link, "down"]),
    },
    {
      what: "taken from its bridge",
      harm: (node: OverlayNode, link: string) => node.host.must(["ip", "link", "set", link, "nomaster"]),
    },
    {
      what: "deleted",
      harm: (node: OverlayNode, link: string) => node.host.must(["ip", "link", "delete", link]),
    },
  ]
) {
  Deno.test(`a container's host link that is ${what} by hand is put right at once`, async () => {
    await using _audit = await LeakAudit.begin();
    await using node = await OverlayNode.start();
    await using a = await Container.start();
    await using b = await Container.start();
    await node.client.setupServiceOverlay("web", "shared");
    const ipA = await node.attach(a, "web");
    const ipB = await node.attach(b, "web");
    const attachment = (await node.status()).detail.attachments.find(({ ip }) => ip === ipA);
    await harm(node, attachment!.hostLinks[0]!);
    await waitFor("the ping", () => a.ping(ipB), { timeoutMs: REPAIR_MS });
    await settled(node, [a, b]);
    assertEquals(await a.addresses("eth0"), [`${ipA}/28`]);
  });
}

Deno.test("a bridge that lost its address has it back at once", async () => {
  await using _audit = await LeakAudit.begin();
  await using node = await OverlayNode.start();
  await using a = await Container.start();
  const { name: bridge } = await node.client.setupServiceOverlay("web", "shared");
  await node.attach(a, "web");
  const [service] = (await node.status()).detail.services;
  await node.host.must(["ip", "address", "flush", "dev", bridge]);
  await waitFor("the ping", () => a.ping(service!.gateway), { timeoutMs: REPAIR_MS });
  await settled(node, [a]);
});

Deno.test("a container that died is released unasked, and its address is given out again", async () => {
  await using _audit = await LeakAudit.begin();
  await using node = await OverlayNode.start();
  await using a = await Container.start();
  await using b = await Container.start();
  await node.client.setupServiceOverlay("web", "shared");
  const ip = await node.attach(a, "web");
  await a.kill();
  await waitFor("the release", async () => (await node.status()).detail.attachments.length === 0);
  await settled(node, [b]);
  await node.detach(a);
  await assertRejects(() => node.attach(a, "web"), Error, `${a.pid}`);
  assertEquals(await node.attach(b, "web"), ip);
  assertEquals(await auditNode(node, [b]), []);
});

Deno.test("a container that dies while the daemon is down is released by the next start", async () => {
  await using _audit = await LeakAudit.begin();
  await using node = await OverlayNode.start();
  await using a = await Container.start();
  await using b = await Container.start();
  await node.client.setupServiceOverlay("web", "shared");
  await node.attach(a, "web");
  await node.attach(b, "web");
  await node.end("SIGKILL");
  await a.kill();
  await node.boot();
  assertEquals(await auditNode(node, [b]), []);
  assertEquals((await node.status()).detail.attachments.length, 1);
});

Deno.test("links deleted while the daemon is down are made anew by the next start, addresses kept", async () => {
  await using _audit = await LeakAudit.begin();
  await using node = await OverlayNode.start();
  await using a = await Container.start();
  await using b = await Container.start();
  await node.client.setupServiceOverlay("web", "shared");
  const ipA = await node.attach(a, "web");
  const ipB = await node.attach(b, "web");
  await node.end("SIGTERM");
  for (const link of await node.ownLinkNames()) await node.host.must(["ip", "link", "delete", link]);
  await node.boot();
  assertEquals(await auditNode(node, [a, b]), []);
  assert(await a.ping(ipB), "not reachable");
  assertEquals(await a.addresses("eth0"), [`${ipA}/28`]);
});

Deno.test("a pid that another container has now is not taken for the one that was attached", async () => {
  await using _audit = await LeakAudit.begin();
  await using node = await OverlayNode.start();
  await node.client.setupServiceOverlay("web", "shared");
  const first = await Container.start();
  await node.attach(first, "web");
  // The daemon sleeps through the change, so that it has no chance to release the first one before.
  node.daemon.kill("SIGSTOP");
  await using second = await reusePid(first);
  assertEquals((await second.links()).map(({ ifname }) => ifname), ["lo"]);
  node.daemon.kill("SIGCONT");
  const ip = await node.attach(second, "web");
  assertEquals(await second.addresses("eth0"), [`${ip}/28`]);
  await settled(node, [second]);
  assertEquals((await node.status()).detail.leases.length, 1);
});

Deno.test("a detach for a dead process does not touch the container that has its pid now", async () => {
  await using _audit = await LeakAudit.begin();
  await using node = await OverlayNode.start();
  await node.client.setupServiceOverlay("web", "shared");
  const first = await Container.start();
  await node.attach(first, "web");
  await node.end("SIGKILL");
  await using second = await reusePid(first);
  await second.must(["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "zteth0"]);
  await node.boot();
  await node.detach(second);
  assert(await second.link("eth0"), "the new container lost its own eth0");
  assertEquals(await node.ownLinkNames(), [(await node.status()).detail.services[0]!.bridge]);
});
