/** Second act: an overlay over three nodes, what it carries, and the end of everything. */
import { type Member, type OverlayPlan, WG_PORT } from "../../tests/support/cluster.ts";
import { auditNode } from "../../tests/support/node_audit.ts";
import { pidHandle } from "../../tests/support/overlay_node.ts";
import { reach } from "../../tests/support/reach.ts";
import { RunningPing } from "../../tests/support/running_ping.ts";
import { UPLINK } from "../../tests/support/underlay.ts";
import { TcpFlow } from "../support/tcp_flow.ts";
import type { Stage } from "./stage.ts";
import { measureTcp } from "./throughput.ts";
import { type Seen, watchLinks } from "./wire.ts";

const PLAN: OverlayPlan = {
  deployment: "demo",
  clusterCidr: "10.200.0.0/16",
  slices: ["10.200.0.0/28", "10.200.0.16/28", "10.200.0.32/28"],
  family: 4,
};

/** Pace of the TCP stream that runs beside other things. */
const STREAM_BYTES_PER_SECOND = 4_000_000;

/** How much of it is waited for at a time. */
const STREAM_BYTES = 1_000_000;

/** Answers to ping that are waited for before and after the daemon is away. */
const ANSWERS = 20;

/** What hosts say to each other besides WireGuard: who has which address. */
const NEIGHBOUR_DISCOVERY = ["ARP", "ICMPv6"];

/** Takes over what the first act leaves, and leaves nothing. */
export async function playThreeNodes(stage: Stage): Promise<void> {
  const { members, ports } = await connect(stage);
  await watchUplink(stage, ports);
  await showPeers(stage);
  await showThroughput(stage);
  await updateDaemon(stage);
  await takeDown(stage, members);
}

async function connect(stage: Stage): Promise<{ members: Member[]; ports: number[] }> {
  const { cluster, report } = stage;
  report.step("One overlay over three nodes: web grows onto all of them, db gets a WireGuard of its own");
  const members = await Promise.all(cluster.nodes.map((_, i) => cluster.setUpGlobal(i, PLAN)));
  await cluster.introduce(members, PLAN.family);
  for (const [i, { interface: name, nodeIp }] of members.entries()) {
    report.say(`node ${i + 1}: ${nodeIp} on ${name}`);
  }
  await cluster.setUpShared("web", members);
  for (const node of [1, 2]) await stage.attach(node, "web");
  await checkPings(stage, "web");
  const replies = await cluster.setUpDedicated("db", PLAN.family);
  for (const node of cluster.nodes.keys()) await stage.attach(node, "db");
  await checkPings(stage, "db");
  return { members, ports: [...new Set([WG_PORT, ...replies.map(({ wgPort }) => wgPort)])] };
}

/** Pings from a container of the service on each node to those on the others. */
async function checkPings(stage: Stage, service: string): Promise<void> {
  const { cluster, report } = stage;
  const placed = [...cluster.nodes.keys()].map((node) => stage.find(node, service));
  const failed: string[] = [];
  let pairs = 0;
  for (const from of placed) {
    for (const to of placed.filter((one) => one !== from)) {
      pairs++;
      await reach(from.container, to.ip).catch(() => failed.push(`${from.ip} -> ${to.ip}`));
    }
  }
  const problem = failed.length === 0 ? "" : `; no answer: ${failed.join(", ")}`;
  report.check(
    `ping in ${service} across nodes: ${pairs - failed.length} of ${pairs} pairs${problem}`,
    problem === "",
  );
}

/** Text that containers exchange is seen on a bridge, and on the wire between the hosts nothing but WireGuard. */
async function watchUplink(stage: Stage, ports: readonly number[]): Promise<void> {
  const { cluster, report } = stage;
  report.step("What the wire shows while a container of node 1 sends plain text to one of node 2");
  const [from, to] = [stage.find(0, "web"), stage.find(1, "web")];
  const bridge = (await cluster.node(1).status()).detail.services.find(({ name }) => name === "web")!.bridge;
  const points = [
    { place: cluster.node(0).host, link: UPLINK },
    { place: cluster.node(1).host, link: bridge },
  ];
  const [wire, inside] = await watchLinks(points, async () => {
    await using flow = await TcpFlow.start(from.container, to.container, {
      address: to.ip,
      bytesPerSecond: STREAM_BYTES_PER_SECOND,
    });
    await flow.receivedMore(STREAM_BYTES);
    await from.container.ping(to.ip, { count: 3 });
    await flow.finish();
  }, { wireguardPorts: ports });
  const strange = [...wire!.kinds.keys()].filter((kind) =>
    kind !== "WireGuard" && !NEIGHBOUR_DISCOVERY.includes(kind)
  );
  report.say(`node 1's uplink: ${describe(wire!)}`);
  report.check(
    `only UDP between the WireGuard ports ${ports.join(", ")}, and neighbour discovery`,
    strange.length === 0 && wire!.kinds.has("WireGuard"),
  );
  const [hidden, plain] = [wire!.withMarker, inside!.withMarker];
  report.check(
    `the text is in ${hidden} of the packets on the uplink, in ${plain} on node 2's bridge`,
    hidden === 0 && plain > 0,
  );
  report.check(`packets that were not looked at: ${wire!.missed}`, wire!.missed === 0);
}

function describe({ kinds }: Seen): string {
  return [...kinds].map(([kind, count]) => `${count} ${kind}`).join(", ");
}

async function showPeers({ cluster, report }: Stage): Promise<void> {
  report.step("Peers of node 1, as `zlayer-overlayd status` has them");
  const { stdout } = await cluster.node(0).operate("status");
  report.say(stdout.split("\n\n").find((section) => section.startsWith("Peers:"))?.trimEnd() ?? "none");
  const { peers, detail } = await cluster.node(0).status();
  const all = [...peers, ...detail.servicePeers];
  report.check(
    `${all.length} peers, all of them after a handshake`,
    all.length === 4 && all.every(({ lastHandshakeUnixSecs }) => lastHandshakeUnixSecs > 0),
  );
}

async function showThroughput(stage: Stage): Promise<void> {
  const { report } = stage;
  report.step("One TCP stream from a container of node 1 to one of node 2, both on this machine");
  for (const service of ["web", "db"]) {
    const [from, to] = [stage.find(0, service), stage.find(1, service)];
    const { bitsPerSecond, tool } = await measureTcp(from.container, to.container, to.ip);
    report.check(`${service}: ${(bitsPerSecond / 1e9).toFixed(2)} Gbit/s (${tool})`, bitsPerSecond > 0);
  }
}

/** The daemon goes and comes back under a ping and a TCP stream across nodes. */
async function updateDaemon(stage: Stage): Promise<void> {
  const { cluster, report } = stage;
  const node = cluster.node(1);
  report.step("The daemon of node 2 killed with -9 and started again, while node 1 pings and streams to it");
  const [from, to] = [stage.find(0, "web"), stage.find(1, "web")];
  const { kind } = (await node.status()).detail.wireguard;
  await using ping = await RunningPing.start(from.container, to.ip);
  await using flow = await TcpFlow.start(from.container, to.container, {
    address: to.ip,
    bytesPerSecond: STREAM_BYTES_PER_SECOND,
  });
  await ping.answeredMore(ANSWERS);
  await node.end("SIGKILL");
  const before = performance.now();
  await node.boot();
  report.say(`answering again ${(performance.now() - before).toFixed(0)} ms after its start`);
  await Promise.all([ping.answeredMore(ANSWERS), flow.receivedMore(STREAM_BYTES)]);
  const { sent, lost } = ping.loss;
  const { sentBytes, receivedBytes, isIntact } = await flow.finish();
  report.check(
    `the TCP stream went on: ${(sentBytes / 1e6).toFixed(1)} MB sent, every byte arrived in order`,
    isIntact && sentBytes === receivedBytes,
  );
  const told = `ping across nodes: ${sent} sent, ${lost} lost`;
  if (kind === "kernel") report.check(told, lost === 0);
  else report.say(`${told} while the daemon, which carries them in user space, was away`);
}

async function takeDown(stage: Stage, members: readonly Member[]): Promise<void> {
  const { cluster, report } = stage;
  report.step("Status against kernel, then everything detached, taken down and stopped");
  await checkKernel(stage);
  for (const { node, container } of stage.placed) {
    await cluster.node(node).client.detachContainer(pidHandle(container));
  }
  await cluster.everyPair((i, j) => cluster.node(i).client.removePeer(members[j]!.publicKey));
  const ends: number[] = [];
  const left: string[] = [];
  for (const node of cluster.nodes) {
    const { services } = (await node.status()).detail;
    for (const { name } of services) await node.client.teardownServiceOverlay(name);
    await node.client.teardownGlobalOverlay();
    left.push(...await node.ownLinkNames());
    ends.push((await node.end("SIGTERM")).code);
  }
  report.check(`links of ours on the nodes: ${left.join(", ") || "none"}`, left.length === 0);
  report.check(`the daemons ended with exit codes ${ends.join(", ")}`, ends.every((code) => code === 0));
}

async function checkKernel({ cluster, report, placed }: Stage): Promise<void> {
  const wrong: string[] = [];
  for (const [i, node] of cluster.nodes.entries()) {
    const containers = placed.filter((one) => one.node === i).map(({ container }) => container);
    wrong.push(...(await auditNode(node, containers)).map((text) => `node ${i + 1}: ${text}`));
  }
  for (const text of wrong) report.say(text);
  report.check("links and addresses are what status says, on every node", wrong.length === 0);
}
