/** Runs `tests/windows/support/echo_node.ts` in `deno.exe`, in the network namespace of this process; arguments are its. */
import { DENO_EXE, runInWine } from "./wine_rig.ts";

/** What it prints at its end. */
export interface EchoSummary {
  readonly answered: number;
  /** How often its adapter was lost. */
  readonly losses: number;
  readonly crypto: string;
  readonly drops: Readonly<Record<string, number>>;
  readonly rxBytes: number;
  readonly txBytes: number;
  readonly news: readonly string[];
}

/** Its overlay address. */
export const ECHO_IP = "10.200.1.1";

/** Runs the node until it is told to end. @throws {Error} If it does not end well. */
export async function runEchoNode(args: readonly string[]): Promise<EchoSummary> {
  const program = "Z:\\repo\\tests\\windows\\support\\echo_node.ts";
  const argv = [DENO_EXE, "run", "-A", "--no-check", "--cached-only", program, ...args];
  const result = await runInWine(argv, { shareNetwork: true, timeoutMs: 180_000 });
  const line = result.output.split(/\r?\n/).find((one) => one.startsWith("{"));
  if (result.code !== 0 || line === undefined) throw new Error(`exit code ${result.code}: ${result.output}`);
  return JSON.parse(line);
}

if (import.meta.main) {
  const summary = await runEchoNode(Deno.args);
  Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(summary)}\n`));
}
