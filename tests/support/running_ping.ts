/** A ping that runs while a test does something to the network, and tells what it lost. */
import { assert } from "@std/assert";
import type { NetworkPlace } from "./test_netns.ts";
import { waitFor } from "./wait_for.ts";

/** Time between echo requests. */
const INTERVAL_SECONDS = 0.02;

/** See the file's comment. */
export class RunningPing implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #output: Promise<void>;
  readonly #answered = new Set<number>();

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#output = this.#read();
  }

  /** Starts one and returns when the first request is answered. */
  static async start(from: NetworkPlace, address: string): Promise<RunningPing> {
    const ping = new RunningPing(from.spawn(["ping", "-n", "-i", String(INTERVAL_SECONDS), address]));
    try {
      await ping.answeredMore(1);
    } catch (error) {
      await ping[Symbol.asyncDispose]();
      throw error;
    }
    return ping;
  }

  /** Waits until so many more requests are answered. */
  async answeredMore(count: number, options: { readonly timeoutMs?: number } = {}): Promise<void> {
    const goal = this.#answered.size + count;
    await waitFor(`${count} more answers to ping`, () => this.#answered.size >= goal, options);
  }

  /**
   * Requests sent before the last answered one, and how many of them went without an answer. What was under way
   * at the moment of asking is not counted.
   */
  get loss(): { readonly sent: number; readonly lost: number } {
    const sent = Math.max(...this.#answered);
    return { sent, lost: sent - this.#answered.size };
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended already, of an error that it printed.
    }
    await this.#child.status;
    await this.#output;
    await this.#child.stderr.cancel();
  }

  async #read(): Promise<void> {
    let rest = "";
    for await (const text of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#note(line);
    }
  }

  #note(line: string): void {
    const sequence = /\bicmp_seq=(\d+) ttl=/.exec(line)?.[1];
    if (sequence === undefined) return;
    assert(!line.includes("DUP!"), line);
    this.#answered.add(Number(sequence));
  }
}
