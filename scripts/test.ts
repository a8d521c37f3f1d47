/**
 * `deno task test`: runs every test suite that this machine can and sums up.
 *
 * Usage: `deno task test [--only unit,netns,compile,kernel] [--filter text] [--no-setup]`.
 * The last line is `N passed, N failed`, with `, N skipped` when something could not run; the skips stand
 * before it with their reasons. Exit code 1 on a failure, when no test ran, and, with `CI=true`, on any skip.
 */
import { join } from "@std/path";
import { parseArgs } from "@std/cli";
import { JUnitError, parseJUnit } from "./support/junit.ts";
import { denoArgv, print, stream } from "./support/process.ts";
import { REPO, sourceFiles } from "./support/repo.ts";
import { type Suite, suite, SUITE_NAMES, type SuiteName, testArgv } from "./support/suites.ts";
import {
  EMPTY_SUMMARY,
  exitCode,
  report,
  type SuiteRun,
  summarise,
  type Summary,
  total,
} from "./support/summary.ts";

/** What the command line asks for. */
interface Plan {
  readonly suites: readonly SuiteName[];
  readonly filter?: string;
  readonly setUp: boolean;
}

const CHILD_ENV = { DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1" };

async function main(args: readonly string[]): Promise<number> {
  const plan = parsePlan(args);
  if (typeof plan === "string") {
    print(plan);
    return 2;
  }
  const ci = Deno.env.get("CI") === "true";
  const sum = total(await run(plan));
  print();
  for (const line of report(sum, { ci })) print(line);
  return exitCode(sum, { ci });
}

/** Reads the command line; a text says what is wrong with it. */
function parsePlan(args: readonly string[]): Plan | string {
  const unknown: string[] = [];
  const flags = parseArgs(args, {
    string: ["only", "filter"],
    boolean: ["no-setup"],
    unknown: (arg) => void unknown.push(arg),
  });
  const bad = [...unknown, ...flags._];
  if (bad.length > 0) return `test: unknown argument ${bad.join(" ")}`;
  const only = typeof flags.only === "string" ? flags.only.split(",") : [...SUITE_NAMES];
  const strange = only.filter((name) => !(SUITE_NAMES as readonly string[]).includes(name));
  if (strange.length > 0) return `test: no suite ${strange.join(", ")}; there are ${SUITE_NAMES.join(", ")}`;
  const filter = typeof flags.filter === "string" && flags.filter !== "" ? { filter: flags.filter } : {};
  return {
    suites: SUITE_NAMES.filter((name) => only.includes(name)),
    setUp: flags["no-setup"] !== true,
    ...filter,
  };
}

async function run(plan: Plan): Promise<Summary[]> {
  const prepared = await prepare();
  if (prepared !== undefined) return [prepared];
  const temp = await Deno.makeTempDir({ prefix: "zlayer-overlayd-test-" });
  try {
    const sums: Summary[] = [];
    for (const name of plan.suites) sums.push(await runSuite(suite(name), temp, plan));
    return sums;
  } finally {
    await Deno.remove(temp, { recursive: true });
  }
}

/** Checks types and fills Deno's cache once, so that the suites need neither network nor compiler. */
async function prepare(): Promise<Summary | undefined> {
  const { code } = await stream(denoArgv("check", "--frozen", ...sourceFiles()), {
    cwd: REPO,
    env: CHILD_ENV,
  });
  if (code === 0) return undefined;
  return { ...EMPTY_SUMMARY, failed: 1, failures: ["deno check: see its output"] };
}

async function runSuite(one: Suite, temp: string, plan: Plan): Promise<Summary> {
  if (one.files.length === 0) return EMPTY_SUMMARY;
  print(`\n--- ${one.name}: ${one.files.length} files`);
  const unmet = await one.unmet();
  if (unmet !== undefined) {
    print(`skipped: ${unmet}`);
    return {
      ...EMPTY_SUMMARY,
      skips: one.files.map((file) => ({ what: `${one.name}: ${file}`, reason: unmet })),
    };
  }
  const junitPath = join(temp, `${one.name}.xml`);
  const filter = plan.filter === undefined ? {} : { filter: plan.filter };
  const { code, timedOut } = await stream(one.wrap(testArgv(one.files, junitPath, filter)), {
    cwd: REPO,
    env: CHILD_ENV,
    timeoutMs: one.timeoutMs,
  });
  return summarise({
    suite: one.name,
    code,
    timedOut,
    cases: await readReport(junitPath),
    expectedFiles: plan.filter === undefined ? one.files : [],
  });
}

async function readReport(path: string): Promise<SuiteRun["cases"]> {
  try {
    return parseJUnit(await Deno.readTextFile(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { problem: "deno test wrote no report" };
    if (error instanceof JUnitError) return { problem: error.message };
    throw error;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
