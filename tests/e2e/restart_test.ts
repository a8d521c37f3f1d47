/** The daemon ends and comes back; the data plane does not notice. */
import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { LeakAudit } from "../support/leak_audit.ts";
import { auditNode } from "../support/node_audit.ts";
import { type DetailedStatus, OverlayNode } from "../support/overlay_node.ts";
import { RunningPing } from "../support/running_ping.ts";
import { Container, type IpObject } from "../support/test_netns.ts";

/** Requests that have to be answered after the restart, so that a loss late in it shows too. */
const ANSWERS_AFTER = 20;

/** Two containers of a service, and one of another. */
async function populated(
  node: OverlayNode,
  stack: AsyncDisposableStack,
): Promise<{ containers: [Container, Container, Container]; ips: [string, string, string] }> {
  const a = stack.use(await Container.start());
  const b = stack.use(await Container.start());
  const c = stack.use(await Container.start());
  await node.client.setupServiceOverlay("web", "shared");
  await node.client.setupServiceOverlay("db", "shared");
  const ips: [string, string, string] = [
    await node.attach(a, "web"),
    await node.attach(b, "web"),
    await node.attach(c, "db"),
  ];
  return { containers: [a, b, c], ips };
}

/** What would differ if a link were made anew or set up again. */
async function footprint(node: OverlayNode, containers: readonly Container[]): Promise<unknown> {
  const describe = (
    link: IpObject,
  ): unknown => [link.ifname, link.ifindex, link.address, link.master, link.mtu];
  const inside = await Promise.all(containers.map((container) => container.links()));
  return [await node.ownLinks(), ...inside].map((links) => links.map(describe));
}

/** What a status says of services, containers and addresses, in an order of its own. */
function remembered({ detail }: DetailedStatus): unknown {
  return [detail.services, detail.attachments, detail.leases].map((list) =>
    list.map((one) => JSON.stringify(one)).sort()
  );
}

for (
  const { name, signal } of [
    { name: "SIGTERM leaves the data plane up", signal: "SIGTERM" },
    { name: "kill -9 leaves the data plane up", signal: "SIGKILL" },
  ] as const
) {
  Deno.test(`${name}; the next daemon adopts every link untouched and running pings lose nothing`, async () => {
    await using _audit = await LeakAudit.begin();
    await using node = await OverlayNode.start();
    await using stack = new AsyncDisposableStack();
    const { containers, ips } = await populated(node, stack);
    const before = await footprint(node, containers);
    const status = await node.status();
    await using within = await RunningPing.start(containers[0], ips[1]);
    await using across = await RunningPing.start(containers[0], ips[2]);
    await node.end(signal);
    await within.answeredMore(ANSWERS_AFTER);
    await node.boot();
    await Promise.all([within.answeredMore(ANSWERS_AFTER), across.answeredMore(ANSWERS_AFTER)]);

    assertEquals([within.loss.lost, across.loss.lost], [0, 0]);
    assertGreater(within.loss.sent, 2 * ANSWERS_AFTER);
    assertEquals(await footprint(node, containers), before);
    assertEquals(await auditNode(node, containers), []);
    assertEquals(remembered(await node.status()), remembered(status));
    assertEquals(await node.attach(containers[0], "web"), ips[0], "the attachment was forgotten");
  });
}

/** A marker that the caller's uninstall reads; its only entry is no business of the daemon's stop. */
const MARKER = `{
  "version": 1,
  "networks": [
    {
      "owner": "base",
      "kind": "hcn-internal",
      "name": "zlayer-overlay",
      "id": "6c1f0d3e-1111-4222-8333-944455556666",
      "subnet": "10.200.0.0/28"
    }
  ]
}`;

for (
  const { signal, tag } of [{ signal: "SIGTERM", tag: "[daemon 28]" }, {
    signal: "SIGINT",
    tag: "[daemon 29]",
  }] as const
) {
  Deno.test(`${signal}: exit 0 within 5 s, socket gone, marker unchanged, links left ${tag}`, async () => {
    await using _audit = await LeakAudit.begin();
    await using node = await OverlayNode.start();
    await using stack = new AsyncDisposableStack();
    const { containers } = await populated(node, stack);
    const marker = join(node.dataDir, "agent_network.json");
    await Deno.writeTextFile(marker, MARKER);
    const before = await footprint(node, containers);
    const { socket } = node.daemon;
    assertEquals((await node.end(signal)).code, 0, "exit code 1: it took longer and was cut off");
    await assertRejects(() => Deno.lstat(socket), Deno.errors.NotFound);
    assertEquals(await Deno.readTextFile(marker), MARKER);
    assertEquals(await footprint(node, containers), before);
  });
}

Deno.test("--cleanup-on-exit takes every link along and forgets the attachments", async () => {
  await using _audit = await LeakAudit.begin();
  await using node = await OverlayNode.start({ args: ["--cleanup-on-exit"] });
  await using stack = new AsyncDisposableStack();
  const { containers } = await populated(node, stack);
  assertEquals((await node.ownLinks()).length, 5);
  assertEquals((await node.end("SIGTERM")).code, 0);
  assertEquals(await node.ownLinkNames(), []);
  for (const container of containers) {
    assertEquals((await container.links()).map(({ ifname }) => ifname), ["lo"]);
  }
  await node.boot();
  assertEquals(await auditNode(node, containers), []);
  assertEquals((await node.status()).detail.leases, []);
});

Deno.test("a second daemon on the same data directory is refused, the first lives on", async () => {
  await using _audit = await LeakAudit.begin();
  await using node = await OverlayNode.start();
  const { code, stderr } = await node.operate();
  assertEquals(code, 1);
  assert(stderr.includes(String(node.daemon.pid)), stderr);
  await node.status();
});
