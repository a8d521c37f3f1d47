/** Taking times. */
import { capture } from "../../scripts/support/process.ts";

/** Runs `work` and gives the milliseconds it took. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

/** Lets what was measured last come to rest, so that its after-work does not fall on the next. */
export function rest(ms = 5): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Runs a command that has to succeed. @returns Its stdout. @throws {Error} With its stderr. */
export async function must(argv: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await capture(argv);
  if (code !== 0) throw new Error(`${argv.join(" ")}: exit code ${code}: ${(stderr || stdout).trim()}`);
  return stdout;
}
