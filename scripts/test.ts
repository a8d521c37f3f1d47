/**
 * `deno task test`: runs every test suite that this machine can and sums up.
 *
 * Usage: `deno task test [--only unit,netns,compile,kernel,windows] [--filter text] [--no-setup]`.
 * The last line is `N passed, N failed`, with `, N skipped` when something could not run; the skips stand
 * before it with their reasons. Exit code 1 on a failure, when no test ran, and, with `CI=true`, on any skip.
 */
import { join } from "@std/path";
import { parseArgs } from "@std/cli";
import { runInGuest } from "../tests/support/kernel_rig.ts";
import { testInWine } from "../tests/support/wine_rig.ts";
import { WORKERS } from "./compile.ts";
import { setUp } from "./setup.ts";
import { cacheDir } from "./support/cache_dir.ts";
import { testArgv } from "./support/deno_test.ts";
import { DENO_2_4_2, findNpmTool } from "./support/npm_tools.ts";
import { fetchImports } from "./support/imports.ts";
import { denoArgv, denoEnv, print, stream } from "./support/process.ts";
import { readReport } from "./support/report_file.ts";
import { REPO, sourceFiles } from "./support/repo.ts";
import { type Suite, suite, SUITE_NAMES, type SuiteName } from "./support/suites.ts";
import { EMPTY_SUMMARY, exitCode, report, summarise, type Summary, total } from "./support/summary.ts";

/** What the command line asks for. */
interface Plan {
  readonly suites: readonly SuiteName[];
  readonly options: { readonly filter?: string };
  readonly setUp: boolean;
}

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
  const options = typeof flags.filter === "string" && flags.filter !== "" ? { filter: flags.filter } : {};
  return {
    suites: SUITE_NAMES.filter((name) => only.includes(name)),
    setUp: flags["no-setup"] !== true,
    options,
  };
}

async function run(plan: Plan): Promise<Summary[]> {
  const suites = plan.suites.map(suite);
  const parts = suites.flatMap((one) => one.parts);
  if (plan.setUp && parts.length > 0) {
    for (const line of await setUp(parts)) print(`setup: missing: ${line}`);
  }
  const prepared = await prepare();
  if (prepared !== undefined) return [prepared];
  const temp = await Deno.makeTempDir({ prefix: "zlayer-overlayd-test-" });
  try {
    const sums: Summary[] = [];
    for (const one of suites) sums.push(await runSuite(one, temp, plan));
    return sums;
  } finally {
    await Deno.remove(temp, { recursive: true });
  }
}

/** Checks types and fills Deno's caches once, so that the suites need neither network nor compiler. */
async function prepare(): Promise<Summary | undefined> {
  const fetches = [denoArgv("cache", "--quiet", "--frozen", ...sourceFiles())];
  const deno242 = findNpmTool(cacheDir(), DENO_2_4_2);
  if (deno242 !== undefined) fetches.push([deno242, "cache", "--quiet", "--no-lock", ...compiledEntries()]);
  for (const argv of fetches) {
    const problem = await fetchImports(argv);
    if (problem !== undefined) return { ...EMPTY_SUMMARY, failed: 1, failures: [problem] };
  }
  const check = denoArgv("check", "--quiet", "--frozen", ...sourceFiles());
  const { code } = await stream(check, { cwd: REPO, env: denoEnv() });
  return code === 0 ? undefined : { ...EMPTY_SUMMARY, failed: 1, failures: ["deno check: see its output"] };
}

/** What tests compile on Deno 2.4.2, whose npm cache has an index of its own. */
function compiledEntries(): string[] {
  const entries = ["main.ts", "tests/compile/testdata/main.ts", ...WORKERS];
  return sourceFiles().filter((path) => entries.includes(path));
}

async function runSuite(one: Suite, temp: string, plan: Plan): Promise<Summary> {
  const files = [...one.files, ...one.guestFiles, ...one.wineFiles];
  if (files.length === 0) return EMPTY_SUMMARY;
  print(`\n--- ${one.name}: ${files.length} files`);
  const unmet = await one.unmet();
  if (unmet !== undefined) {
    print(`skipped: ${unmet}`);
    const skips = files.map((file) => ({ what: `${one.name}: ${file}`, reason: unmet }));
    return { ...EMPTY_SUMMARY, skips };
  }
  return total([
    await runFiles(one, temp, plan),
    await runGuestFiles(one, plan),
    await runWineFiles(one, plan),
  ]);
}

async function runFiles(one: Suite, temp: string, plan: Plan): Promise<Summary> {
  if (one.files.length === 0) return EMPTY_SUMMARY;
  const junitPath = join(temp, `${one.name}.xml`);
  const { code, timedOut } = await stream(one.wrap(testArgv(one.files, junitPath, plan.options)), {
    cwd: REPO,
    env: denoEnv(),
    timeoutMs: one.timeoutMs,
  });
  const cases = await readReport(junitPath);
  return summarise({ suite: one.name, code, timedOut, cases, filtered: isFiltered(plan) });
}

/** One guest runs all its files, console shown as it comes. */
async function runGuestFiles(one: Suite, plan: Plan): Promise<Summary> {
  if (one.guestFiles.length === 0) return EMPTY_SUMMARY;
  const onOutput = (text: string): void => void Deno.stdout.writeSync(new TextEncoder().encode(text));
  const guest = await runInGuest(one.guestFiles, { ...plan.options, timeoutMs: one.timeoutMs, onOutput });
  return summarise({
    suite: `${one.name} (guest)`,
    code: guest.code ?? 1,
    timedOut: guest.timedOut,
    cases: guest.cases,
    filtered: isFiltered(plan),
  });
}

/** One `deno.exe` runs all its files. */
async function runWineFiles(one: Suite, plan: Plan): Promise<Summary> {
  if (one.wineFiles.length === 0) return EMPTY_SUMMARY;
  const run = await testInWine(one.wineFiles, { ...plan.options, timeoutMs: one.timeoutMs, show: true });
  return summarise({
    suite: `${one.name} (deno.exe)`,
    code: run.code ?? 1,
    timedOut: run.timedOut,
    cases: run.cases,
    filtered: isFiltered(plan),
  });
}

function isFiltered(plan: Plan): boolean {
  return plan.options.filter !== undefined;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
