/** Rows of the result: what was measured, what it is held against, whether it fits. Pure. */

/** A measured value. */
export interface Quantity {
  readonly value: number;
  readonly unit: "ms" | "/s" | "MiB" | "KiB" | "%" | "Gbit/s" | "kpps" | "s/GB" | "";
}

/** What a row is held against. */
export type Budget =
  /** `ours` divided by `peer` is at most this. */
  | { readonly kind: "ratio"; readonly atMost: number }
  /** `ours` divided by `peer` is at least `target`; from `floor` on it will do. */
  | { readonly kind: "ratioAtLeast"; readonly target: number; readonly floor: number }
  | { readonly kind: "atMost"; readonly limit: number }
  | { readonly kind: "atLeast"; readonly limit: number };

/** A row that was measured. */
export interface MeasuredRow {
  readonly state: "measured";
  /** Number of the budget in the list of budgets, with a letter where it has several rows. */
  readonly id: string;
  readonly what: string;
  readonly ours: Quantity;
  /** What `ours` is compared with; always there when the budget is a ratio. */
  readonly peer?: { readonly name: string; readonly quantity: Quantity };
  readonly budget: Budget;
  /** What the numbers include, and further ones. */
  readonly notes: readonly string[];
}

/** A row without a result. `skipped`: the machine lacks what it needs; `failed`: it went wrong. */
export interface MissingRow {
  readonly state: "skipped" | "failed";
  readonly id: string;
  readonly what: string;
  readonly reason: string;
}

/** One row. */
export type Row = MeasuredRow | MissingRow;

/** `ours` divided by `peer`, or undefined without a peer. */
export function ratioOf({ ours, peer }: MeasuredRow): number | undefined {
  return peer === undefined ? undefined : ours.value / peer.quantity.value;
}

/** Whether the row is within its budget; `floor`: short of the target, but not below what will do. */
export type Verdict = "yes" | "floor" | "NO";

/** Holds the row against its budget. @throws {TypeError} If the budget is a ratio and there is no peer. */
export function verdictOf(row: MeasuredRow): Verdict {
  const { budget } = row;
  switch (budget.kind) {
    case "atMost":
      return row.ours.value <= budget.limit ? "yes" : "NO";
    case "atLeast":
      return row.ours.value >= budget.limit ? "yes" : "NO";
    case "ratio":
      return needRatio(row) <= budget.atMost ? "yes" : "NO";
    case "ratioAtLeast": {
      const ratio = needRatio(row);
      if (ratio >= budget.target) return "yes";
      return ratio >= budget.floor ? "floor" : "NO";
    }
  }
}

/** Whether the row is within its budget, at least by the floor. @throws {TypeError} As {@linkcode verdictOf}. */
export function isWithin(row: MeasuredRow): boolean {
  return verdictOf(row) !== "NO";
}

function needRatio(row: MeasuredRow): number {
  const ratio = ratioOf(row);
  if (ratio === undefined) throw new TypeError(`row ${row.id}: a ratio needs a peer`);
  return ratio;
}
