/**
 * Rows 2 to 4: a hundred containers at once.
 *
 * Every request has a connection of its own. Ours and what it is compared with take turns, each time on fresh
 * namespaces; a row shows the median of the rounds.
 */
import type { OverlaydClient } from "../../ipc/client.ts";
import type { Container } from "../../tests/support/test_netns.ts";
import type { ContainerSet } from "../support/containers.ts";
import type { BenchDaemon } from "../support/daemon.ts";
import { replayAttaches } from "../support/replay.ts";
import type { Quantity, Row } from "../support/row.ts";
import { median, summarise } from "../support/statistics.ts";
import { must, rest, timed } from "../support/timing.ts";

/** Containers at once. */
const CROWD = 100;
/** Milliseconds between two probes of `status`, however long the answers take. */
const PROBE_EVERY_MS = 2;
/** Connections that the probes go round, for on one connection each would wait for the answers before it. */
const PROBE_CONNECTIONS = 25;
/** Pause between two rounds. */
const REST_MS = 100;
/** Bridge of the replayed links, in the namespace of the benchmark. */
const REPLAY_BRIDGE = "ztreplay0";

/** What takes part. */
export interface ConcurrentPlan {
  readonly daemon: BenchDaemon;
  readonly containers: ContainerSet;
  readonly rounds: number;
}

/** Containers that {@linkcode concurrentRows} takes. */
export function containersForConcurrent(rounds: number): number {
  return rounds * 2 * CROWD;
}

/** Containers that {@linkcode statusRow} takes. */
export function containersForStatus(rounds: number): number {
  return rounds * CROWD;
}

/** Rows 2 and 3. */
export async function concurrentRows({ daemon, containers, rounds }: ConcurrentPlan): Promise<Row[]> {
  await must(["ip", "link", "add", REPLAY_BRIDGE, "up", "type", "bridge"]);
  const taken = { attach: [], kernel: [], detach: [], delete: [] } as Record<string, number[]>;
  await withCrowd(daemon, async (crowd) => {
    for (let round = 0; round < rounds; round++) {
      const group = containers.take(CROWD);
      await rest(REST_MS);
      taken.attach!.push(await timed(() => crowd.attach(group)));
      await rest(REST_MS);
      const { kernelMs, hostLinks } = replayAttaches(containers.take(CROWD), REPLAY_BRIDGE);
      taken.kernel!.push(kernelMs);
      await rest(REST_MS);
      taken.detach!.push(await timed(() => crowd.detach(group)));
      await rest(REST_MS);
      taken.delete!.push(await timed(() => deleteOneByOne(hostLinks)));
    }
  });
  await must(["ip", "link", "del", REPLAY_BRIDGE]);
  return [attachRow(taken.attach!, taken.kernel!), detachRow(taken.detach!, taken.delete!)];
}

function attachRow(ours: readonly number[], kernel: readonly number[]): Row {
  return {
    state: "measured",
    id: "2",
    what: `${CROWD} concurrent attaches vs their messages in the kernel`,
    ours: ms(median(ours)),
    peer: { name: "kernel", quantity: ms(median(kernel)) },
    budget: { kind: "ratio", atMost: 1.5 },
    notes: [
      `ours, first call to last reply over ${CROWD} connections: ${list(ours)}`,
      `kernel, send(2) of the messages that change something, one after another: ${list(kernel)}`,
    ],
  };
}

function detachRow(ours: readonly number[], deleted: readonly number[]): Row {
  return {
    state: "measured",
    id: "3",
    what: `${CROWD} concurrent detaches vs ${CROWD} x ip link del`,
    ours: ms(median(ours)),
    peer: { name: "ip", quantity: ms(median(deleted)) },
    budget: { kind: "ratio", atMost: 1 / 10 },
    notes: [
      `ours, first call to last reply, links gone: ${list(ours)}`,
      `ip link del, one process after another: ${list(deleted)}`,
    ],
  };
}

/** Row 4: how long a `status` takes while the crowd attaches. */
export async function statusRow({ daemon, containers, rounds }: ConcurrentPlan): Promise<Row> {
  const samples: number[] = [];
  const probes = await Promise.all(Array.from({ length: PROBE_CONNECTIONS }, () => daemon.connect()));
  await withCrowd(daemon, async (crowd) => {
    for (let round = 0; round < rounds; round++) {
      const group = containers.take(CROWD);
      await rest(REST_MS);
      samples.push(...await probeDuring(probes, () => crowd.attach(group)));
      await crowd.detach(group);
    }
  });
  for (const client of probes) client.close();
  const { count, p50, p99, max } = summarise(samples);
  return {
    state: "measured",
    id: "4",
    what: `status while ${CROWD} attaches run, p99`,
    ours: ms(p99),
    budget: { kind: "atMost", limit: 20 },
    notes: [
      `a status every ${PROBE_EVERY_MS} ms, answered or not, on ${PROBE_CONNECTIONS} connections in turn: ${count} in ` +
      `${rounds} rounds, ` +
      `p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms, max ${max.toFixed(2)} ms`,
    ],
  };
}

/** Asks for `status` at a fixed rate as long as `work` runs, so that a stall costs as many samples as it is long. */
async function probeDuring(
  clients: readonly OverlaydClient[],
  work: () => Promise<unknown>,
): Promise<number[]> {
  const probes: Promise<number>[] = [];
  const probe = (): void => {
    const client = clients[probes.length % clients.length]!;
    probes.push(timed(() => client.status()));
  };
  probe();
  const timer = setInterval(probe, PROBE_EVERY_MS);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return await Promise.all(probes);
}

/** Connections, and the service that each one's container joins. */
interface Crowd {
  attach(containers: readonly Container[]): Promise<unknown>;
  detach(containers: readonly Container[]): Promise<unknown>;
}

async function withCrowd(daemon: BenchDaemon, work: (crowd: Crowd) => Promise<void>): Promise<void> {
  const services = await daemon.addServices(CROWD);
  const clients = await Promise.all(Array.from({ length: CROWD }, () => daemon.connect()));
  const handle = ({ pid }: Container) => ({ platform: "linux_pid", pid }) as const;
  try {
    await work({
      attach: (containers) =>
        Promise.all(containers.map((container, n) =>
          clients[n]!.attachContainer({
            handle: handle(container),
            service: services[n]!,
            joinGlobal: false,
          })
        )),
      detach: (containers) =>
        Promise.all(containers.map((container, n) => clients[n]!.detachContainer(handle(container)))),
    });
  } finally {
    for (const client of clients) client.close();
  }
}

async function deleteOneByOne(links: readonly string[]): Promise<void> {
  for (const link of links) await must(["ip", "link", "del", link]);
}

function ms(value: number): Quantity {
  return { value, unit: "ms" };
}

function list(samples: readonly number[]): string {
  return `${samples.map((sample) => sample.toFixed(0)).join(", ")} ms`;
}
