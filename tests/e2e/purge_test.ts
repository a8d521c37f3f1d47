/** `purge` on a host with a data plane: with and without a daemon, for show and for good. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { LeakAudit } from "../support/leak_audit.ts";
import { auditNode } from "../support/node_audit.ts";
import { OverlayNode } from "../support/overlay_node.ts";
import { Container } from "../support/test_netns.ts";

/** A link that looks like ours by its name and is not. */
const FOREIGN = "veth-zt-other";

/** A node with one attached container, and a link of somebody else. */
async function busyNode(container: Container): Promise<OverlayNode> {
  const node = await OverlayNode.start();
  try {
    await node.client.setupServiceOverlay("web", "shared");
    await node.attach(container, "web");
    await node.host.must(["ip", "link", "add", FOREIGN, "type", "veth", "peer", "name", "ztother"]);
    return node;
  } catch (error) {
    await node[Symbol.asyncDispose]();
    throw error;
  }
}

Deno.test("purge --dry-run names what purge would remove, and removes nothing", async () => {
  await using _audit = await LeakAudit.begin();
  await using container = await Container.start();
  await using node = await busyNode(container);
  const links = await node.ownLinkNames();
  const { code, stdout, stderr } = await node.operate("purge", "--dry-run");
  assertEquals([code, stderr], [0, ""]);
  for (const link of links.filter((name) => name !== FOREIGN)) {
    assertStringIncludes(stdout, `would remove ${link.startsWith("zl-") ? "bridge" : "veth"} ${link}`);
  }
  assertStringIncludes(stdout, `leave ${FOREIGN}`);
  assertEquals(await node.ownLinkNames(), links);
  await node.host.must(["ip", "link", "delete", FOREIGN]);
  assertEquals(await auditNode(node, [container]), []);
});

Deno.test("purge refuses while a daemon runs; with --stop-daemon it stops it", async () => {
  await using _audit = await LeakAudit.begin();
  await using container = await Container.start();
  await using node = await busyNode(container);
  const refused = await node.operate("purge");
  assertEquals(refused.code, 1);
  assertStringIncludes(refused.stderr, String(node.daemon.pid));
  assertEquals((await node.status()).detail.attachments.length, 1);
  const done = await node.operate("purge", "--stop-daemon");
  assertEquals([done.code, done.stderr], [0, ""]);
  assertEquals((await node.ended()).code, 0);
  await assertPurged(node, container);
});

Deno.test("purge without a daemon removes links, settings and files, twice alike", async () => {
  await using _audit = await LeakAudit.begin();
  await using container = await Container.start();
  await using node = await busyNode(container);
  await node.end("SIGKILL");
  const done = await node.operate("purge");
  assertEquals([done.code, done.stderr], [0, ""]);
  await assertPurged(node, container);
  const again = await node.operate("purge");
  assertEquals([again.code, again.stderr], [0, ""]);
  assertStringIncludes(again.stdout, "nothing to remove");
});

/** Nothing of ours is left; what is somebody else's is. */
async function assertPurged(node: OverlayNode, container: Container): Promise<void> {
  assertEquals(await node.ownLinkNames(), [FOREIGN]);
  assertEquals((await container.links()).map(({ ifname }) => ifname), ["lo"]);
  await assertRejects(() => Deno.lstat(`${node.dataDir}/overlayd.db`), Deno.errors.NotFound);
  const left = await Array.fromAsync(Deno.readDir(node.dataDir), ({ name }) => name).catch(() => []);
  assert(!left.some((name) => name.startsWith("overlayd.db")), left.join());
}
