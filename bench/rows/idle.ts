/** Row 7: what a daemon costs that has nothing to do. */
import type { ContainerSet } from "../support/containers.ts";
import type { BenchDaemon } from "../support/daemon.ts";
import { residentBytes, threadTimes, usedBetween } from "../support/process_stat.ts";
import type { Row } from "../support/row.ts";
import { rest } from "../support/timing.ts";

/** Containers attached. */
export const IDLE_CONTAINERS = 50;
/** Time to come to rest, then time that counts. */
const SETTLE_MS = 3_000;
const WATCH_MS = 10_000;

/** Attaches, then watches. */
export async function idleRows(daemon: BenchDaemon, containers: ContainerSet): Promise<Row[]> {
  const services = await daemon.addServices(IDLE_CONTAINERS);
  for (const [n, { pid }] of containers.take(IDLE_CONTAINERS).entries()) {
    const handle = { platform: "linux_pid", pid } as const;
    await daemon.client.attachContainer({ handle, service: services[n]!, joinGlobal: false });
  }
  await rest(SETTLE_MS);
  const before = threadTimes(daemon.pid);
  const started = performance.now();
  await rest(WATCH_MS);
  const cpuMs = usedBetween(before, threadTimes(daemon.pid));
  const watchedMs = performance.now() - started;
  return [
    {
      state: "measured",
      id: "7a",
      what: `idle with ${IDLE_CONTAINERS} attachments, resident memory`,
      ours: { value: residentBytes(daemon.pid) / 2 ** 20, unit: "MiB" },
      budget: { kind: "atMost", limit: 100 },
      notes: [],
    },
    {
      state: "measured",
      id: "7b",
      what: `idle with ${IDLE_CONTAINERS} attachments, CPU`,
      ours: { value: cpuMs / watchedMs * 100, unit: "%" },
      budget: { kind: "atMost", limit: 0.2 },
      notes: [`${cpuMs.toFixed(1)} ms of CPU, all threads, in ${(watchedMs / 1000).toFixed(1)} s`],
    },
  ];
}
