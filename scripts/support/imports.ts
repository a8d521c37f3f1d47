/** Brings what modules import into Deno's cache, so that what runs later needs no network. */
import { denoEnv, print, stream } from "./process.ts";
import { REPO } from "./repo.ts";
import { retry } from "./retry.ts";

/**
 * Runs a `deno cache`, and runs it again when it fails, as it does when a registry cannot be reached for a moment.
 *
 * @param argv The whole command line.
 * @returns What is wrong, or undefined. Deno has told the rest.
 */
export async function fetchImports(argv: readonly string[]): Promise<string | undefined> {
  const attempt = async (): Promise<string | undefined> => {
    const { code } = await stream(argv, { cwd: REPO, env: denoEnv() });
    return code === 0 ? undefined : `${argv.slice(0, 2).join(" ")}: exit code ${code}`;
  };
  return await retry(attempt, { onRetry: (problem) => print(`${problem}; trying again`) });
}
