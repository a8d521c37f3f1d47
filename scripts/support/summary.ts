/** Adds up what the test suites did and words the verdict. No I/O. */
import type { TestCase } from "./junit.ts";

/** A test, or a whole suite, that did not run, and why. */
export interface Skip {
  /** `suite: file: test name`. */
  readonly what: string;
  readonly reason: string;
}

/** What one suite, or all of them, did. */
export interface Summary {
  readonly passed: number;
  readonly failed: number;
  /** One line per failure. */
  readonly failures: readonly string[];
  readonly skips: readonly Skip[];
}

/** How a run of `deno test` ended, as far as the report does not say. */
export interface SuiteRun {
  readonly suite: string;
  /** Exit code of `deno test`. */
  readonly code: number;
  readonly timedOut: boolean;
  /** The report, or why there is none. */
  readonly cases: readonly TestCase[] | { readonly problem: string };
  /** A filter was given, so that nothing may have matched. */
  readonly filtered?: boolean;
}

/** What an ignored test says after its name: `name # skip: reason`. */
const SKIP_MARK = " # skip: ";

/** Nothing ran, nothing failed. */
export const EMPTY_SUMMARY: Summary = { passed: 0, failed: 0, failures: [], skips: [] };

/** Name of a test that is registered as ignored for the given reason. */
export function skippedName(name: string, reason: string): string {
  return `${name}${SKIP_MARK}${reason}`;
}

/**
 * Sums up one run. Counts top-level tests; an ignored step counts as a skip. What the report cannot show is a
 * failure too: an exit code without a failed test, as a module that does not load gives, a report that is missing,
 * a suite in which no test ran.
 */
export function summarise(run: SuiteRun): Summary {
  const failures: string[] = [];
  if (run.timedOut) failures.push(`${run.suite}: killed at its deadline`);
  if ("problem" in run.cases) {
    failures.push(`${run.suite}: ${run.cases.problem} (exit code ${run.code})`);
    return { ...EMPTY_SUMMARY, failed: failures.length, failures };
  }
  const cases = run.cases.filter(({ outcome }) => outcome !== "filtered");
  const tests = cases.filter(({ isStep }) => !isStep);
  for (const { file, name } of tests.filter(({ outcome }) => outcome === "failed")) {
    failures.push(`${run.suite}: ${plainPath(file)}: ${name}`);
  }
  if (cases.length === 0 && run.filtered !== true) failures.push(`${run.suite}: no test ran`);
  if (run.code !== 0 && failures.length === 0) {
    failures.push(`${run.suite}: exit code ${run.code} without a failed test; see its output`);
  }
  return {
    passed: tests.filter(({ outcome }) => outcome === "passed").length,
    failed: failures.length,
    failures,
    skips: cases.filter(({ outcome }) => outcome === "skipped").map((test) => skipOf(run.suite, test)),
  };
}

/** Adds summaries up. */
export function total(parts: readonly Summary[]): Summary {
  return parts.reduce((sum, part) => ({
    passed: sum.passed + part.passed,
    failed: sum.failed + part.failed,
    failures: [...sum.failures, ...part.failures],
    skips: [...sum.skips, ...part.skips],
  }), EMPTY_SUMMARY);
}

/** The closing lines of a run, the verdict last. */
export function report(sum: Summary, options: { readonly ci: boolean }): string[] {
  const lines: string[] = [];
  if (sum.failures.length > 0) lines.push("failed:", ...sum.failures.map((line) => `  ${line}`));
  if (sum.skips.length > 0) {
    lines.push(options.ci ? "skipped, which CI does not allow:" : "skipped:");
    lines.push(...sum.skips.map(({ what, reason }) => `  ${what}: ${reason}`));
  }
  if (sum.passed + sum.failed === 0) lines.push("no test ran");
  const skipped = sum.skips.length > 0 ? `, ${sum.skips.length} skipped` : "";
  lines.push(`${sum.passed} passed, ${sum.failed} failed${skipped}`);
  return lines;
}

/** Exit code of a run: 0 only when something ran, nothing failed and, in CI, nothing was skipped. */
export function exitCode(sum: Summary, options: { readonly ci: boolean }): 0 | 1 {
  if (sum.failed > 0 || sum.passed === 0) return 1;
  return options.ci && sum.skips.length > 0 ? 1 : 0;
}

function skipOf(suite: string, test: TestCase): Skip {
  const at = test.name.lastIndexOf(SKIP_MARK);
  const name = at < 0 ? test.name : test.name.slice(0, at);
  const reason = at < 0 ? "ignored without a reason" : test.name.slice(at + SKIP_MARK.length);
  return { what: `${suite}: ${plainPath(test.file)}: ${name}`, reason };
}

function plainPath(file: string): string {
  return file.replace(/^\.\//, "");
}
