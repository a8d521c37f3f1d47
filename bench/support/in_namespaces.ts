/** Starts a benchmark's inner part, where there is no way out to fetch anything. */
import { join } from "@std/path";
import { denoArgv, denoEnv, stream } from "../../scripts/support/process.ts";
import { REPO } from "../../scripts/support/repo.ts";
import { inNamespaces } from "../../scripts/support/suites.ts";

/**
 * Runs a script as root in network, mount and process namespaces made for it.
 *
 * @param script Relative to the repository, as are `modules`: what it starts as further processes.
 * @returns Its exit code.
 * @throws {Error} If a module cannot be had.
 */
export async function runInNamespaces(
  script: string,
  args: readonly string[],
  options: { readonly modules: readonly string[] },
): Promise<number> {
  const run = { cwd: REPO, env: denoEnv() };
  const cached = await stream(denoArgv("cache", "--quiet", "--frozen", script, ...options.modules), run);
  if (cached.code !== 0) throw new Error("deno cache failed: see its output");
  const argv = denoArgv("run", "-A", "--quiet", "--frozen", join(REPO, script), ...args);
  return (await stream(inNamespaces(argv), run)).code;
}
