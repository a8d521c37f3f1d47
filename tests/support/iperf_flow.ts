/** A TCP flow between two places by iperf3, watched second by second. */
import type { NetworkPlace } from "./test_netns.ts";
import { waitFor } from "./wait_for.ts";

/** Longest that busy seconds are waited for: an emulated processor with little time of its own has few. */
const PATIENCE_MS = 5 * 60_000;

/** See the file's comment. */
export class IperfFlow implements AsyncDisposable {
  readonly #server: Deno.ChildProcess;
  readonly #client: Deno.ChildProcess;
  readonly #output: Promise<void>;
  #text = "";

  private constructor(server: Deno.ChildProcess, client: Deno.ChildProcess) {
    this.#server = server;
    this.#client = client;
    this.#output = this.#read();
  }

  /** Starts a flow to a server on `address` and returns when bytes have arrived. */
  static async start(from: NetworkPlace, to: NetworkPlace, address: string): Promise<IperfFlow> {
    const server = to.spawn(["iperf3", "--server", "--one-off", "--forceflush", "--bind", address]);
    await waitFor("iperf3 to listen", async () => (await to.must(["ss", "-Htln"])).includes(":5201"));
    const limits = ["--time", "600", "--interval", "1", "--bitrate", "10M"];
    const client = from.spawn(["iperf3", "--client", address, "--forceflush", ...limits]);
    const flow = new IperfFlow(server, client);
    try {
      await flow.busySeconds(1);
    } catch (error) {
      await flow[Symbol.asyncDispose]();
      throw new Error(`iperf3 to ${address}: ${flow.#text}`, { cause: error });
    }
    return flow;
  }

  /** Waits for so many more seconds in which the one connection carried bytes. */
  async busySeconds(count: number, options: { readonly timeoutMs?: number } = {}): Promise<void> {
    const goal = this.#busy + count;
    const { timeoutMs = PATIENCE_MS } = options;
    await waitFor(`${count} more seconds of iperf3`, () => this.#busy >= goal, { timeoutMs });
  }

  /** Interval lines such as `[  5]   3.00-4.00   sec  1.19 MBytes  9.98 Mbits/sec    0   …` that are not of zero bytes. */
  get #busy(): number {
    const lines = this.#text.matchAll(/^\[ +\d+\] +[\d.]+-[\d.]+ +sec +([\d.]+) \w+ +[\d.]+ \w+\/sec/gm);
    return [...lines].filter(([, amount]) => Number(amount) > 0).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of [this.#client, this.#server]) {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended.
      }
      await child.status;
    }
    await this.#output;
    await Promise.all([this.#server.stdout, this.#server.stderr, this.#client.stderr].map((s) => s.cancel()));
  }

  async #read(): Promise<void> {
    for await (const text of this.#client.stdout.pipeThrough(new TextDecoderStream())) this.#text += text;
  }
}
