/** Runs nodes of `tests/windows/support` in `deno.exe`, in the network namespace of this process. */
import { DENO_EXE, runInWine } from "./wine_rig.ts";

/** What `echo_node.ts` prints at its end. */
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

/** Runs `echo_node.ts` until it is told to end; arguments are its. @throws {Error} If it does not end well. */
export async function runEchoNode(args: readonly string[]): Promise<EchoSummary> {
  return JSON.parse(await runWineNode("echo_node.ts", args));
}

/** Runs a node until it is told to end. @returns Its last word, JSON. @throws {Error} If it does not end well. */
export async function runWineNode(program: string, args: readonly string[]): Promise<string> {
  const path = `Z:\\repo\\tests\\windows\\support\\${program}`;
  const argv = [DENO_EXE, "run", "-A", "--no-check", "--cached-only", path, ...args];
  const result = await runInWine(argv, { shareNetwork: true, timeoutMs: 600_000 });
  const line = result.output.split(/\r?\n/).find((one) => one.startsWith("{"));
  if (result.code !== 0 || line === undefined) throw new Error(`exit code ${result.code}: ${result.output}`);
  return line;
}

if (import.meta.main) {
  const [program = "", ...args] = Deno.args;
  Deno.stdout.writeSync(new TextEncoder().encode(`${await runWineNode(program, args)}\n`));
}
