/**
 * Compiled executables for tests, made by `scripts/compile.ts` with what set-up fetched from npm: Deno 2.4.2 and
 * a `denort` of that version. So the test needs no access to Deno's download server.
 */
import { join } from "@std/path";
import { cacheDir } from "../../scripts/support/cache_dir.ts";
import { DENO_2_4_2, DENORT_2_4_2, findNpmTool, type NpmTool } from "../../scripts/support/npm_tools.ts";
import { capture, denoEnv, type RunResult } from "../../scripts/support/process.ts";
import { REPO } from "../../scripts/support/repo.ts";

/** A compiled executable in a directory of its own, removed with it. */
export interface CompiledExecutable extends AsyncDisposable {
  /** Absolute; the last part is `zlayer-overlayd`. */
  readonly path: string;
  /** What `scripts/compile.ts` printed. */
  readonly output: string;
}

const TARGET = "x86_64-unknown-linux-gnu";

/**
 * Compiles an entry point for Linux x64.
 *
 * @param entry Path relative to the repository.
 */
export async function compileForTest(entry: string): Promise<CompiledExecutable> {
  const dir = await Deno.makeTempDir({ prefix: "zlayer-overlayd-compiled-" });
  const remove = (): Promise<void> => Deno.remove(dir, { recursive: true });
  const args = ["--no-lock", "--target", TARGET, "--entry", join(REPO, entry), "--out", dir];
  const { code, stdout, stderr } = await runCompileScript(args, { DENORT_BIN: tool(DENORT_2_4_2) });
  if (code !== 0) {
    await remove();
    throw new Error(`scripts/compile.ts ended with ${code}:\n${stdout}${stderr}`);
  }
  return { path: join(dir, TARGET, "zlayer-overlayd"), output: stdout, [Symbol.asyncDispose]: remove };
}

/** Runs `scripts/compile.ts` on Deno 2.4.2. */
export async function runCompileScript(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<RunResult> {
  const argv = [tool(DENO_2_4_2), "run", "-A", "--quiet", "--no-lock", "scripts/compile.ts", ...args];
  const base = { ...denoEnv(), RUST_BACKTRACE: undefined };
  return await capture(argv, { cwd: REPO, env: { ...base, ...env } });
}

function tool(wanted: NpmTool): string {
  const path = findNpmTool(cacheDir(), wanted);
  if (path === undefined) {
    throw new Deno.errors.NotFound(`${wanted.name} is not in the cache; run deno task setup`);
  }
  return path;
}
