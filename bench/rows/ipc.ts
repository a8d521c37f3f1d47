/** Row 5: how many requests a second one connection carries when the caller does not wait for each answer. */
import { pipelined } from "../ipc_bench.ts";
import type { BenchDaemon } from "../support/daemon.ts";
import type { Row } from "../support/row.ts";
import { median } from "../support/statistics.ts";

const REQUESTS = 10_000;
const ROUNDS = 5;

/** Measures, after a round for the compiler. */
export async function ipcRow(daemon: BenchDaemon): Promise<Row> {
  await pipelined(daemon.client, REQUESTS);
  const rates: number[] = [];
  for (let round = 0; round < ROUNDS; round++) rates.push(await pipelined(daemon.client, REQUESTS));
  return {
    state: "measured",
    id: "5",
    what: "IPC, status pipelined on one connection",
    ours: { value: median(rates), unit: "/s" },
    budget: { kind: "atLeast", limit: 10_000 },
    notes: [`${ROUNDS} x ${REQUESTS} requests, client and daemon a process each: ${show(rates)}`],
  };
}

function show(rates: readonly number[]): string {
  return `${rates.map((rate) => rate.toFixed(0)).join(", ")} /s`;
}
