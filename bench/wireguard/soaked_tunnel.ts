/** A tunnel under steady traffic: TCP at a bounded rate, and pings whose gaps are noted. */
import { openDescriptors, residentBytes } from "../support/process_stat.ts";
import { waitFor } from "../../tests/support/wait_for.ts";
import type { Gap, Sample, Seen } from "./soak_report.ts";
import type { Tunnel } from "./tunnel.ts";

/** Time between echo requests. */
const PING_SECONDS = 0.02;

/** What is sent. */
export interface SoakLoad {
  readonly seconds: number;
  readonly bitsPerSecond: number;
}

/** See the file's comment. */
export class SoakedTunnel {
  readonly #tunnel: Tunnel;
  readonly #load: SoakLoad;
  readonly #samples: Sample[] = [];
  readonly #startedAt = performance.now();
  readonly #gaps: Gap[] = [];
  #lastSequence = 0;
  #bytes = 0;
  /** Settles when traffic has ended; rejects if it broke. */
  readonly traffic: Promise<unknown>;

  constructor(readonly name: string, tunnel: Tunnel, load: SoakLoad) {
    this.#tunnel = tunnel;
    this.#load = load;
    this.traffic = Promise.all([this.#runTcp(), this.#runPing()]);
  }

  /** Looks at memory, descriptors and handshakes. */
  async look(): Promise<Sample> {
    const { pids, handshakes } = this.#tunnel;
    const sample = {
      atSeconds: (performance.now() - this.#startedAt) / 1000,
      rssMiB: pids.reduce((sum, pid) => sum + residentBytes(pid), 0) / 2 ** 20,
      descriptors: pids.reduce((sum, pid) => sum + openDescriptors(pid), 0),
      handshakes: await handshakes(),
    };
    this.#samples.push(sample);
    return sample;
  }

  /** What was seen so far. */
  get seen(): Seen {
    const pings = { sent: this.#lastSequence, gaps: [...this.#gaps] };
    return { name: this.name, samples: [...this.#samples], pings, bytes: this.#bytes };
  }

  async #runTcp(): Promise<void> {
    const { client, server, address } = this.#tunnel;
    const listener = server.spawn(["iperf3", "-s"]);
    const drained = Promise.all([listener.stdout.cancel(), listener.stderr.cancel()]);
    try {
      await waitFor("iperf3 listens", async () => (await server.must(["ss", "-ltn"])).includes(":5201"));
      const { seconds, bitsPerSecond } = this.#load;
      const limits = ["-t", String(seconds), "-b", String(bitsPerSecond), "-J", "-i", "0"];
      const { stdout, code } = await client.run(["iperf3", "-c", address, ...limits]);
      if (code !== 0) throw new Error(`iperf3 through ${this.name}: ${stdout.slice(-300)}`);
      this.#bytes = JSON.parse(stdout).end.sum_received.bytes;
    } finally {
      listener.kill("SIGKILL");
      await Promise.all([listener.status, drained]);
    }
  }

  async #runPing(): Promise<void> {
    const interval = String(PING_SECONDS);
    // Until a time and not a count: on a busy machine ping falls behind.
    const until = String(Math.ceil(this.#load.seconds));
    const { client, address } = this.#tunnel;
    const ping = client.spawn(["ping", "-n", "-D", "-i", interval, "-w", until, address]);
    const errors = new Response(ping.stderr).text();
    let rest = "";
    for await (const text of ping.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) this.#note(line);
    }
    await ping.status;
    const problem = await errors;
    if (problem !== "") throw new Error(`ping through ${this.name}: ${problem}`);
  }

  /** `[1700000000.123456] 64 bytes from …: icmp_seq=7 ttl=64 time=0.1 ms`; answers come in order here. */
  #note(line: string): void {
    const match = /^\[([\d.]+)\] .*icmp_seq=(\d+) ttl=/.exec(line);
    if (match === null) return;
    const ahead = stepsAhead(this.#lastSequence, Number(match[2]));
    if (ahead > 1) this.#gaps.push({ at: Number(match[1]), lost: ahead - 1 });
    if (ahead > 0) this.#lastSequence += ahead;
  }
}

/**
 * How far a sequence number of ICMP, which has 16 bits, is beyond what was seen last; negative for a late one.
 *
 * @param last Counted on past 65535.
 */
export function stepsAhead(last: number, sequence: number): number {
  return ((sequence - last) << 16) >> 16;
}
