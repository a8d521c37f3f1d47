/** One run of iperf3 through a tunnel. */
import type { Tunnel } from "./tunnel.ts";
import { waitFor } from "../../tests/support/wait_for.ts";

/** What iperf3 counted. */
export interface Counted {
  /** What arrived, both directions together. */
  readonly bytes: number;
  readonly seconds: number;
  /** Datagrams that arrived; 0 for TCP. */
  readonly packets: number;
  /** Datagrams sent; 0 for TCP. */
  readonly packetsSent: number;
}

/** One direction or all streams of a test, as iperf3's JSON has it. */
interface Sum {
  readonly bytes: number;
  readonly seconds: number;
  readonly packets?: number;
  readonly lost_packets?: number;
}

/** The end of a test, as iperf3's JSON has it. */
export interface IperfEnd {
  readonly sum?: Sum;
  readonly sum_received?: Sum;
  readonly sum_received_bidir_reverse?: Sum;
}

/** Runs a server and a client for so many seconds. @param options Of the client. @throws {Error} If it fails. */
export async function runIperf(
  tunnel: Tunnel,
  options: readonly string[],
  seconds: number,
): Promise<Counted> {
  const server = spawnServer(tunnel);
  try {
    await waitFor("iperf3 listens", async () => (await tunnel.server.must(["ss", "-ltn"])).includes(":5201"));
    const text = await tunnel.client.must(
      ["iperf3", "-c", tunnel.address, "-t", String(seconds), "-J", ...options],
      { timeoutMs: (seconds + 120) * 1000 },
    );
    return countedOf(JSON.parse(text).end);
  } finally {
    server.kill("SIGKILL");
    await server.status;
  }
}

function spawnServer({ server }: Tunnel): Deno.ChildProcess {
  return new Deno.Command("nsenter", {
    args: [`--net=${server.path}`, "--", "iperf3", "-s"],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
}

/**
 * Reads the end of a test. For UDP, iperf3 3.12 counts what was sent in `bytes` and tells the server's losses in
 * `lost_packets`; for TCP, `sum_received` is what the other end has read.
 */
export function countedOf(end: IperfEnd): Counted {
  if (end.sum !== undefined) {
    const { bytes, seconds, packets = 0, lost_packets: lost = 0 } = end.sum;
    const arrived = packets - lost;
    const received = packets === 0 ? 0 : bytes * arrived / packets;
    return { bytes: received, seconds, packets: arrived, packetsSent: packets };
  }
  const sums = [end.sum_received, end.sum_received_bidir_reverse].filter((sum) => sum !== undefined);
  const bytes = sums.reduce((all, sum) => all + sum.bytes, 0);
  return { bytes, seconds: sums[0]?.seconds ?? 0, packets: 0, packetsSent: 0 };
}
