/**
 * Processes that do one operation each and are killed in it. One is always warm, its modules loaded and its worker
 * started, while the one before it works: most of what such a process takes is its start.
 */
import { join } from "@std/path";
import { EXIT_KILLED, type VictimOrder } from "./hcn_child.ts";
import type { HnsState } from "./hcn_node.ts";
import { denoRun } from "./processes.ts";

/** How one ended. */
export interface VictimEnd {
  readonly isKilled: boolean;
  /** Whether it said that its operation was done. */
  readonly isAnswered: boolean;
  /** What HNS has after that. */
  readonly state: HnsState;
}

interface Victim {
  readonly process: Deno.ChildProcess;
  /** Where its fake keeps what HNS has. */
  readonly file: string;
}

/** See the module. */
export class Victims implements AsyncDisposable {
  readonly #dir = Deno.makeTempDirSync({ prefix: "zt-victims-" });
  #count = 0;
  #next = this.#spawn();

  /** Runs an operation on what a node left: its files, named by the order, and this in HNS. */
  async run(order: VictimOrder, state: HnsState): Promise<VictimEnd> {
    const { process, file } = this.#next;
    this.#next = this.#spawn();
    Deno.writeTextFileSync(file, JSON.stringify(state));
    const writer = process.stdin.getWriter();
    await writer.write(new TextEncoder().encode(`${JSON.stringify(order)}\n`));
    // Its end of the pipe goes with it.
    await writer.close().catch(() => {});
    const [{ code }, out] = await Promise.all([process.status, new Response(process.stdout).text()]);
    if (code !== 0 && code !== EXIT_KILLED) throw new Error(`exit code ${code}: ${out}`);
    const left: HnsState = JSON.parse(Deno.readTextFileSync(file));
    Deno.removeSync(file);
    return { isKilled: code === EXIT_KILLED, isAnswered: out.includes("answered"), state: left };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { process } = this.#next;
    process.kill("SIGKILL");
    await Promise.all([process.stdin.close().catch(() => {}), process.stdout.cancel(), process.status]);
    Deno.removeSync(this.#dir, { recursive: true });
  }

  #spawn(): Victim {
    const file = join(this.#dir, `${++this.#count}.json`);
    const process = new Deno.Command(Deno.execPath(), {
      args: denoRun("./hcn_child.ts"),
      env: { FAKE_HNS_STATE: file },
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    return { process, file };
  }
}
