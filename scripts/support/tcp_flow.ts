/**
 * One TCP connection between two places, by processes of our own, that carries a known text: it can be watched as
 * it goes, and at its end it tells whether every byte arrived in order.
 */
import { join } from "@std/path";
import { ChildLines } from "../../tests/support/child_lines.ts";
import type { NetworkPlace } from "../../tests/support/test_netns.ts";
import { waitFor } from "../../tests/support/wait_for.ts";
import { denoArgv } from "./process.ts";
import { REPO } from "./repo.ts";

/** How a flow ended. */
export interface FlowEnd {
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** Every byte that arrived is the one that was sent there. */
  readonly isIntact: boolean;
}

/** See the file's comment. */
export class TcpFlow implements AsyncDisposable {
  readonly #receiver: Deno.ChildProcess;
  readonly #sender: Deno.ChildProcess;
  readonly #end: Promise<string>;
  #received = 0;

  private constructor(receiver: Deno.ChildProcess, lines: ChildLines, sender: Deno.ChildProcess) {
    this.#receiver = receiver;
    this.#sender = sender;
    this.#end = this.#watch(lines);
    this.#end.catch(() => {}); // told by finish()
  }

  /**
   * Starts a flow to `address`, which is one of `to`'s, and returns when the first bytes have arrived.
   *
   * @param options.bytesPerSecond Default: as fast as it goes.
   */
  static async start(
    from: NetworkPlace,
    to: NetworkPlace,
    options: { readonly address: string; readonly bytesPerSecond?: number },
  ): Promise<TcpFlow> {
    const { address, bytesPerSecond = 0 } = options;
    const receiver = to.spawn(endArgv("listen", address));
    const lines = new ChildLines(receiver.stdout);
    const port = (await lines.until("port ")).slice("port ".length);
    const sender = from.spawn(endArgv("send", address, port, String(bytesPerSecond)));
    const flow = new TcpFlow(receiver, lines, sender);
    try {
      await flow.receivedMore(1);
    } catch (error) {
      await flow[Symbol.asyncDispose]();
      throw error;
    }
    return flow;
  }

  /** Bytes that have arrived, some 20 ms ago. */
  get receivedBytes(): number {
    return this.#received;
  }

  /** Waits until so many more bytes have arrived. */
  async receivedMore(bytes: number, options: { readonly timeoutMs?: number } = {}): Promise<void> {
    const goal = this.#received + bytes;
    await waitFor(`${bytes} more bytes of the TCP flow`, () => this.#received >= goal, options);
  }

  /** Ends the flow in order and waits until its last byte has arrived. */
  async finish(): Promise<FlowEnd> {
    this.#sender.kill("SIGTERM");
    const sent = await new ChildLines(this.#sender.stdout).until("sent ");
    const [, received, verdict] = (await this.#end).split(" ");
    return {
      sentBytes: Number(sent.slice("sent ".length)),
      receivedBytes: Number(received),
      isIntact: verdict === "intact",
    };
  }

  /** Ends both processes. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of [this.#sender, this.#receiver]) {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended.
      }
      await child.status;
      await child.stderr.cancel();
    }
    await this.#end.catch(() => {});
    if (!this.#sender.stdout.locked) await this.#sender.stdout.cancel();
  }

  /** Reads what the receiver tells. @returns Its last line. */
  async #watch(lines: ChildLines): Promise<string> {
    for (;;) {
      const line = await lines.until(" ");
      if (line.startsWith("end ")) return line;
      this.#received = Number(line.slice("received ".length));
    }
  }
}

function endArgv(...args: string[]): string[] {
  return denoArgv(
    "run",
    "--quiet",
    "--no-config",
    "--allow-net",
    join(REPO, "scripts/support/tcp_end.ts"),
    ...args,
  );
}
