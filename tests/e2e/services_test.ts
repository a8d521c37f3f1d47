/** Many callers at once: one bridge per service, every attach succeeds, `status` keeps answering. */
import { assert, assertEquals, assertLess } from "@std/assert";
import type { OverlaydClient } from "../../ipc/client.ts";
import { LeakAudit } from "../support/leak_audit.ts";
import { auditNode } from "../support/node_audit.ts";
import { OverlayNode, pidHandle } from "../support/overlay_node.ts";
import { Container } from "../support/test_netns.ts";

Deno.test("16 clients that set up one service at once get one bridge", async () => {
  await using _audit = await LeakAudit.begin();
  await using node = await OverlayNode.start();
  const names = await setUpByMany(node, ["web"], 16);
  assertEquals(new Set(names).size, 1);
  assertEquals(await node.ownLinkNames(), [names[0]!]);
  assertEquals((await node.status()).serviceCount, 1);
  assertEquals(await auditNode(node, []), []);
});

Deno.test("four services, four clients each: four bridges", async () => {
  await using _audit = await LeakAudit.begin();
  await using node = await OverlayNode.start();
  const names = await setUpByMany(node, ["web", "api", "db", "cache"], 4);
  assertEquals([...new Set(names)].sort(), await node.ownLinkNames());
  assertEquals((await node.status()).serviceCount, 4);
  assertEquals(await auditNode(node, []), []);
});

/** Every service is set up by `callers` connections of their own, all at the same time. */
async function setUpByMany(
  node: OverlayNode,
  services: readonly string[],
  callers: number,
): Promise<string[]> {
  const clients: OverlaydClient[] = [];
  try {
    const wanted = services.flatMap((service) => new Array<string>(callers).fill(service));
    for (const _ of wanted) clients.push(await node.connect());
    const replies = await Promise.all(
      wanted.map((service, i) => clients[i]!.setupServiceOverlay(service, "shared")),
    );
    return replies.map(({ name }) => name);
  } finally {
    for (const client of clients) client.close();
  }
}

const SERVICES = 20;
const CONTAINERS_PER_SERVICE = 10;

/**
 * Bound on the slowest hundredth of the answers to `status`. Far above the budget (20 ms), which the benchmark holds
 * the daemon to: here two cores also run this test and the start of `ip` in between.
 */
const STATUS_P99_MS = 100;

Deno.test("200 containers attached at once all get in, and status keeps answering", async () => {
  await using _audit = await LeakAudit.begin();
  await using node = await OverlayNode.start();
  await using stack = new AsyncDisposableStack();
  const services = Array.from({ length: SERVICES }, (_, i) => `svc${i}`);
  const containers: Container[] = [];
  for (let i = 0; i < SERVICES * CONTAINERS_PER_SERVICE; i++) {
    containers.push(stack.use(await Container.start()));
  }
  for (const service of services) await node.client.setupServiceOverlay(service, "shared");
  const clients = await Promise.all(services.map(() => node.connect()));
  for (const client of clients) stack.use(client);

  const attaching = Promise.all(containers.map((container, i) => {
    const at = i % SERVICES;
    return node.attach(container, services[at]!, { client: clients[at]! });
  }));
  const times = await statusTimes(node, attaching);
  const ips = await attaching;
  assertEquals(new Set(ips).size, containers.length);
  assertLess(percentile(times, 0.99), STATUS_P99_MS, `status took up to ${Math.max(...times)} ms`);
  assertEquals(await auditNode(node, containers), []);
  const last = containers.length - 1;
  assert(await containers[0]!.ping(ips[last]!), "the first does not reach the last");

  const detaching = Promise.all(
    containers.map((container, i) => clients[i % SERVICES]!.detachContainer(pidHandle(container))),
  );
  const detachTimes = await statusTimes(node, detaching);
  await detaching;
  assertLess(
    percentile(detachTimes, 0.99),
    STATUS_P99_MS,
    `status took up to ${Math.max(...detachTimes)} ms`,
  );
  assertEquals(await auditNode(node, containers), []);
  assertEquals((await node.ownLinks()).length, SERVICES);
});

/** Asks for `status` over and over until the work is done, on a connection of its own. */
async function statusTimes(node: OverlayNode, work: Promise<unknown>): Promise<number[]> {
  using client = await node.connect();
  let isDone = false;
  void work.then(() => isDone = true, () => isDone = true);
  const times: number[] = [];
  while (!isDone) {
    const start = performance.now();
    await client.status();
    times.push(performance.now() - start);
  }
  return times;
}

function percentile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]!;
}
