/**
 * `deno task compile`: one executable per target, `dist/<target>/zlayer-overlayd[.exe]`. The file's name is
 * the process's name, which callers look for, so it carries no target.
 *
 * Usage: `deno task compile [--target <target>]… [--out <dir>] [--entry <file>] [--no-lock]`; all targets when
 * none is named. Prints size and SHA-256 of each. Exit code 1 when one failed; the others are built still.
 *
 * Types are not checked here (`deno task check` does), which also keeps type packages out of the executable. It
 * keeps no code cache: Deno would put that under a fixed name into the temporary directory, where another user
 * could have put one first for a daemon that runs as root.
 *
 * Deno puts the program behind its runtime-only base, `denort`, which it downloads from dl.deno.land for each
 * target. Where that cannot be reached, `DENORT_BIN` names one, of this very Deno version; it is used for the
 * target that it was made for and no other.
 */
import { dirname, join, resolve } from "@std/path";
import { parseArgs } from "@std/cli";
import { type Target, targetOfExecutable, TARGETS } from "./support/executable_format.ts";
import { capture, denoArgv, print } from "./support/process.ts";
import { REPO } from "./support/repo.ts";

const MAIN = join(REPO, "main.ts");

/**
 * Modules that the daemon starts as workers. A worker's module is named at run time only, so `deno compile` has
 * to be told of it.
 */
export const WORKERS: readonly string[] = [
  "core/transport/wireguard/worker.ts",
  "core/backend/windows/worker.ts",
];

/** What the command line asks for. */
interface Plan {
  readonly targets: readonly Target[];
  readonly out: string;
  readonly entry: string;
  readonly lock: boolean;
}

async function main(args: readonly string[]): Promise<number> {
  const plan = parsePlan(args);
  if (typeof plan === "string") {
    print(`compile: ${plan}`);
    return 2;
  }
  const base = await givenBase();
  if (typeof base === "string") {
    print(`compile: ${base}`);
    return 1;
  }
  let failed = false;
  for (const target of plan.targets) {
    const problem = await compile(plan, target, base);
    if (problem === undefined) continue;
    failed = true;
    print(`compile: ${target}: ${problem}`);
  }
  return failed ? 1 : 0;
}

/** Reads the command line; a text says what is wrong with it. */
function parsePlan(args: readonly string[]): Plan | string {
  const unknown: string[] = [];
  const flags = parseArgs(args, {
    string: ["target", "out", "entry"],
    boolean: ["no-lock"],
    collect: ["target"],
    unknown: (arg) => void unknown.push(arg),
  });
  const bad = [...unknown, ...flags._];
  if (bad.length > 0) return `unknown argument ${bad.join(" ")}`;
  const named = (flags.target ?? []) as string[];
  const strange = named.filter((name) => !(TARGETS as readonly string[]).includes(name));
  if (strange.length > 0) return `no target ${strange.join(", ")}; there are ${TARGETS.join(", ")}`;
  return {
    targets: named.length === 0 ? TARGETS : TARGETS.filter((target) => named.includes(target)),
    out: resolve(typeof flags.out === "string" ? flags.out : join(REPO, "dist")),
    entry: resolve(typeof flags.entry === "string" ? flags.entry : MAIN),
    lock: flags["no-lock"] !== true,
  };
}

/** The base that `DENORT_BIN` names and its target; empty when unset; a text says what is wrong with it. */
async function givenBase(): Promise<{ readonly target?: Target } | string> {
  const path = Deno.env.get("DENORT_BIN");
  if (path === undefined || path === "") return {};
  const header = new Uint8Array(4096);
  try {
    using file = await Deno.open(path);
    const length = await file.read(header) ?? 0;
    const target = targetOfExecutable(header.subarray(0, length));
    if (target !== undefined) return { target };
    return `DENORT_BIN=${path} is no executable of any of ${TARGETS.join(", ")}`;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return `DENORT_BIN=${path} does not exist`;
    throw error;
  }
}

/** Builds one executable and prints what it is. @returns What went wrong, or undefined. */
async function compile(
  plan: Plan,
  target: Target,
  base: { readonly target?: Target },
): Promise<string | undefined> {
  const output = join(
    plan.out,
    target,
    target.includes("windows") ? "zlayer-overlayd.exe" : "zlayer-overlayd",
  );
  await Deno.remove(dirname(output), { recursive: true }).catch(ignoreMissing);
  await Deno.mkdir(dirname(output), { recursive: true });
  const argv = denoArgv(
    ...["compile", "--quiet", "-A", "--no-check", "--no-code-cache", plan.lock ? "--frozen" : "--no-lock"],
    ...(plan.entry === MAIN ? WORKERS : []).flatMap((worker) => ["--include", join(REPO, worker)]),
    ...["--target", target, "--output", output, plan.entry],
  );
  const otherBase = base.target === target ? {} : { DENORT_BIN: undefined };
  const { code, stderr } = await capture(argv, { cwd: REPO, env: { NO_COLOR: "1", ...otherBase } });
  if (code !== 0) return explain(stderr, target);
  const bytes = await Deno.readFile(output);
  print(`${target}: ${output}`);
  print(`  ${bytes.length} bytes, SHA-256 ${await sha256(bytes)}`);
  return undefined;
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}

/** Words a failure of `deno compile`. */
function explain(stderr: string, target: Target): string {
  const url = /https:\/\/\S*denort-[^\s)]*/.exec(stderr)?.[0];
  if (url === undefined) return stderr.trim();
  return `Deno's runtime base could not be downloaded from ${url}; set DENORT_BIN to the denort of ` +
    `Deno ${Deno.version.deno} for ${target}, or build where that server can be reached`;
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

if (import.meta.main) Deno.exit(await main(Deno.args));
