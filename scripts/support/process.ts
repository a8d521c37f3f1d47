/**
 * Child processes for the development scripts: run one, take its output, end it when it hangs.
 *
 * Children get no stdin. `deno` always means the executable that runs this script, never one found on PATH.
 */

/** How a child process is started. */
export interface RunOptions {
  readonly cwd?: string;
  /** Changes to the environment of this process; `undefined` takes a variable out. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Starts from an empty environment instead of ours. */
  readonly clearEnv?: boolean;
  /** Kills the child with SIGKILL after so many milliseconds. */
  readonly timeoutMs?: number;
}

/** How a child process ended. */
export interface RunResult {
  /** Exit code; 128 + n when signal n ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** The deadline passed and the child was killed. */
  readonly timedOut: boolean;
}

/** Writes one line to stdout, before anything a child prints later. */
export function print(line = ""): void {
  const bytes = new TextEncoder().encode(`${line}\n`);
  for (let done = 0; done < bytes.length;) done += Deno.stdout.writeSync(bytes.subarray(done));
}

/**
 * Runs a command to its end and collects its output. A program that is not there reads as exit code 127.
 *
 * @param argv Program and arguments.
 */
export async function capture(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return await spawn(argv, options, "piped");
}

/** Runs a command with its output going to ours as it comes; `stdout` and `stderr` of the result are empty. */
export async function stream(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return await spawn(argv, options, "inherit");
}

/** Command line of a Deno subcommand on the executable that runs this script. */
export function denoArgv(...args: string[]): string[] {
  return [Deno.execPath(), ...args];
}

/**
 * Environment for Deno as a child: no update notice, plain text, and the certificates of the system besides
 * Deno's own, which networks with a proxy of their own need.
 */
export function denoEnv(): Record<string, string> {
  return {
    DENO_NO_UPDATE_CHECK: "1",
    DENO_TLS_CA_STORE: Deno.env.get("DENO_TLS_CA_STORE") ?? "mozilla,system",
    NO_COLOR: "1",
  };
}

async function spawn(
  argv: readonly string[],
  options: RunOptions,
  output: "piped" | "inherit",
): Promise<RunResult> {
  const [program, ...args] = argv;
  if (program === undefined) throw new TypeError("argv must name a program");
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(program, {
      args,
      stdin: "null",
      stdout: output,
      stderr: output,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: environment(options),
      clearEnv: true,
    }).spawn();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return { code: 127, stdout: "", stderr: `${program}: not found`, timedOut: false };
  }
  let timedOut = false;
  const timer = options.timeoutMs === undefined ? undefined : setTimeout(() => {
    timedOut = true;
    killQuietly(child);
  }, options.timeoutMs);
  try {
    const piped = output === "piped";
    const [stdout, stderr, status] = await Promise.all([
      piped ? new Response(child.stdout).text() : "",
      piped ? new Response(child.stderr).text() : "",
      child.status,
    ]);
    return { code: status.code, stdout, stderr, timedOut };
  } finally {
    clearTimeout(timer);
  }
}

/** The whole environment of a child. */
function environment(options: RunOptions): Record<string, string> {
  const all = { ...(options.clearEnv ? {} : Deno.env.toObject()), ...options.env };
  const set = Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return Object.fromEntries(set);
}

function killQuietly(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch {
    // It ended by itself between the deadline and the signal.
  }
}
