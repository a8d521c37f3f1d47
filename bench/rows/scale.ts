/** Row 8: whether the budgets of rows 1 and 4 hold when a thousand containers are attached already. */
import type { Container } from "../../tests/support/test_netns.ts";
import type { ContainerSet } from "../support/containers.ts";
import type { BenchDaemon } from "../support/daemon.ts";
import type { MeasuredRow, Row } from "../support/row.ts";
import { median } from "../support/statistics.ts";
import { rest, timed } from "../support/timing.ts";
import { containersForStatus, statusRow } from "./concurrent.ts";

const LOAD = 1000;
const ATTACHES = 40;
const STATUS_ROUNDS = 3;

/** Containers that {@linkcode scaleRows} takes. */
export function containersForScale(): number {
  return LOAD + 2 * (ATTACHES + containersForStatus(STATUS_ROUNDS));
}

/** Measures with nothing attached, attaches a thousand, measures again. */
export async function scaleRows(daemon: BenchDaemon, containers: ContainerSet): Promise<Row[]> {
  const plan = { daemon, containers, rounds: STATUS_ROUNDS };
  await attachAll(daemon, containers.take(ATTACHES / 2));
  const attachBefore = median(await attachAll(daemon, containers.take(ATTACHES / 2)));
  const statusBefore = await statusRow(plan);
  await attachAll(daemon, containers.take(LOAD));
  await rest(3_000);
  const attachAfter = median(await attachAll(daemon, containers.take(ATTACHES)));
  const statusAfter = await statusRow(plan);
  return [
    row("8a", `attach, p50, with ${LOAD} attached vs with none`, [attachAfter, attachBefore]),
    row("8b", `status while 100 attaches run, p99, with ${LOAD} attached vs with none`, [
      valueOf(statusAfter),
      valueOf(statusBefore),
    ]),
  ];
}

function row(id: string, what: string, [after, before]: [number, number]): MeasuredRow {
  return {
    state: "measured",
    id,
    what,
    ours: { value: after, unit: "ms" },
    peer: { name: "with none", quantity: { value: before, unit: "ms" } },
    budget: { kind: "ratio", atMost: 2 },
    notes: [],
  };
}

function valueOf(measured: Row): number {
  if (measured.state !== "measured") throw new TypeError(`row ${measured.id}: ${measured.reason}`);
  return measured.ours.value;
}

async function attachAll(daemon: BenchDaemon, containers: readonly Container[]): Promise<number[]> {
  const services = await daemon.addServices(containers.length);
  const samples: number[] = [];
  for (const [n, { pid }] of containers.entries()) {
    const handle = { platform: "linux_pid", pid } as const;
    const request = { handle, service: services[n]!, joinGlobal: false };
    samples.push(await timed(() => daemon.client.attachContainer(request)));
  }
  return samples;
}
