/** Peers that move, that are known by name, and what a daemon in user space knows of them after a restart. */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { DatabaseSync } from "node:sqlite";
import type { OverlayEvent } from "../../core/service.ts";
import { BackendNode } from "../support/backend_node.ts";
import { Cluster, endpoint, type Member, type OverlayPlan, WG_PORT } from "../support/cluster.ts";
import { LeakAudit } from "../support/leak_audit.ts";
import type { OverlayNode } from "../support/overlay_node.ts";
import { reach } from "../support/reach.ts";
import { RunningPing } from "../support/running_ping.ts";
import { NamedNetns, testName } from "../support/test_netns.ts";
import { underlayIp } from "../support/underlay.ts";
import { waitFor } from "../support/wait_for.ts";

const PLAN: OverlayPlan = {
  deployment: "prod",
  clusterCidr: "10.200.0.0/16",
  slices: ["10.200.0.0/28", "10.200.0.16/28"],
  family: 4,
};
/** Where things go on the underlay: numbers that no node has. */
const ELSEWHERE = 60;
const GUEST = 100;
const USERSPACE = { args: ["--wireguard", "userspace"] };

/** Two nodes, each with its global device. */
async function twoNodes(): Promise<{ cluster: Cluster; members: [Member, Member] } & AsyncDisposable> {
  const cluster = await Cluster.start(2, USERSPACE);
  const members: [Member, Member] = [await cluster.setUpGlobal(0, PLAN), await cluster.setUpGlobal(1, PLAN)];
  return { cluster, members, [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose]() };
}

/** Tells a node of a peer; without keepalive, so that nobody speaks who is not spoken to. */
async function introduce(node: OverlayNode, { publicKey, nodeIp }: Member, at: string): Promise<void> {
  const allowedIps = `${nodeIp}/32`;
  await node.client.addPeer({ publicKey, endpoint: at, allowedIps, persistentKeepaliveSecs: 0 });
}

/** Where the device of a node has its only peer. */
async function place(node: OverlayNode): Promise<string | undefined> {
  return (await node.client.status()).peers[0]?.endpoint;
}

async function isAt(node: OverlayNode, wanted: string): Promise<void> {
  await waitFor(`${wanted} in status`, async () => await place(node) === wanted);
}

/** Waits until a place is in the database, where it survives `kill -9`. */
async function isKept(node: OverlayNode, wanted: string): Promise<void> {
  await waitFor(`${wanted} in the database`, () => {
    using db = new DatabaseSync(join(node.dataDir, "overlayd.db"), { readOnly: true });
    return db.prepare("SELECT document FROM heard_endpoints").all().some(({ document }) =>
      String(document).includes(`"${wanted}"`)
    );
  });
}

Deno.test("a peer moves under a running ping: it is told healthy, shown where it is, and found there after kill -9", async () => {
  await using _audit = await LeakAudit.begin();
  await using nodes = await twoNodes();
  const { cluster, members: [ours, its] } = nodes;
  const [node, other] = [cluster.node(0), cluster.node(1)];
  const events: OverlayEvent[] = [];
  using client = await node.connect();
  client.subscribe((event) => events.push(event));
  await introduce(node, its, endpoint(1, WG_PORT, 4));
  await introduce(other, ours, endpoint(0, WG_PORT, 4));
  const moved = `${underlayIp(ELSEWHERE, 4)}:${WG_PORT}`;
  {
    await using ping = await RunningPing.start(other.host, ours.nodeIp);
    // A client reads only while it waits for an answer.
    await waitFor("the event", async () => {
      await client.status();
      return events.some((event) => event.event === "peer_health_changed" && event.healthy);
    });
    assertEquals(await place(node), endpoint(1, WG_PORT, 4));
    await cluster.underlay.move(other.host, ELSEWHERE);
    await ping.answeredMore(20);
    await isAt(node, moved);
    await ping.answeredMore(20);
  }
  await isKept(node, moved);
  await node.crashAndRestart(USERSPACE);
  assertEquals(await place(node), moved);
  await reach(node.host, its.nodeIp);
  const [device] = (await node.status()).detail.devices;
  assertEquals([device!.interface, device!.kind], [ours.interface, "userspace"]);
  assert(device!.crypto);
});

Deno.test("a guest that has moved is found after kill -9, without speaking first", async () => {
  await using _audit = await LeakAudit.begin();
  await using cluster = await Cluster.start(1, USERSPACE);
  const node = cluster.node(0);
  const { nodeIp } = await cluster.setUpGlobal(0, PLAN);
  const handle = { platform: "guest_managed", id: testName("vm") } as const;
  const config = await node.client.attachContainer({ handle, service: "web", joinGlobal: false });
  assert(config.kind === "guest_config");
  await using machine = await NamedNetns.create();
  await cluster.underlay.connect(machine, GUEST);
  const dir = await Deno.makeTempDir({ prefix: "zt" });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => Deno.remove(dir, { recursive: true }));
  const guest = stack.use(BackendNode.start(machine, dir));
  const [peer] = config.peers;
  await guest.ask({
    op: "ensure",
    device: {
      name: "ztguest",
      tag: "zlayer-overlayd/test/0:guest",
      privateKey: config.privateKey,
      listenPort: config.listenPort,
      address: `${config.overlayIp}/${config.prefixLen}`,
      mtuBytes: 1420,
      peers: [{ publicKey: peer!.publicKey, endpoint: peer!.endpoint, allowedIps: [peer!.allowedIps] }],
      routes: [],
    },
  });
  await reach(machine, nodeIp);
  await cluster.underlay.move(machine, ELSEWHERE);
  await reach(machine, nodeIp);
  const moved = `${underlayIp(ELSEWHERE, 4)}:${config.listenPort}`;
  await isAt(node, moved);
  await isKept(node, moved);
  await node.crashAndRestart(USERSPACE);
  assertEquals(await place(node), moved);
  await reach(node.host, config.overlayIp);
  await node.client.detachContainer(handle);
});

Deno.test("a peer at a host by name: added before it resolves, found when it does, and at its new address [overlay T13]", async () => {
  await using _audit = await LeakAudit.begin();
  await using nodes = await twoNodes();
  const { cluster, members: [ours, its] } = nodes;
  const [node, other] = [cluster.node(0), cluster.node(1)];
  const hosts = join(node.dir, "hosts");
  await Deno.writeTextFile(hosts, "127.0.0.1 localhost\n");
  await node.end("SIGTERM");
  await node.boot({ ...USERSPACE, hosts });
  await introduce(other, ours, "0.0.0.0:0");
  await introduce(node, its, `node1.zt.invalid:${WG_PORT}`);
  assertEquals(await place(node), "");
  await node.daemon.logged("the name of a peer's host is not resolved");

  await Deno.writeTextFile(hosts, `127.0.0.1 localhost\n${underlayIp(2, 4)} node1.zt.invalid\n`);
  await isAt(node, endpoint(1, WG_PORT, 4));
  await reach(node.host, its.nodeIp);

  await cluster.underlay.move(other.host, ELSEWHERE);
  await Deno.writeTextFile(hosts, `127.0.0.1 localhost\n${underlayIp(ELSEWHERE, 4)} node1.zt.invalid\n`);
  await node.end("SIGKILL");
  await node.boot({ ...USERSPACE, hosts });
  await isAt(node, `${underlayIp(ELSEWHERE, 4)}:${WG_PORT}`);
  await reach(node.host, its.nodeIp);
});

Deno.test("status counts what a device drops, by reason", async () => {
  await using _audit = await LeakAudit.begin();
  await using nodes = await twoNodes();
  const { cluster, members: [ours] } = nodes;
  const say = `printf x >/dev/udp/${underlayIp(1, 4)}/${WG_PORT}`;
  for (let i = 0; i < 3; i++) await cluster.node(1).host.must(["bash", "-c", say]);
  const drops = await waitFor("the drops", async () => {
    const [device] = (await cluster.node(0).status()).detail.devices;
    return device!.drops.some(({ count }) => count === 3) && device!.drops;
  });
  // What a host sends out by itself on a link that came up has no peer to go to.
  assertEquals(drops.filter(({ reason }) => reason !== "noRoute"), [{ reason: "unknownType", count: 3 }]);
  const { stdout } = await cluster.node(0).operate("status");
  assert(stdout.includes("3 unknownType"), stdout);
  assert(stdout.includes(ours.interface));
});
