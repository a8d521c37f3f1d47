/** A ping that runs beside what a script does, and counts. */

import type { NetworkPlace } from "../../tests/support/test_netns.ts";

/** A running `ping`. */
export class PingRun {
  readonly #child: Deno.ChildProcess;
  readonly #output: Promise<void>;
  #text = "";
  #answers = 0;
  #waiters: { readonly count: number; readonly resolve: () => void }[] = [];

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#output = this.#read();
  }

  /** Starts to ping `address` from the namespace that `place` names. */
  static start(place: NetworkPlace, address: string, options: { readonly intervalMs: number }): PingRun {
    const interval = String(options.intervalMs / 1000);
    const ping = ["ping", "-n", "-O", "-i", interval, "-W", "1", address];
    const argv = place.path === undefined ? ping : ["nsenter", `--net=${place.path}`, "--", ...ping];
    const child = new Deno.Command(argv[0]!, {
      args: argv.slice(1),
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    });
    return new PingRun(child.spawn());
  }

  /** Resolves when `count` more answers have come, or the ping has ended. */
  answers(count: number): Promise<void> {
    const wanted = this.#answers + count;
    return new Promise((resolve) => this.#waiters.push({ count: wanted, resolve }));
  }

  /** Ends it. @returns What its own summary says. */
  async stop(): Promise<{ sent: number; received: number }> {
    this.#child.kill("SIGINT");
    await this.#output;
    await this.#child.status;
    const summary = /(\d+) packets transmitted, (\d+) received/.exec(this.#text);
    if (!summary) throw new Error(`ping gave no summary: ${this.#text.slice(-200)}`);
    // The last request may still be on its way when the signal comes.
    const [sent, received] = [Number(summary[1]), Number(summary[2])];
    return { sent: sent - received === 1 && this.#isLastUnanswered(sent) ? sent - 1 : sent, received };
  }

  #isLastUnanswered(sent: number): boolean {
    return !this.#text.includes(`icmp_seq=${sent} ttl`) && !this.#text.includes("no answer yet");
  }

  async #read(): Promise<void> {
    for await (const text of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      this.#text += text;
      this.#answers += text.split("bytes from").length - 1;
      const ready = this.#waiters.filter((waiter) => waiter.count <= this.#answers);
      this.#waiters = this.#waiters.filter((waiter) => waiter.count > this.#answers);
      for (const waiter of ready) waiter.resolve();
    }
    for (const waiter of this.#waiters) waiter.resolve();
  }
}
