/** The real `main.ts` as a process, on a named pipe of its own, in a {@linkcode FakeSystem}. */
import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { OverlaydClient } from "../../../ipc/client.ts";
import { waitFor } from "../../support/wait_for.ts";
import { complaints, type FakeReport, type FakeRequest, FakeSystem, type Quiet } from "./fake_system.ts";
import { overlaydRun, STARTING, systemRun } from "./processes.ts";

/** A process that has ended. */
export interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** See the module. */
export class DaemonRig implements AsyncDisposable {
  readonly system: FakeSystem;
  readonly dataDir: string;
  readonly pipe = `\\\\.\\pipe\\zt-${crypto.randomUUID()}`;
  readonly #children = new Set<Deno.ChildProcess>();
  readonly #hasHns: boolean;
  #daemon: { readonly pid: number; readonly ended: Promise<Ended> } | undefined;
  #quiet: Quiet | undefined;

  /** @param options `hasHns`: whether the host has a Host Networking Service. */
  constructor({ hasHns = true }: { readonly hasHns?: boolean } = {}) {
    this.#hasHns = hasHns;
    this.system = new FakeSystem({ hasHns });
    this.dataDir = join(this.system.root, "data");
  }

  /** Starts the daemon and connects to it. @param script Requests to its fakes. */
  async start(script: readonly FakeRequest[] = []): Promise<OverlaydClient> {
    this.#quiet = undefined;
    this.#daemon = this.#spawn(this.#commandLine([]), script);
    return await this.connect();
  }

  connect(): Promise<OverlaydClient> {
    return OverlaydClient.connect(this.pipe, STARTING);
  }

  /**
   * Has the daemon shut down, once it has no handle of HNS open. It looks at HNS by itself at any time, and a look
   * that its end cuts short leaves handles to that; what it had before is given back, or this waits in vain.
   */
  async shutdown(client: OverlaydClient): Promise<void> {
    await this.quiet();
    await client.shutdown();
  }

  /** Waits until the daemon has no handle of HNS open. */
  async quiet(): Promise<void> {
    if (!this.#hasHns) return;
    const { pid } = this.#daemon!;
    this.#quiet = await waitFor("handles of HNS to be closed", async () => {
      const { calls, handlesOpen, inFlight } = await this.system.ask("computenetwork", "counters");
      return handlesOpen === 0 && inFlight === 0 && { pid, calls };
    });
  }

  /** Waits for the daemon's end, which has to be a good one with nothing kept. @returns What its fakes say. */
  async ended(): Promise<FakeReport[]> {
    return (await this.exited()).reports;
  }

  /** The same. @returns What it has written, too. */
  async exited(): Promise<Ended & { readonly reports: FakeReport[] }> {
    const ended = await this.#daemon!.ended;
    assertEquals(ended.code, 0, ended.out + ended.err);
    return { ...ended, reports: this.checkReports(ended.out) };
  }

  /** Asserts that the fakes of the process that has ended have nothing to complain of. */
  checkReports(hint = ""): FakeReport[] {
    const reports = this.system.takeReports();
    assertEquals(complaints(reports, this.#quiet), [], hint);
    return reports;
  }

  /** Runs a command line of the program to its end; data directory and pipe are given. */
  run(args: readonly string[], script: readonly FakeRequest[] = []): Promise<Ended> {
    return this.#spawn(this.#commandLine(args), script).ended;
  }

  /** Runs another module in the same system. @param module Its path from `support`. */
  runModule(module: string): Promise<Ended> {
    return this.#spawn(systemRun(module), []).ended;
  }

  #commandLine(args: readonly string[]): string[] {
    return overlaydRun(...args, "--data-dir", this.dataDir, "--socket", this.pipe);
  }

  #spawn(args: string[], script: readonly FakeRequest[]): { pid: number; ended: Promise<Ended> } {
    const child = new Deno.Command(Deno.execPath(), {
      args,
      env: this.system.environment(script),
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#children.add(child);
    return { pid: child.pid, ended: this.#output(child) };
  }

  async #output(child: Deno.ChildProcess): Promise<Ended> {
    const { code, stdout, stderr } = await child.output();
    this.#children.delete(child);
    const decoder = new TextDecoder();
    return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
  }

  /** Kills the daemon as the task manager does, whose fakes say nothing then. @returns What it has written. */
  async kill(): Promise<string> {
    for (const child of this.#children) child.kill("SIGKILL");
    const ended = await this.#daemon?.ended;
    this.system.takeReports();
    return ended === undefined ? "" : ended.out + ended.err;
  }

  /** Whether the data directory is there. */
  hasDataDir(): boolean {
    return [...Deno.readDirSync(this.system.root)].some(({ name }) => name === "data");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await waitFor(
      "the files to be free",
      () => Deno.remove(this.system.root, { recursive: true }).then(() => true, () => false),
    );
  }
}
