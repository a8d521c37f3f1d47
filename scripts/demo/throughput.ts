/** How much one TCP stream carries: by iperf3 where it is installed, else by processes of our own. */
import type { NetworkPlace } from "../../tests/support/test_netns.ts";
import { waitFor } from "../../tests/support/wait_for.ts";
import { findProgram } from "../support/packages.ts";
import { TcpFlow } from "../support/tcp_flow.ts";

/** Goodput, and what measured it. */
export interface Throughput {
  readonly bitsPerSecond: number;
  readonly tool: "iperf3" | "our own sender";
}

/** What is measured: as long as it takes TCP to find its speed, and then some. */
const SECONDS = 2;

/** Measures from one place to an address of another. */
export async function measureTcp(from: NetworkPlace, to: NetworkPlace, address: string): Promise<Throughput> {
  return findProgram("iperf3") === undefined
    ? { bitsPerSecond: await byOurOwn(from, to, address), tool: "our own sender" }
    : { bitsPerSecond: await byIperf3(from, to, address), tool: "iperf3" };
}

async function byIperf3(from: NetworkPlace, to: NetworkPlace, address: string): Promise<number> {
  const server = to.spawn(["iperf3", "--server", "--one-off", "--bind", address]);
  try {
    await waitFor("iperf3 to listen", async () => (await to.must(["ss", "-Htln"])).includes(":5201"));
    const text = await from.must(["iperf3", "--client", address, "--time", String(SECONDS), "--json"], {
      timeoutMs: SECONDS * 1_000 + 120_000,
    });
    return JSON.parse(text).end.sum_received.bits_per_second;
  } finally {
    try {
      server.kill("SIGKILL");
    } catch {
      // It served its one client and ended.
    }
    await server.status;
    await Promise.all([server.stdout.cancel(), server.stderr.cancel()]);
  }
}

async function byOurOwn(from: NetworkPlace, to: NetworkPlace, address: string): Promise<number> {
  await using flow = await TcpFlow.start(from, to, { address });
  const [start, before] = [performance.now(), flow.receivedBytes];
  await new Promise((resolve) => setTimeout(resolve, SECONDS * 1_000));
  const bytes = flow.receivedBytes - before;
  return bytes * 8_000 / (performance.now() - start);
}
