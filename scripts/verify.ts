/**
 * `deno task verify`: what can be checked without running the program.
 *
 * Usage: `deno run -A scripts/verify.ts [fmt] [lint] [check]`, all three when none is named. Stops at the
 * first that fails, with its exit code.
 */
import { denoArgv, print, stream } from "./support/process.ts";
import { REPO, sourceFiles } from "./support/repo.ts";

/** Each step: command lines, made late because the file list is. */
const STEPS: Readonly<Record<string, () => string[][]>> = {
  fmt: () => [denoArgv("fmt", "--check")],
  lint: () => [denoArgv("lint")],
  check: () => [denoArgv("check", "--frozen", ...sourceFiles())],
};

async function main(args: readonly string[]): Promise<number> {
  const unknown = args.filter((name) => !Object.hasOwn(STEPS, name));
  if (unknown.length > 0) {
    print(`verify: no step ${unknown.join(", ")}; there are ${Object.keys(STEPS).join(", ")}`);
    return 2;
  }
  for (const name of args.length > 0 ? args : Object.keys(STEPS)) {
    for (const argv of STEPS[name]?.() ?? []) {
      print(`--- ${argv.slice(1, 3).join(" ")}`);
      const { code } = await stream(argv, { cwd: REPO, env: { DENO_NO_UPDATE_CHECK: "1" } });
      if (code !== 0) return code;
    }
  }
  return 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
