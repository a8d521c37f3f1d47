import { assertEquals, assertThrows } from "@std/assert";
import { exitCodeOf, formatQuantity, jsonRow, tableLines } from "../../bench/support/report.ts";
import { isWithin, type MeasuredRow, type MissingRow } from "../../bench/support/row.ts";

const ATTACH: MeasuredRow = {
  state: "measured",
  id: "1a",
  what: "attach",
  ours: { value: 2, unit: "ms" },
  peer: { name: "other", quantity: { value: 12, unit: "ms" } },
  budget: { kind: "ratio", atMost: 1 / 5 },
  notes: ["all of it"],
};
const RATE: MeasuredRow = {
  state: "measured",
  id: "5",
  what: "requests",
  ours: { value: 9999.6, unit: "/s" },
  budget: { kind: "atLeast", limit: 10_000 },
  notes: [],
};
const SKIPPED: MissingRow = { state: "skipped", id: "6b", what: "start", reason: "no base" };

Deno.test("tableLines() aligns the columns and puts the notes below", () => {
  assertEquals(tableLines([ATTACH, RATE, SKIPPED]), [
    "row  what      ours      peer         ratio  budget       within",
    "---  --------  --------  -----------  -----  -----------  ------",
    "1a   attach    2 ms      other 12 ms  1/6    <= 1/5       yes",
    "5    requests  10000 /s                      >= 10000 /s  NO",
    "6b   start     skipped                                    -",
    "",
    "1a: all of it",
    "6b: skipped: no base",
  ]);
});

const TIMES = { kind: "ratioAtLeast", target: 4, floor: 3 } as const;

Deno.test("tableLines() tells a target that was reached from its floor", () => {
  const rows = [48, 36, 24].map((
    value,
  ) => ({ ...ATTACH, ours: { value, unit: "ms" }, budget: TIMES } as const));
  assertEquals(tableLines(rows).slice(2, 5).map((line) => line.split(/ {2,}/).slice(-3)), [
    ["4 x", ">= 4 x, floor 3 x", "yes"],
    ["3 x", ">= 4 x, floor 3 x", "floor"],
    ["2 x", ">= 4 x, floor 3 x", "NO"],
  ]);
});

Deno.test("isWithin() holds a row against its budget, the limit included", async (t) => {
  const ms = (value: number) => ({ value, unit: "ms" }) as const;
  const rows = [
    { name: "ratio met", row: { ...ATTACH, ours: ms(2.4) }, want: true },
    { name: "ratio missed", row: { ...ATTACH, ours: ms(2.5) }, want: false },
    { name: "at most", row: { ...RATE, budget: { kind: "atMost", limit: 9999.6 } }, want: true },
    { name: "more than at most", row: { ...RATE, budget: { kind: "atMost", limit: 9999 } }, want: false },
    { name: "at least", row: { ...RATE, budget: { kind: "atLeast", limit: 9999.6 } }, want: true },
    { name: "less than at least", row: RATE, want: false },
    { name: "ratio at its floor", row: { ...ATTACH, ours: ms(36), budget: TIMES }, want: true },
    { name: "ratio below its floor", row: { ...ATTACH, ours: ms(35), budget: TIMES }, want: false },
  ] as const;
  for (const { name, row, want } of rows) await t.step(name, () => assertEquals(isWithin(row), want));
  const { peer: _, ...alone } = ATTACH;
  assertThrows(() => isWithin(alone), TypeError, "row 1a");
});

Deno.test("formatQuantity() keeps three significant digits, large numbers whole", () => {
  const shown = [0.12345, 1.5, 12.345, 123.45, 12345.6].map((value) => formatQuantity({ value, unit: "ms" }));
  assertEquals(shown, ["0.123 ms", "1.5 ms", "12.3 ms", "123 ms", "12346 ms"]);
});

Deno.test("jsonRow() adds what follows from a measured row", () => {
  assertEquals(jsonRow(ATTACH), { ...ATTACH, ratio: 1 / 6, within: true });
  assertEquals(jsonRow(RATE), { ...RATE, within: false });
  assertEquals(jsonRow(SKIPPED), { ...SKIPPED });
});

Deno.test("exitCodeOf() fails for rows that are missing, never for a missed budget", () => {
  assertEquals(exitCodeOf([ATTACH, RATE], { strict: true }), 0);
  assertEquals(exitCodeOf([ATTACH, SKIPPED], { strict: false }), 0);
  assertEquals(exitCodeOf([ATTACH, SKIPPED], { strict: true }), 1);
  assertEquals(exitCodeOf([{ ...SKIPPED, state: "failed" }, ATTACH], { strict: false }), 1);
});
