/** Carries out a plan. Runs as root in network, mount and process namespaces made for it. */
import { print } from "../../scripts/support/process.ts";
import { machineLines } from "../support/machine.ts";
import { exitCodeOf, jsonRow, tableLines } from "../support/report.ts";
import type { Row } from "../support/row.ts";
import { compare, type Comparison } from "./compare.ts";
import { implementations } from "./implementations.ts";
import { peerRows } from "./peers.ts";
import type { WireguardPlan } from "./plan.ts";
import { measuredLines, targetRows } from "./rows.ts";

async function main(plan: WireguardPlan): Promise<number> {
  const machine = await machineLines(plan.dir);
  const all = await implementations(plan.programs);
  const versions = all.map((one) => `${one.id}: ${"reason" in one ? one.reason : one.name}`);
  const comparison = await compare(plan.loads.length > 0 ? all : [], { ...plan, say });
  const rows = [...targetRows(comparison, plan.loads), ...plan.peers ? await peerRows({ ...plan, say }) : []];
  if (plan.json) print(JSON.stringify(jsonOf({ machine, versions, comparison, rows }), null, 2));
  else for (const line of [...machine, ...versions, "", ...textOf(comparison, rows)]) print(line);
  return exitCodeOf(rows, { strict: false });
}

function textOf(comparison: Comparison, rows: readonly Row[]): string[] {
  return [...comparison.outcomes.size > 0 ? [...measuredLines(comparison), ""] : [], ...tableLines(rows)];
}

function jsonOf(
  { machine, versions, comparison, rows }: {
    readonly machine: readonly string[];
    readonly versions: readonly string[];
    readonly comparison: Comparison;
    readonly rows: readonly Row[];
  },
): unknown {
  const outcomes = Object.fromEntries(
    [...comparison.outcomes].map(([load, ofLoad]) => [load, Object.fromEntries(ofLoad)]),
  );
  const rssMiB = Object.fromEntries(comparison.rssMiB);
  return { machine, versions, outcomes, rssMiB, rows: rows.map(jsonRow) };
}

/** To stderr: stdout is the result's. */
function say(line: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`bench: ${line}\n`));
}

if (import.meta.main) Deno.exit(await main(JSON.parse(Deno.args[0]!)));
