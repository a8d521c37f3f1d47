/** Rows of the result: what was measured, what it is held against, whether it fits. Pure. */

/** A measured value. */
export interface Quantity {
  readonly value: number;
  readonly unit: "ms" | "/s" | "MiB" | "%";
}

/** What a row is held against. */
export type Budget =
  /** `ours` divided by `peer` is at most this. */
  | { readonly kind: "ratio"; readonly atMost: number }
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

/** Whether the row is within its budget. @throws {TypeError} If the budget is a ratio and there is no peer. */
export function isWithin(row: MeasuredRow): boolean {
  switch (row.budget.kind) {
    case "atMost":
      return row.ours.value <= row.budget.limit;
    case "atLeast":
      return row.ours.value >= row.budget.limit;
    case "ratio": {
      const ratio = ratioOf(row);
      if (ratio === undefined) throw new TypeError(`row ${row.id}: a ratio needs a peer`);
      return ratio <= row.budget.atMost;
    }
  }
}
