/** A daemon as a process, on a named pipe of its own and an HNS that outlives it. */
import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { OverlaydClient } from "../../../ipc/client.ts";
import { waitFor } from "../../support/wait_for.ts";
import type { HnsState } from "./hcn_node.ts";
import { denoRun } from "./processes.ts";

/** A process that has ended. */
export interface Ended {
  readonly code: number;
  readonly out: string;
}

/** See the module. */
export class DaemonRig implements AsyncDisposable {
  readonly #root = Deno.makeTempDirSync({ prefix: "zt-daemon-" });
  readonly dataDir = join(this.#root, "data");
  readonly pipe = `\\\\.\\pipe\\zt-${crypto.randomUUID()}`;
  readonly #report = join(this.#root, "report.json");
  readonly #children = new Set<Deno.ChildProcess>();
  #daemon: Promise<Ended> | undefined;

  /** Starts the daemon and connects to it. @param env Further environment. */
  async start(env: Readonly<Record<string, string>> = {}): Promise<OverlaydClient> {
    this.#daemon = this.#run(["--data-dir", this.dataDir, "--socket", this.pipe], env);
    return await this.connect();
  }

  connect(): Promise<OverlaydClient> {
    return OverlaydClient.connect(this.pipe, { attempts: 40 });
  }

  /** Waits for the daemon's end, which has to be a good one with nothing kept. */
  async ended(): Promise<void> {
    const { code, out } = await this.#daemon!;
    assertEquals(code, 0, out);
    this.#checkReport();
  }

  /** Runs `purge` to its end; it keeps nothing either. */
  async purge(...flags: string[]): Promise<Ended> {
    const ended = await this.#run(["purge", ...flags, "--data-dir", this.dataDir, "--socket", this.pipe], {
      ZT_REPORT: `${this.#report}.purge`,
    });
    this.#checkReport(`${this.#report}.purge`);
    return ended;
  }

  /** What HNS has. */
  state(): HnsState {
    return JSON.parse(Deno.readTextFileSync(join(this.#root, "hns.json")));
  }

  /** Whether HNS has so many namespaces; its file may be missing, or just be replaced. */
  hasNamespaces(count: number): boolean {
    try {
      return this.state().namespaces.length === count;
    } catch {
      return false;
    }
  }

  /** Whether the data directory is there. */
  hasDataDir(): boolean {
    return [...Deno.readDirSync(this.#root)].some(({ name }) => name === "data");
  }

  async #run(args: string[], env: Readonly<Record<string, string>>): Promise<Ended> {
    const child = new Deno.Command(Deno.execPath(), {
      args: denoRun("./daemon_main.ts", ...args),
      env: { FAKE_HNS_STATE: join(this.#root, "hns.json"), ZT_REPORT: this.#report, ...env },
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#children.add(child);
    const { code, stdout, stderr } = await child.output();
    this.#children.delete(child);
    const decoder = new TextDecoder();
    return { code, out: decoder.decode(stdout) + decoder.decode(stderr) };
  }

  #checkReport(path = this.#report): void {
    const { violations, counters } = JSON.parse(Deno.readTextFileSync(path));
    const kept = ["handlesOpen", "stringsKept", "inFlight"].filter((name) => counters[name] !== 0);
    assertEquals([violations, kept], [[], []]);
    Deno.removeSync(path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) child.kill("SIGKILL");
    await this.#daemon;
    await waitFor(
      "the files to be free",
      () => Deno.remove(this.#root, { recursive: true }).then(() => true, () => false),
    );
  }
}
