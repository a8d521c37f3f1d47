/** Other processes of `deno.exe`. */
import { fromFileUrl } from "@std/path";
import { ChildLines } from "../../support/child_lines.ts";

/** How a client connects to a daemon that is only starting: two minutes of tries, one a second. */
export const STARTING = { attempts: 120 } as const;

/** Command line of a module of the repository, by its path from this file. */
export function denoRun(module: string, ...args: string[]): string[] {
  return ["run", ...FLAGS, pathOf(module), ...args];
}

/** Command line of a module in a `FakeSystem`. */
export function systemRun(module: string, ...args: string[]): string[] {
  return ["run", ...FLAGS, "--preload", pathOf("./system_root.ts"), pathOf(module), ...args];
}

/** Command line of `main.ts` in a `FakeSystem`. */
export function overlaydRun(...args: string[]): string[] {
  return systemRun("../../../main.ts", ...args);
}

const FLAGS = ["-A", "--cached-only", "--no-check", "--frozen"];

function pathOf(module: string): string {
  return fromFileUrl(new URL(module, import.meta.url));
}

/** Runs a module to its end. */
export async function runModule(module: string, ...args: string[]): Promise<{ code: number; out: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args: denoRun(module, ...args) })
    .output();
  const text = new TextDecoder();
  return { code, out: text.decode(stdout) + text.decode(stderr) };
}

/** `child.ts` at work; disposing kills it as the task manager does. */
export class TestChild implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #lines: ChildLines;

  private constructor(process: Deno.ChildProcess) {
    this.#process = process;
    this.#lines = new ChildLines(process.stdout);
  }

  /** Starts one and waits until it has done its work. */
  static async start(what: string, path: string): Promise<TestChild> {
    const args = denoRun("./child.ts", what, path);
    const child = new TestChild(new Deno.Command(Deno.execPath(), { args, stdout: "piped" }).spawn());
    await child.#lines.until(`done ${what}`);
    return child;
  }

  get pid(): number {
    return this.#process.pid;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.status;
    await this.#lines.close();
  }
}
