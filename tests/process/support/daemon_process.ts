/** Daemons as subprocesses: started from source in a temporary directory, awaited by connecting. */
import { fromFileUrl, join } from "@std/path";
import { OverlaydClient } from "../../../ipc/client.ts";

/** The product. */
export const MAIN: string = fromFileUrl(new URL("../../../main.ts", import.meta.url));
/** The product around a scripted engine. */
export const SCRIPTED_MAIN: string = fromFileUrl(new URL("./scripted_main.ts", import.meta.url));

/** Longest that a test waits for anything, in milliseconds: for a busy machine, and one that emulates its processor. */
const PATIENCE_MS = 10 * 60_000;

/** How a process is started. */
export interface SpawnOptions {
  /** Default: {@linkcode SCRIPTED_MAIN}. */
  readonly entry?: string;
  readonly env?: Record<string, string>;
  /**
   * Shell text before the program, such as `ulimit -n 40; exec`, and after it, such as redirections; in a mount
   * namespace of its own when asked.
   */
  readonly shell?: { readonly before?: string; readonly after?: string; readonly namespace?: "mount" };
  readonly stdout?: "piped" | "null";
}

/** What a finished process left. */
export interface Finished {
  readonly code: number;
  readonly signal: Deno.Signal | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the program to its end. */
export async function runProgram(args: readonly string[], options: SpawnOptions = {}): Promise<Finished> {
  const child = command(args, options).spawn();
  const output = await withTimeout(child.output(), "the program to end").catch((error) => {
    child.kill("SIGKILL");
    throw error;
  });
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  return {
    code: output.code,
    signal: output.signal,
    stdout: text(output.stdout),
    stderr: text(output.stderr),
  };
}

/** Makes a temporary directory for a test and removes it afterwards. */
export async function withTempDir(run: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "zt-proc-" });
  try {
    await run(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** A running daemon; disposing kills it. */
export class DaemonProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #status: Promise<Deno.CommandStatus>;
  readonly #stderr: Promise<string>;
  #log = "";
  #logged: Promise<void> = Promise.resolve();
  #reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>> | undefined;

  constructor(
    readonly dataDir: string,
    readonly socket: string,
    args: readonly string[],
    options: SpawnOptions,
  ) {
    this.#child = command(args, options).spawn();
    this.#status = this.#child.status;
    this.#stderr = new Response(this.#child.stderr).text();
    if (options.stdout !== "null") this.#reader = this.#child.stdout.getReader();
  }

  /** Starts a daemon on `<dir>/data` and waits until it accepts. */
  static async start(
    dir: string,
    args: readonly string[] = [],
    options: SpawnOptions & { readLog?: boolean } = {},
  ): Promise<DaemonProcess> {
    const dataDir = join(dir, "data");
    const socket = join(dataDir, "run", "zlayer-overlayd.sock");
    const daemon = new DaemonProcess(dataDir, socket, ["--data-dir", dataDir, ...args], options);
    if ((options.readLog ?? true) && options.stdout !== "null") daemon.#logged = daemon.#readLog();
    try {
      await daemon.ready();
    } catch (error) {
      await daemon[Symbol.asyncDispose]();
      throw new Error(`daemon did not start:\n${daemon.#log}\n${await daemon.#stderr}`, { cause: error });
    }
    return daemon;
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Waits until the socket accepts, or the process has ended. */
  async ready(): Promise<void> {
    let ended = false;
    void this.#status.then(() => ended = true);
    await until(async () => {
      if (ended) throw new Error("the process ended");
      try {
        (await Deno.connect({ transport: "unix", path: this.socket })).close();
        return true;
      } catch {
        return false;
      }
    }, `${this.socket} to accept`);
  }

  /** A client of this daemon. */
  connect(): Promise<OverlaydClient> {
    return OverlaydClient.connect(this.socket);
  }

  /** Throws unless the daemon answers `status`. */
  async assertAnswers(): Promise<void> {
    using client = await this.connect();
    await client.status();
  }

  kill(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  /**
   * Waits for the end. One by SIGTERM or SIGINT with exit code 0 took less than 5 s by the daemon's own clock: it cuts
   * off what takes longer and ends with 1.
   */
  async ended(): Promise<{ code: number; signal: Deno.Signal | null; stderr: string }> {
    const { code, signal } = await withTimeout(this.#status, "the process to end");
    await this.#logged;
    return { code, signal, stderr: await this.#stderr };
  }

  /** Log lines so far. */
  get log(): readonly string[] {
    return this.#log.split("\n").filter((line) => line !== "");
  }

  /** Waits for a log line that contains the text. */
  async logged(text: string): Promise<string> {
    await until(() => Promise.resolve(this.#log.includes(text)), `a log line with ${JSON.stringify(text)}`);
    return this.log.find((line) => line.includes(text)) ?? "";
  }

  /** Closes our end of its stdout. */
  async closeStdout(): Promise<void> {
    await this.#reader?.cancel();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // Ended already.
    }
    await this.#status;
    await this.#reader?.cancel();
    await this.#stderr;
  }

  async #readLog(): Promise<void> {
    const decoder = new TextDecoder();
    for (;;) {
      const { done, value } = await this.#reader!.read();
      if (done) return;
      this.#log += decoder.decode(value, { stream: true });
    }
  }
}

/** Waits until the condition holds, asking again after a short pause. */
export async function until(condition: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!await condition()) {
    if (performance.now() > deadline) throw new Error(`gave up waiting for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function withTimeout<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`gave up waiting for ${what}`)), PATIENCE_MS);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/** The program's command line, through a shell when something has to be set up before it. */
function command(args: readonly string[], options: SpawnOptions): Deno.Command {
  const program = ["run", "-A", "--quiet", options.entry ?? SCRIPTED_MAIN, ...args];
  const common = {
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", RUST_LOG: "", ZLAYER_DATA_DIR: "", ...options.env },
    stdin: "null",
    stdout: options.stdout ?? "piped",
    stderr: "piped",
  } as const;
  if (!options.shell) return new Deno.Command(Deno.execPath(), { args: program, ...common });
  const { before = "", after = "", namespace } = options.shell;
  const argv = ["/bin/sh", "-c", `${before} "$0" "$@" ${after}`, Deno.execPath(), ...program];
  const [first = "", ...rest] = namespace === "mount" ? ["unshare", "--mount", ...argv] : argv;
  return new Deno.Command(first, { args: rest, ...common });
}
