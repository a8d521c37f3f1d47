/** First act: node 1 by itself, with two services and five containers. */
import { RunningPing } from "../../tests/support/running_ping.ts";
import type { Stage } from "./stage.ts";

const NODE = 0;

/** Answers to ping that are waited for before, while and after the daemon is away. */
const ANSWERS = 20;

/** Leaves `web` with two containers and `api` with two. */
export async function playOneNode(stage: Stage): Promise<void> {
  await attachFive(stage);
  const { report, cluster } = stage;
  report.step("What `zlayer-overlayd status` says on node 1");
  report.say((await cluster.node(NODE).operate("status")).stdout.trimEnd());
  await restartUnderPing(stage);
}

async function attachFive(stage: Stage): Promise<void> {
  const { report, cluster } = stage;
  report.step("Node 1 alone: services web and api, five containers");
  for (const service of ["web", "api"]) {
    const { name } = await cluster.node(NODE).client.setupServiceOverlay(service, "shared");
    report.say(`service ${service} on bridge ${name}`);
  }
  for (const service of ["web", "web", "web", "api", "api"]) await stage.attach(NODE, service);
  const [web1, web2, , api1, api2] = stage.placed;
  const pairs = [
    { what: "inside web", from: web1!, to: web2! },
    { what: "inside api", from: api1!, to: api2! },
    { what: "across services", from: web1!, to: api2! },
  ];
  for (const { what, from, to } of pairs) {
    report.check(`ping ${what}: ${from.ip} -> ${to.ip}`, await from.container.ping(to.ip));
  }
}

async function restartUnderPing(stage: Stage): Promise<void> {
  const { report } = stage;
  const node = stage.cluster.node(NODE);
  report.step(
    "One container killed, the daemon of node 1 killed with -9 and started again, while a ping runs",
  );
  const [web1, , web3, , api2] = stage.placed;
  await using ping = await RunningPing.start(web1!.container, api2!.ip);
  await ping.answeredMore(ANSWERS);
  await stage.kill(web3!);
  await node.end("SIGKILL");
  await ping.answeredMore(ANSWERS);
  const before = performance.now();
  await node.boot();
  const { attachments } = (await node.status()).detail;
  report.say(`answering again ${(performance.now() - before).toFixed(0)} ms after its start`);
  await ping.answeredMore(ANSWERS);
  const { sent, lost } = ping.loss;
  report.check(`ping on the node: ${sent} sent, ${lost} lost`, lost === 0);
  report.check(`the killed container is released, ${attachments.length} are left`, attachments.length === 4);
}
