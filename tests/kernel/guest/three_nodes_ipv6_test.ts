/** Three nodes on the kernel's WireGuard with IPv6 throughout; `three_nodes_test.ts` has the rest. */
import { assertEquals } from "@std/assert";
import { Cluster, type OverlayPlan } from "../../support/cluster.ts";
import { LeakAudit } from "../../support/leak_audit.ts";
import { auditNode } from "../../support/node_audit.ts";
import { reach, reachAll, startContainers } from "../../support/reach.ts";
import { assertStatusAgrees } from "../../support/wg_show.ts";

const NODES = 3;

const PLAN: OverlayPlan = {
  deployment: "six",
  clusterCidr: "fd00:200::/48",
  slices: ["fd00:200:0:1::/64", "fd00:200:0:2::/64", "fd00:200:0:3::/64"],
  family: 6,
};

Deno.test("three nodes and their containers ping over IPv6, on an IPv6 underlay [overlay T12]", async () => {
  await using _audit = await LeakAudit.begin();
  await using cluster = await Cluster.start(NODES);
  await using stack = new AsyncDisposableStack();
  const { nodes } = cluster;
  const web = await startContainers(NODES, stack);
  const db = await startContainers(NODES, stack);
  const members = await Promise.all(nodes.map((_, i) => cluster.setUpGlobal(i, PLAN)));
  assertEquals(members.map(({ nodeIp }) => nodeIp), [
    "fd00:200:0:1::1",
    "fd00:200:0:2::1",
    "fd00:200:0:3::1",
  ]);
  await cluster.introduce(members, 6);
  await cluster.everyPair((i, j) => reach(cluster.node(i).host, members[j]!.nodeIp));
  await cluster.everyPair((i, j) =>
    cluster.node(i).client.addAllowedIp(members[j]!.publicKey, PLAN.slices[j]!)
  );
  await cluster.setUpShared("web", members);
  await cluster.setUpDedicated("db", 6);
  const webIps = await Promise.all(nodes.map((node, i) => node.attach(web[i]!, "web", { joinGlobal: true })));
  const dbIps = await Promise.all(nodes.map((node, i) => node.attach(db[i]!, "db")));
  await reachAll(web, webIps);
  await reachAll(db, dbIps);
  for (const [i, node] of nodes.entries()) {
    await assertStatusAgrees(node);
    assertEquals(await auditNode(node, [web[i]!, db[i]!]), [], `node ${i + 1}`);
  }
});
