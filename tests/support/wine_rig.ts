/**
 * The Windows rig: runs programs for Windows, first of all the real `deno.exe`, under Wine.
 *
 * Each run has a throw-away copy of Wine's root (an overlay in memory), so nothing in the cache changes, and
 * namespaces of its own, so nothing outlives it. In there are, as Wine sees them:
 *
 * | place | what |
 * | --- | --- |
 * | `Z:\repo` | the repository, read-only; the current directory |
 * | `Z:\deno\deno.exe` | Deno |
 * | `Z:\deno-dir` | Deno's cache as it is on this machine, writes thrown away |
 * | `Z:\build` | the launcher and the fake libraries |
 * | `Z:\out` | a directory that the caller reads afterwards |
 */
import { dirname, join } from "@std/path";
import { cacheDir } from "../../scripts/support/cache_dir.ts";
import { denoDir } from "../../scripts/support/deno_dir.ts";
import { testArgv } from "../../scripts/support/deno_test.ts";
import { readExitCode } from "../../scripts/support/exit_code_file.ts";
import type { TestCase } from "../../scripts/support/junit.ts";
import { DENO_WINDOWS, findNpmTool } from "../../scripts/support/npm_tools.ts";
import { findProgram } from "../../scripts/support/packages.ts";
import { capture, stream } from "../../scripts/support/process.ts";
import { REPO } from "../../scripts/support/repo.ts";
import { readReport } from "../../scripts/support/report_file.ts";
import { buildForWindows, COMPILER } from "../../scripts/support/windows_build.ts";
import { findWineRoot, WINE_ENV, WINE_PREFIX } from "../../scripts/support/wine_root.ts";

/** Deno in the rig. */
export const DENO_EXE = "Z:\\deno\\deno.exe";

/** How a program is run. */
export interface WineOptions {
  /** Kills everything after so many milliseconds. Default 5 minutes. */
  readonly timeoutMs?: number;
  /** Shows the program's output as it comes, instead of collecting it. */
  readonly show?: boolean;
  /** Shares the caller's network namespace; by default there is nothing but a loopback of its own. */
  readonly shareNetwork?: boolean;
  /** Extra environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** What a program did. */
export interface WineResult {
  /** Its whole exit code, 32 bits; undefined when it did not end by itself. */
  readonly code: number | undefined;
  readonly timedOut: boolean;
  /** What it and Wine wrote, stderr last; empty with {@linkcode WineOptions.show}. */
  readonly output: string;
}

/** What tests did. */
export interface WineTestResult extends WineResult {
  readonly cases: readonly TestCase[] | { readonly problem: string };
}

const DEFAULT_TIMEOUT_MS = 5 * 60_000;

/**
 * How long Wine's service manager waits for a service's process, in milliseconds. Its own 10 s, for which Windows has
 * 30, are not enough for the start of Deno on a busy machine: the start is refused with 1053.
 */
const SERVICE_START_MS = 120_000;

/** Runs as process 1 of the rig: builds the root that the table above describes, and enters it. */
const ENTER = [
  "set -e",
  "share=$1 root=$2 repo=$3 cache=$4 deno=$5 build=$6",
  "shift 6",
  'stage=$share/stage; mkdir "$stage"; mount -t tmpfs tmpfs "$stage"; cd "$stage"',
  "mkdir up work new cache-up cache-work",
  'mount -t overlay -o "lowerdir=$root,upperdir=up,workdir=work" overlay new',
  "cd new; mkdir repo deno deno-dir build out",
  'mount --bind "$repo" repo; mount -o remount,bind,ro repo',
  'mount --bind "$deno" deno; mount --bind "$build" build; mount --bind "$share/out" out',
  'up="upperdir=$stage/cache-up,workdir=$stage/cache-work"',
  'mount -t overlay -o "lowerdir=$cache,$up" overlay deno-dir',
  `printf '\\n[%s] 1\\n"ServicesPipeTimeout"="${SERVICE_START_MS}"\\n' 'System\\\\ControlSet001\\\\Control'` +
  ` >>".${WINE_PREFIX}/system.reg"`,
  "mount -t proc proc proc; mount --rbind /dev dev; mount -t tmpfs tmpfs run",
  // Without --net there is a loopback that is up already.
  "ip link set lo up 2>/dev/null || true",
  "set +e",
  'chroot . sh -c "cd /repo && exec \\"\\$@\\"" sh "$@"',
  "exit $?",
].join("\n");

/** Why this machine cannot run the rig, or undefined when it can. */
export function wineUnmet(): string | undefined {
  if (Deno.build.os !== "linux" || Deno.build.arch !== "x86_64") return "needs an x86-64 Linux host";
  if (Deno.uid() !== 0) return "needs root, to make namespaces";
  if (findProgram(COMPILER) === undefined) return `needs ${COMPILER}; deno task setup installs it`;
  const cache = cacheDir();
  if (findNpmTool(cache, DENO_WINDOWS) === undefined) {
    return "needs npm's deno.exe; deno task setup fetches it";
  }
  return findWineRoot(cache) ? undefined : "needs Debian with Wine in the cache; deno task setup builds it";
}

/**
 * Runs test files with `deno test` in `deno.exe`. Everything they import must be in Deno's cache already.
 *
 * @param files Paths relative to the repository.
 */
export async function testInWine(
  files: readonly string[],
  options: WineOptions & { readonly filter?: string } = {},
): Promise<WineTestResult> {
  const filter = options.filter === undefined ? {} : { filter: options.filter };
  const [, ...args] = testArgv(files, "Z:\\out\\junit.xml", filter);
  return await inRig(async (share) => {
    const result = await enter([DENO_EXE, ...args], share, options);
    return { ...result, cases: await readReport(join(share, "out", "junit.xml")) };
  });
}

/** Runs one program for Windows, in the repository's directory. */
export async function runInWine(argv: readonly string[], options: WineOptions = {}): Promise<WineResult> {
  return await inRig((share) => enter(argv, share, options));
}

async function inRig<T>(use: (share: string) => Promise<T>): Promise<T> {
  const share = await Deno.makeTempDir({ prefix: "zlayer-overlayd-wine-" });
  try {
    await Deno.mkdir(join(share, "out"));
    return await use(share);
  } finally {
    await Deno.remove(share, { recursive: true });
  }
}

async function enter(argv: readonly string[], share: string, options: WineOptions): Promise<WineResult> {
  const cache = cacheDir();
  const root = findWineRoot(cache);
  const deno = findNpmTool(cache, DENO_WINDOWS);
  if (root === undefined || deno === undefined) {
    throw new Deno.errors.NotFound("the Windows rig is not in the cache; run deno task setup");
  }
  const places = [share, root, REPO, await denoDir(), dirname(deno), await buildForWindows(cache)];
  const wine = ["wine64", "Z:\\build\\launch.exe", "Z:\\out\\exit-code", ...argv];
  const net = options.shareNetwork === true ? [] : ["--net"];
  const run = options.show === true ? stream : capture;
  const { timedOut, stdout, stderr } = await run(
    ["unshare", ...net, "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
      .concat(["sh", "-c", ENTER, "sh", ...places, ...wine]),
    { env: environment(options), clearEnv: true, timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS },
  );
  return { code: await readExitCode(join(share, "out", "exit-code")), timedOut, output: stdout + stderr };
}

function environment(options: WineOptions): Record<string, string> {
  const env: Record<string, string> = {
    ...WINE_ENV,
    // A fake called as Wine's own library would not be loaded otherwise, wherever it lies.
    WINEDLLOVERRIDES: `${WINE_ENV.WINEDLLOVERRIDES};iphlpapi=n,b`,
    DENO_DIR: "Z:\\deno-dir",
    DENO_NO_UPDATE_CHECK: "1",
    NO_COLOR: "1",
    ZLAYER_TEST_FAKES: "Z:\\build",
    ...options.env,
  };
  for (const name of ["CI", "ZLAYER_TEST_SEED"]) {
    const value = Deno.env.get(name);
    if (value !== undefined) env[name] = value;
  }
  return env;
}
