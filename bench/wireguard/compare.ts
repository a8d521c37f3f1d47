/** Puts every implementation under every load, in turns, and takes medians. */
import { residentBytes } from "../support/process_stat.ts";
import { median } from "../support/statistics.ts";
import type { Implementation, ImplementationId } from "./implementations.ts";
import { type Load, type LoadId, LOADS, type Outcome } from "./loads.ts";
import type { Tunnel } from "./tunnel.ts";

/** What was measured. */
export interface Comparison {
  /** Medians, by load and implementation. */
  readonly outcomes: ReadonlyMap<LoadId, ReadonlyMap<ImplementationId, Outcome>>;
  /** MiB of both ends together after all loads. */
  readonly rssMiB: ReadonlyMap<ImplementationId, number>;
  /** Implementations without a result, with the reason. */
  readonly missing: ReadonlyMap<ImplementationId, string>;
}

/** How a comparison is made. */
export interface CompareOptions {
  readonly loads: readonly LoadId[];
  readonly rounds: number;
  readonly seconds: number;
  /** Told what is being done. */
  readonly say: (line: string) => void;
}

/**
 * All tunnels stand at the same time, and each load goes around them before the next begins, so that whatever else
 * the machine does meets all of them alike. One that stands idle takes no time.
 */
export async function compare(
  all: readonly Implementation[],
  options: CompareOptions,
): Promise<Comparison> {
  await using stack = new AsyncDisposableStack();
  const missing = new Map<ImplementationId, string>();
  const tunnels = new Map<ImplementationId, Tunnel>();
  for (const one of all) {
    if ("reason" in one) missing.set(one.id, one.reason);
    else {
      await one.open().then(
        (tunnel) => tunnels.set(one.id, stack.use(tunnel)),
        (error) => missing.set(one.id, `did not start: ${describe(error)}`),
      );
    }
  }
  const samples = await sample(tunnels, missing, options);
  const rssMiB = new Map(
    [...tunnels].filter(([id, { pids }]) => pids.length > 0 && !missing.has(id)).map(([id, { pids }]) =>
      [id, pids.reduce((sum, pid) => sum + residentBytes(pid), 0) / 2 ** 20] as const
    ),
  );
  return { outcomes: medians(samples), rssMiB, missing };
}

type Samples = Map<LoadId, Map<ImplementationId, Outcome[]>>;

async function sample(
  tunnels: ReadonlyMap<ImplementationId, Tunnel>,
  missing: Map<ImplementationId, string>,
  options: CompareOptions,
): Promise<Samples> {
  const samples: Samples = new Map();
  for (let round = 0; round < options.rounds; round++) {
    for (const load of LOADS.filter(({ id }) => options.loads.includes(id))) {
      options.say(`round ${round + 1} of ${options.rounds}: ${load.name}`);
      for (const [id, tunnel] of tunnels) {
        const outcome = await attempt(load, tunnel, options.seconds);
        if (typeof outcome === "string") missing.set(id, `${load.name}: ${outcome}`);
        else keep(samples, { load: load.id, id, outcome });
      }
    }
  }
  return samples;
}

/** Runs a load, once more if it fails. @returns Why it failed twice. */
async function attempt(load: Load, tunnel: Tunnel, seconds: number): Promise<Outcome | string> {
  try {
    return await load.run(tunnel, seconds);
  } catch {
    return await load.run(tunnel, seconds).catch(describe);
  }
}

function keep(
  samples: Samples,
  { load, id, outcome }: {
    readonly load: LoadId;
    readonly id: ImplementationId;
    readonly outcome: Outcome;
  },
): void {
  let ofLoad = samples.get(load);
  if (ofLoad === undefined) samples.set(load, ofLoad = new Map());
  ofLoad.set(id, [...ofLoad.get(id) ?? [], outcome]);
}

function medians(samples: Samples): Comparison["outcomes"] {
  return new Map([...samples].map(([load, ofLoad]) => [
    load,
    new Map([...ofLoad].map(([id, outcomes]) => [id, medianOutcome(outcomes)])),
  ]));
}

/** The median of each metric by itself. Pure. */
export function medianOutcome(outcomes: readonly Outcome[]): Outcome {
  const metrics = Object.keys(outcomes[0] ?? {}) as (keyof Outcome)[];
  return Object.fromEntries(
    metrics.map((metric) => [metric, median(outcomes.map((outcome) => outcome[metric] ?? NaN))]),
  );
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message.slice(0, 300) : String(error);
}
