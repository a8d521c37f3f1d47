/** The real `main.ts` as a process, on a named pipe of its own, in a {@linkcode FakeSystem}. */
import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { OverlaydClient } from "../../../ipc/client.ts";
import { waitFor } from "../../support/wait_for.ts";
import { complaints, type FakeReport, type FakeRequest, FakeSystem } from "./fake_system.ts";
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
  #daemon: Promise<Ended> | undefined;

  /** @param options `hasHns`: whether the host has a Host Networking Service. */
  constructor(options: { readonly hasHns?: boolean } = {}) {
    this.system = new FakeSystem(options);
    this.dataDir = join(this.system.root, "data");
  }

  /** Starts the daemon and connects to it. @param script Requests to its fakes. */
  async start(script: readonly FakeRequest[] = []): Promise<OverlaydClient> {
    this.#daemon = this.run([], script);
    return await this.connect();
  }

  connect(): Promise<OverlaydClient> {
    return OverlaydClient.connect(this.pipe, STARTING);
  }

  /** Waits until the daemon's own look at HNS is over: one that is cut short leaves its handles to the process's end. */
  async quiet(): Promise<void> {
    let before: unknown;
    await waitFor("HNS to be left alone", async () => {
      const { calls, handlesOpen } = await this.system.ask("computenetwork", "counters");
      const isOver = handlesOpen === 0 && calls === before;
      before = calls;
      return isOver;
    }, { intervalMs: 200 });
  }

  /** Waits for the daemon's end, which has to be a good one with nothing kept. @returns What its fakes say. */
  async ended(): Promise<FakeReport[]> {
    return (await this.exited()).reports;
  }

  /** The same. @returns What it has written, too. */
  async exited(): Promise<Ended & { readonly reports: FakeReport[] }> {
    const ended = await this.#daemon!;
    assertEquals(ended.code, 0, ended.out + ended.err);
    return { ...ended, reports: this.checkReports(ended.out) };
  }

  /** Asserts that the fakes of the process that has ended have nothing to complain of. */
  checkReports(hint = ""): FakeReport[] {
    const reports = this.system.takeReports();
    assertEquals(complaints(reports), [], hint);
    return reports;
  }

  /** Runs a command line of the program to its end; data directory and pipe are given. */
  run(args: readonly string[], script: readonly FakeRequest[] = []): Promise<Ended> {
    return this.#run(overlaydRun(...args, "--data-dir", this.dataDir, "--socket", this.pipe), script);
  }

  /** Runs another module in the same system. @param module Its path from `support`. */
  runModule(module: string): Promise<Ended> {
    return this.#run(systemRun(module), []);
  }

  async #run(args: string[], script: readonly FakeRequest[]): Promise<Ended> {
    const child = new Deno.Command(Deno.execPath(), {
      args,
      env: this.system.environment(script),
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#children.add(child);
    const { code, stdout, stderr } = await child.output();
    this.#children.delete(child);
    const decoder = new TextDecoder();
    return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
  }

  /** Kills the daemon as the task manager does. @returns What it has written. */
  async kill(): Promise<string> {
    for (const child of this.#children) child.kill("SIGKILL");
    const ended = await this.#daemon;
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
