/**
 * Carries out a benchmark plan. Runs as root in network, mount and process namespaces made for it, which take
 * all that it starts with them; see `bench/daemon_bench.ts`.
 */
import { print } from "../scripts/support/process.ts";
import type { BenchPlan, Stage } from "./plan.ts";
import { attachRows, containersForAttach, type PeerRow } from "./rows/attach.ts";
import {
  concurrentRows,
  containersForConcurrent,
  containersForStatus,
  statusRow,
} from "./rows/concurrent.ts";
import { IDLE_CONTAINERS, idleRows } from "./rows/idle.ts";
import { ipcRow } from "./rows/ipc.ts";
import { containersForScale, scaleRows } from "./rows/scale.ts";
import { startRow } from "./rows/start.ts";
import { NamedNetns } from "../tests/support/test_netns.ts";
import { ContainerSet } from "./support/containers.ts";
import { BenchDaemon, sourceArgv } from "./support/daemon.ts";
import { machineLines } from "./support/machine.ts";
import { CniBridge, Netavark } from "./support/peers.ts";
import { exitCodeOf, jsonRow, tableLines } from "./support/report.ts";
import type { MissingRow, Row } from "./support/row.ts";

const ATTACH_ROUNDS = 60;
const CONCURRENT_ROUNDS = 3;
const STATUS_ROUNDS = 5;

/** Measures what the plan asks for, in its order. */
async function run(plan: BenchPlan): Promise<Row[]> {
  const rows: Row[] = [];
  for (const stage of plan.stages) rows.push(...await guarded(stage, () => runStage(stage, plan)));
  if (plan.scale) rows.push(...await guarded("8", () => runScale(plan)));
  return rows;
}

/** A stage that throws is a row that says so. */
async function guarded(id: string, work: () => Promise<Row[]>): Promise<Row[]> {
  Deno.stderr.writeSync(new TextEncoder().encode(`bench: row ${id}\n`));
  try {
    return await work();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return [{ state: "failed", id, what: "not measured", reason }];
  }
}

async function runStage(stage: Stage, plan: BenchPlan): Promise<Row[]> {
  switch (stage) {
    case "1":
      return await runAttach(plan);
    case "2-3":
      return await withDaemon(
        plan,
        containersForConcurrent(CONCURRENT_ROUNDS),
        (daemon, containers) => concurrentRows({ daemon, containers, rounds: CONCURRENT_ROUNDS }),
      );
    case "4":
      return await withDaemon(plan, containersForStatus(STATUS_ROUNDS), async (daemon, containers) => [
        await statusRow({ daemon, containers, rounds: STATUS_ROUNDS }),
      ]);
    case "5":
      return await withDaemon(plan, 0, async (daemon) => [await ipcRow(daemon)]);
    case "6":
      return await runStart(plan);
    case "7":
      return await withDaemon(plan, IDLE_CONTAINERS, idleRows);
  }
}

async function runAttach(plan: BenchPlan): Promise<Row[]> {
  const peers: PeerRow[] = [
    {
      id: "1a",
      name: "netavark",
      peer: new Netavark(plan.dir, { internal: true, subnet: 250 }),
      atMost: 1 / 5,
    },
    { id: "1b", name: "CNI bridge", peer: new CniBridge(plan.dir, { subnet: 251 }), atMost: 1 / 10 },
    {
      id: "1c",
      name: "netavark with iptables",
      peer: new Netavark(plan.dir, { internal: false, subnet: 252 }),
    },
  ];
  const { compiled } = plan;
  const count = containersForAttach(peers.length + 2, ATTACH_ROUNDS);
  return await withDaemon(plan, count, async (daemon, containers) => {
    const common = { daemon, containers, peers, rounds: ATTACH_ROUNDS };
    if (!("path" in compiled)) return await attachRows(common);
    await using netns = await NamedNetns.create();
    await using second = await BenchDaemon.start({ argv: [compiled.path], dir: plan.dir, netns: netns.name });
    return await attachRows({ ...common, compiled: second });
  });
}

async function runStart({ dir, compiled }: BenchPlan): Promise<Row[]> {
  const source = { id: "6a", name: "source, cached", argv: sourceArgv(), dir, limitMs: 250 };
  const binary = { id: "6b", name: "compiled", dir, limitMs: 150 };
  const missing = (reason: string): MissingRow => ({
    state: "skipped",
    id: binary.id,
    what: `start to first answer, ${binary.name}, p50`,
    reason,
  });
  return [
    await startRow(source),
    "path" in compiled ? await startRow({ ...binary, argv: [compiled.path] }) : missing(compiled.reason),
  ];
}

async function runScale(plan: BenchPlan): Promise<Row[]> {
  return await withDaemon(plan, containersForScale(), scaleRows);
}

/** A daemon in a network namespace of its own; the peers work in the one that the benchmark was started in. */
async function withDaemon(
  { dir }: BenchPlan,
  count: number,
  work: (daemon: BenchDaemon, containers: ContainerSet) => Promise<Row[]>,
): Promise<Row[]> {
  await using netns = await NamedNetns.create();
  await using containers = await ContainerSet.start(count);
  await using daemon = await BenchDaemon.start({ argv: sourceArgv(), dir, netns: netns.name });
  return await work(daemon, containers);
}

async function main(plan: BenchPlan): Promise<number> {
  const machine = await machineLines(plan.dir);
  const rows = await run(plan);
  if (plan.json) print(JSON.stringify({ machine, rows: rows.map(jsonRow) }, null, 2));
  else for (const line of [...machine, "", ...tableLines(rows)]) print(line);
  return exitCodeOf(rows, { strict: plan.strict });
}

if (import.meta.main) Deno.exit(await main(JSON.parse(Deno.args[0]!)));
