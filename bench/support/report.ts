/** The result as an aligned table and as JSON. Pure. */
import {
  type Budget,
  isWithin,
  type MeasuredRow,
  type Quantity,
  ratioOf,
  type Row,
  verdictOf,
} from "./row.ts";

const HEADINGS = ["row", "what", "ours", "peer", "ratio", "budget", "within"] as const;

/** Lines of the table; below it the notes of each row. */
export function tableLines(rows: readonly Row[]): string[] {
  return [...alignedLines([[...HEADINGS], ...rows.map(cellsOf)]), "", ...rows.flatMap(noteLines)];
}

/** Lines of a table. @param cells The headings, then a list of as many cells for each line. */
export function alignedLines(cells: readonly (readonly string[])[]): string[] {
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((line) => line[column]!.length)));
  const lines = cells.map((line) => line.map((cell, i) => cell.padEnd(widths[i]!)).join("  ").trimEnd());
  lines.splice(1, 0, widths.map((width) => "-".repeat(width)).join("  "));
  return lines;
}

function cellsOf(row: Row): string[] {
  if (row.state !== "measured") return [row.id, row.what, row.state, "", "", "", "-"];
  const ratio = ratioOf(row);
  return [
    row.id,
    row.what,
    formatQuantity(row.ours),
    row.peer === undefined ? "" : `${row.peer.name} ${formatQuantity(row.peer.quantity)}`,
    ratio === undefined ? "" : formatRatio(ratio),
    formatBudget(row.budget, row.ours.unit),
    verdictOf(row),
  ];
}

function noteLines(row: Row): string[] {
  const notes = row.state === "measured" ? row.notes : [`${row.state}: ${row.reason}`];
  return notes.map((note) => `${row.id}: ${note}`);
}

/** `12.3 ms`; three significant digits, thousands whole. */
export function formatQuantity({ value, unit }: Quantity): string {
  return `${formatNumber(value)} ${unit}`;
}

function formatNumber(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

/** `1/9.4` when ours is the smaller, else `1.31 x`. */
function formatRatio(ratio: number): string {
  return ratio < 1 ? `1/${formatNumber(1 / ratio)}` : `${formatNumber(ratio)} x`;
}

function formatBudget(budget: Budget, unit: Quantity["unit"]): string {
  switch (budget.kind) {
    case "ratio":
      return `<= ${formatRatio(budget.atMost)}`;
    case "ratioAtLeast":
      return `>= ${formatRatio(budget.target)}${
        budget.floor === budget.target ? "" : `, floor ${formatRatio(budget.floor)}`
      }`;
    case "atMost":
      return `<= ${formatQuantity({ value: budget.limit, unit })}`;
    case "atLeast":
      return `>= ${formatQuantity({ value: budget.limit, unit })}`;
  }
}

/** A row with what follows from it, for `--json`. */
export function jsonRow(row: Row): Record<string, unknown> {
  if (row.state !== "measured") return { ...row };
  return { ...row, ...ratioFields(row), within: isWithin(row) };
}

function ratioFields(row: MeasuredRow): { ratio?: number } {
  const ratio = ratioOf(row);
  return ratio === undefined ? {} : { ratio };
}

/** 0; 1 when a row failed, or, with `strict`, was skipped. A budget that is missed is a result, not a failure. */
export function exitCodeOf(rows: readonly Row[], options: { readonly strict: boolean }): number {
  const isBad = ({ state }: Row): boolean => state === "failed" || (options.strict && state === "skipped");
  return rows.some(isBad) ? 1 : 0;
}
