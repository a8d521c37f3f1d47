/**
 * `deno task verify`: what can be checked without running the program.
 *
 * Usage: `deno run -A scripts/verify.ts [fmt] [lint] [check] [check242]`, all when none is named. Stops at the
 * first that fails, with its exit code. `check242` checks the program's sources on Deno 2.4.2, which the compile
 * test builds with; where npm cannot give it (not x86-64 Linux, no network) that step fails.
 */
import { setUp } from "./setup.ts";
import { cacheDir } from "./support/cache_dir.ts";
import { fetchImports } from "./support/imports.ts";
import { DENO_2_4_2, findNpmTool } from "./support/npm_tools.ts";
import { denoArgv, denoEnv, print, stream } from "./support/process.ts";
import { REPO, sourceFiles } from "./support/repo.ts";

/** A command line, or why there is none; what it needs of the network has been fetched. */
type Step = () => Promise<readonly string[] | string>;

const STEPS: Readonly<Record<string, Step>> = {
  fmt: () => Promise.resolve(denoArgv("fmt", "--check")),
  lint: () => Promise.resolve(denoArgv("lint")),
  check: async () =>
    await fetchImports(denoArgv("cache", "--quiet", "--frozen", ...sourceFiles())) ??
      denoArgv("check", "--quiet", "--frozen", ...sourceFiles()),
  check242: checkOn242,
};

/** Folders that never become part of the program. */
const NOT_PROGRAM = /^(tests|bench|scripts)\//;

/** Deno 2.4.2 writes another lock file, so it gets none. */
async function checkOn242(): Promise<readonly string[] | string> {
  const lacks = await setUp(["npm"]);
  const deno = findNpmTool(cacheDir(), DENO_2_4_2);
  if (deno === undefined) return lacks.join("; ");
  const files = sourceFiles().filter((path) => !NOT_PROGRAM.test(path));
  return await fetchImports([deno, "cache", "--quiet", "--no-lock", ...files]) ??
    [deno, "check", "--quiet", "--no-lock", ...files];
}

async function main(args: readonly string[]): Promise<number> {
  const unknown = args.filter((name) => !Object.hasOwn(STEPS, name));
  if (unknown.length > 0) {
    print(`verify: no step ${unknown.join(", ")}; there are ${Object.keys(STEPS).join(", ")}`);
    return 2;
  }
  for (const name of args.length > 0 ? args : Object.keys(STEPS)) {
    print(`--- ${name}`);
    const argv = await STEPS[name]?.() ?? "no such step";
    if (typeof argv === "string") {
      print(`verify: ${name}: ${argv}`);
      return 1;
    }
    const { code } = await stream(argv, { cwd: REPO, env: denoEnv() });
    if (code !== 0) return code;
  }
  return 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
