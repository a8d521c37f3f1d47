/** The comparison held against its targets, as rows, and as a table of all that was measured. Pure. */
import { alignedLines, formatQuantity } from "../support/report.ts";
import type { Budget, Quantity, Row } from "../support/row.ts";
import type { Comparison } from "./compare.ts";
import { IMPLEMENTATION_IDS, type ImplementationId } from "./implementations.ts";
import { type LoadId, LOADS, type Metric } from "./loads.ts";

/** One target: ours against a peer, or against a limit. */
interface Target {
  readonly load: LoadId;
  readonly metric: Metric;
  readonly peer?: ImplementationId;
  readonly budget: Budget;
}

const UNITS: Readonly<Record<Metric, Quantity["unit"]>> = {
  gbps: "Gbit/s",
  kpps: "kpps",
  lossPercent: "%",
  cpuPerGb: "s/GB",
  p50Ms: "ms",
  p99Ms: "ms",
};

const FOUR_TIMES: Budget = { kind: "ratioAtLeast", target: 4, floor: 3 };
const AHEAD: Budget = { kind: "ratioAtLeast", target: 1, floor: 1 };
const A_THIRD: Budget = { kind: "ratio", atMost: 1 / 3 };

const THROUGHPUTS: readonly LoadId[] = ["tcp1", "tcp4", "tcp-both", "udp64", "udp512", "udp1372"];

/** What ours has to reach. */
export const TARGETS: readonly Target[] = [
  ...(["tcp1", "tcp4"] as const).flatMap((load): Target[] => [
    { load, metric: "gbps", peer: "wireguard-go", budget: FOUR_TIMES },
    { load, metric: "cpuPerGb", peer: "wireguard-go", budget: A_THIRD },
  ]),
  { load: "udp1372-1.5g", metric: "gbps", budget: { kind: "atLeast", limit: 1.5 * 0.98 } },
  { load: "udp1372-1.5g", metric: "lossPercent", budget: { kind: "atMost", limit: 2 } },
  ...THROUGHPUTS.flatMap((load) =>
    (["wireguard-go-newest", "boringtun"] as const).map((peer): Target => ({
      load,
      metric: load.startsWith("udp") ? "kpps" : "gbps",
      peer,
      budget: AHEAD,
    }))
  ),
];

/** Rows of the targets whose load was run. */
export function targetRows(comparison: Comparison, loads: readonly LoadId[]): Row[] {
  return TARGETS.filter(({ load }) => loads.includes(load)).map((target, i) =>
    rowOf(comparison, target, String(i + 1))
  );
}

function rowOf({ outcomes, missing }: Comparison, target: Target, id: string): Row {
  const { load, metric, peer, budget } = target;
  const what = `${LOADS.find((one) => one.id === load)!.name}${metric === "cpuPerGb" ? ", CPU" : ""}${
    metric === "lossPercent" ? ", loss" : ""
  }`;
  const quantity = (of: ImplementationId): Quantity | undefined => {
    const value = outcomes.get(load)?.get(of)?.[metric];
    return value === undefined ? undefined : { value, unit: UNITS[metric] };
  };
  const [ours, theirs] = [quantity("ours"), peer === undefined ? undefined : quantity(peer)];
  const lacking = ours === undefined ? "ours" : peer !== undefined && theirs === undefined ? peer : undefined;
  if (ours === undefined || lacking !== undefined) {
    const reason = `${lacking}: ${missing.get(lacking!) ?? "not measured"}`;
    return { state: lacking === "ours" ? "failed" : "skipped", id, what, reason };
  }
  return {
    state: "measured",
    id,
    what,
    ours,
    ...theirs === undefined ? {} : { peer: { name: peer!, quantity: theirs } },
    budget,
    notes: [],
  };
}

const COLUMNS: readonly Metric[] = ["gbps", "kpps", "lossPercent", "cpuPerGb", "p50Ms", "p99Ms"];

/** Lines of the table: load by implementation, and how many times faster ours is. */
export function measuredLines(comparison: Comparison): string[] {
  const headings = ["load", "by", "Gbit/s", "kpps", "loss %", "CPU s/GB", "p50 ms", "p99 ms", "ours is"];
  const cells = LOADS.flatMap(({ id, name }) => {
    const ofLoad = comparison.outcomes.get(id);
    return IMPLEMENTATION_IDS.filter((by) => ofLoad?.has(by)).map((by, i) => {
      const outcome = ofLoad!.get(by)!;
      const numbers = COLUMNS.map((metric) => formatMetric(outcome[metric]));
      return [i === 0 ? name : "", by, ...numbers, timesFaster(ofLoad!.get("ours"), outcome, by)];
    });
  });
  return [...alignedLines([headings, ...cells]), "", ...footLines(comparison)];
}

function formatMetric(value: number | undefined): string {
  return value === undefined ? "" : formatQuantity({ value, unit: "" }).trim();
}

function timesFaster(
  ours: Readonly<Partial<Record<Metric, number>>> | undefined,
  theirs: Readonly<Partial<Record<Metric, number>>>,
  by: ImplementationId,
): string {
  const [mine, other] = [ours?.gbps, theirs.gbps];
  return by === "ours" || mine === undefined || !other ? "" : `${(mine / other).toFixed(2)} x`;
}

function footLines({ rssMiB, missing }: Comparison): string[] {
  const rss = [...rssMiB].map(([id, value]) => `${id} ${value.toFixed(0)} MiB`).join(", ");
  return [
    ...rss === "" ? [] : [`resident memory of both ends: ${rss}`],
    ...[...missing].map(([id, reason]) => `${id}: ${reason}`),
  ];
}
