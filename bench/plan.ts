/** What a run measures: made by `bench/daemon_bench.ts`, carried out by `bench/main.ts` in namespaces of its own. */

/** The rows by number, in the order they run. */
export const STAGES = ["1", "2-3", "4", "5", "6", "7"] as const;

/** One group of rows. */
export type Stage = typeof STAGES[number];

/** A run. Travels as JSON in an argument. */
export interface BenchPlan {
  /** Directory for all state, on a disk. */
  readonly dir: string;
  readonly stages: readonly Stage[];
  /** The compiled daemon, or why there is none. */
  readonly compiled: { readonly path: string } | { readonly reason: string };
  /** Also with 1,000 attachments. */
  readonly scale: boolean;
  readonly json: boolean;
  /** What is missing counts as failed, as in continuous integration. */
  readonly strict: boolean;
}
