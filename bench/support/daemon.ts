/** The daemon under measurement: a process of its own, driven over its socket like any caller would. */
import { join } from "@std/path";
import { OverlaydClient } from "../../ipc/client.ts";
import { denoArgv, denoEnv } from "../../scripts/support/process.ts";
import { REPO } from "../../scripts/support/repo.ts";
import { waitFor } from "../../tests/support/wait_for.ts";

/** Containers per service: a service subnet is a /28, which holds 13 besides the gateway. */
const CONTAINERS_PER_SERVICE = 12;

/** How a daemon is started. */
export interface DaemonOptions {
  /** Program and arguments before the daemon's own. */
  readonly argv: readonly string[];
  /** Parent of its data directory, on the disk whose durability is to be paid for. */
  readonly dir: string;
  /** Name of the network namespace it runs in; default: this one. */
  readonly netns?: string;
}

/** Command line of the daemon from source; modules come from Deno's cache. */
export function sourceArgv(...denoFlags: string[]): string[] {
  return denoArgv("run", "-A", "--quiet", "--frozen", ...denoFlags, join(REPO, "main.ts"));
}

/** A running daemon with a data directory of its own. */
export class BenchDaemon implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  #services = 0;

  private constructor(child: Deno.ChildProcess, readonly socket: string, readonly client: OverlaydClient) {
    this.#child = child;
  }

  /** Starts one and returns when it has answered a `status`. */
  static async start({ argv, dir, netns }: DaemonOptions): Promise<BenchDaemon> {
    const dataDir = await Deno.makeTempDir({ dir, prefix: "data-" });
    const socket = join(dataDir, "overlayd.sock");
    const enter = netns === undefined ? [] : ["nsenter", `--net=/run/netns/${netns}`, "--"];
    const [program, ...args] = [...enter, ...argv, "--data-dir", dataDir, "--socket", socket];
    const child = new Deno.Command(program!, {
      args,
      cwd: REPO,
      env: denoEnv(),
      stdin: "null",
      stdout: "null",
      stderr: "inherit",
    }).spawn();
    try {
      const client = await connectSoon(child, socket);
      await client.status();
      return new BenchDaemon(child, socket, client);
    } catch (error) {
      kill(child, "SIGKILL");
      await child.status;
      throw error;
    }
  }

  /** Its process id. */
  get pid(): number {
    return this.#child.pid;
  }

  /** A further connection. */
  connect(): Promise<OverlaydClient> {
    return OverlaydClient.connect(this.socket);
  }

  /** Sets up services for so many containers. @returns For each container the service it goes to. */
  async addServices(containers: number): Promise<string[]> {
    // Service subnets are cut by node id.
    if (this.#services === 0) await this.client.setLocalNodeId(1n);
    const names: string[] = [];
    for (let room = 0; room < containers; room += CONTAINERS_PER_SERVICE) {
      const name = `bench-${this.#services++}`;
      await this.client.setupServiceOverlay(name, "shared");
      names.push(...Array.from({ length: CONTAINERS_PER_SERVICE }, () => name));
    }
    return names.slice(0, containers);
  }

  /** Stops it as an operator would. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.client.close();
    kill(this.#child, "SIGTERM");
    await this.#child.status;
  }
}

/** Tries every millisecond. @throws {Error} When the daemon has ended. */
async function connectSoon(child: Deno.ChildProcess, socket: string): Promise<OverlaydClient> {
  let ended: number | undefined;
  void child.status.then(({ code }) => ended = code);
  const attempt = async (): Promise<OverlaydClient | false> => {
    if (ended !== undefined) throw new Error(`the daemon ended with exit code ${ended}`);
    return await OverlaydClient.connect(socket).catch(() => false as const);
  };
  return await waitFor("the daemon listens", attempt, { timeoutMs: 20_000, intervalMs: 1 });
}

function kill(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    child.kill(signal);
  } catch {
    // It has ended already.
  }
}
