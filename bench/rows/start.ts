/** Row 6: from spawning the daemon to its first answer. */
import { BenchDaemon } from "../support/daemon.ts";
import type { Row } from "../support/row.ts";
import { summarise } from "../support/statistics.ts";
import { rest } from "../support/timing.ts";

/** A way to start the daemon. */
export interface StartPlan {
  readonly id: string;
  readonly name: string;
  readonly argv: readonly string[];
  /** Parent of its data directories, a new one for each start. */
  readonly dir: string;
  readonly limitMs: number;
}

const STARTS = 15;

/** Measures, after one start that fills the caches. */
export async function startRow({ id, name, argv, dir, limitMs }: StartPlan): Promise<Row> {
  const samples: number[] = [];
  for (let n = 0; n <= STARTS; n++) {
    await rest(50);
    const started = performance.now();
    await using _daemon = await BenchDaemon.start({ argv, dir });
    if (n > 0) samples.push(performance.now() - started);
  }
  const { min, p50, max } = summarise(samples);
  return {
    state: "measured",
    id,
    what: `start to first answer, ${name}, p50`,
    ours: { value: p50, unit: "ms" },
    budget: { kind: "atMost", limit: limitMs },
    notes: [
      `${STARTS} starts on a new data directory, spawn to the reply of a status: min ${min.toFixed(0)} ms, ` +
      `p50 ${p50.toFixed(0)} ms, max ${max.toFixed(0)} ms`,
    ],
  };
}
