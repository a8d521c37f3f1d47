import { assertEquals } from "@std/assert";
import type { TestCase } from "../../scripts/support/junit.ts";
import {
  EMPTY_SUMMARY,
  exitCode,
  report,
  skippedName,
  type SuiteRun,
  summarise,
  type Summary,
  total,
} from "../../scripts/support/summary.ts";

function testCase(overrides: Partial<TestCase>): TestCase {
  return { file: "./tests/a_test.ts", name: "a", isStep: false, outcome: "passed", ...overrides };
}

function suiteRun(overrides: Partial<SuiteRun>): SuiteRun {
  return { suite: "unit", code: 0, timedOut: false, cases: [testCase({})], ...overrides };
}

const ROWS: { name: string; run: Partial<SuiteRun>; want: Partial<Summary> }[] = [
  { name: "a pass", run: {}, want: { passed: 1 } },
  {
    name: "steps count with their test",
    run: { code: 1, cases: [testCase({ outcome: "failed" }), testCase({ isStep: true, outcome: "failed" })] },
    want: { failed: 1, failures: ["unit: tests/a_test.ts: a"] },
  },
  {
    name: "an ignored test says why",
    run: { cases: [testCase({ name: skippedName("a > b", "needs crun"), outcome: "skipped" })] },
    want: { skips: [{ what: "unit: tests/a_test.ts: a > b", reason: "needs crun" }] },
  },
  {
    name: "an ignored step is a skip, with or without a reason",
    run: { cases: [testCase({}), testCase({ name: "a > b", isStep: true, outcome: "skipped" })] },
    want: {
      passed: 1,
      skips: [{ what: "unit: tests/a_test.ts: a > b", reason: "ignored without a reason" }],
    },
  },
  {
    name: "a filtered test is nothing",
    run: { cases: [testCase({ outcome: "filtered" })], filtered: true },
    want: {},
  },
  {
    name: "a suite without tests is a failure",
    run: { cases: [] },
    want: { failed: 1, failures: ["unit: no test ran"] },
  },
  {
    name: "an exit code without a failed test is a failure",
    run: { code: 1 },
    want: { passed: 1, failed: 1, failures: ["unit: exit code 1 without a failed test; see its output"] },
  },
  {
    name: "a missing report is a failure",
    run: { cases: { problem: "no report" } },
    want: { failed: 1, failures: ["unit: no report (exit code 0)"] },
  },
  {
    name: "a suite killed at its deadline failed even when its report is whole",
    run: { timedOut: true, code: 137 },
    want: { passed: 1, failed: 1, failures: ["unit: killed at its deadline"] },
  },
];

Deno.test("summarise()", async (t) => {
  for (const { name, run, want } of ROWS) {
    await t.step(name, () => assertEquals(summarise(suiteRun(run)), { ...EMPTY_SUMMARY, ...want }));
  }
});

Deno.test("report() ends with the verdict and lists skips before it", () => {
  const skips = [{ what: "netns: x", reason: "needs root" }];
  assertEquals(report({ passed: 2, failed: 0, failures: [], skips }, { ci: false }), [
    "skipped:",
    "  netns: x: needs root",
    "2 passed, 0 failed, 1 skipped",
  ]);
  assertEquals(report({ passed: 2, failed: 1, failures: ["u: f: t"], skips: [] }, { ci: true }), [
    "failed:",
    "  u: f: t",
    "2 passed, 1 failed",
  ]);
  assertEquals(report(EMPTY_SUMMARY, { ci: true }), ["no test ran", "0 passed, 0 failed"]);
});

Deno.test("exitCode() fails on failures, on nothing run, and on skips in CI only", () => {
  const good = { ...EMPTY_SUMMARY, passed: 1 };
  const skipping = { ...good, skips: [{ what: "x", reason: "y" }] };
  assertEquals(exitCode(good, { ci: true }), 0);
  assertEquals(exitCode(skipping, { ci: false }), 0);
  assertEquals(exitCode(skipping, { ci: true }), 1);
  assertEquals(exitCode(total([good, { ...EMPTY_SUMMARY, failed: 1 }]), { ci: false }), 1);
  assertEquals(exitCode(EMPTY_SUMMARY, { ci: false }), 1);
});
