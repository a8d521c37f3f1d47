/** The loads that a tunnel is put under, and what is measured of each. */
import { cpuSeconds } from "../support/process_stat.ts";
import { quantile } from "../support/statistics.ts";
import { runIperf } from "./iperf.ts";
import { runPing } from "./ping.ts";
import type { Tunnel } from "./tunnel.ts";

/** What can be measured; each load measures some. */
export type Metric =
  /** Goodput, both directions together. */
  | "gbps"
  /** Thousand datagrams a second that arrived. */
  | "kpps"
  | "lossPercent"
  /** CPU seconds, user and system, of the processes at both ends for each 10⁹ bytes that arrived. */
  | "cpuPerGb"
  | "p50Ms"
  | "p99Ms";

/** What one run came to. */
export type Outcome = Readonly<Partial<Record<Metric, number>>>;

/** One load. */
export interface Load {
  readonly id: LoadId;
  readonly name: string;
  readonly run: (tunnel: Tunnel, seconds: number) => Promise<Outcome>;
}

/** Names of the loads on the command line, in the order they run. */
export const LOAD_IDS = [
  "tcp1",
  "tcp4",
  "tcp-both",
  "udp64",
  "udp512",
  "udp1372",
  "udp512-1.5g",
  "udp1372-1.5g",
  "ping",
  "ping-busy",
] as const;

/** Name of a load. */
export type LoadId = typeof LOAD_IDS[number];

/** Socket buffers that hold some milliseconds of the fastest flow, or the receiver loses what the tunnel does not. */
const UDP = ["-u", "-w", "4M"];

const PING_INTERVAL_MS = 2;

/**
 * The loads. UDP sizes are payloads; 1372 and not 1400, as with 28 bytes of headers that is a packet of 1400, and
 * 1400 of payload would not fit into the MTU of 1420. At 64 bytes no sender reaches 1.5 Gbit/s, so that it would be
 * the same as full speed.
 */
export const LOADS: readonly Load[] = [
  flow("tcp1", "TCP, 1 stream", []),
  flow("tcp4", "TCP, 4 streams", ["-P", "4"]),
  flow("tcp-both", "TCP, both ways", ["--bidir"]),
  flow("udp64", "UDP, 64 bytes, full speed", [...UDP, "-l", "64", "-b", "0"]),
  flow("udp512", "UDP, 512 bytes, full speed", [...UDP, "-l", "512", "-b", "0"]),
  flow("udp1372", "UDP, 1372 bytes, full speed", [...UDP, "-l", "1372", "-b", "0"]),
  flow("udp512-1.5g", "UDP, 512 bytes, 1.5 Gbit/s", [...UDP, "-l", "512", "-b", "1500M"]),
  flow("udp1372-1.5g", "UDP, 1372 bytes, 1.5 Gbit/s", [...UDP, "-l", "1372", "-b", "1500M"]),
  { id: "ping", name: "ping, idle", run: pingLoad },
  { id: "ping-busy", name: "ping beside TCP, 1 stream", run: busyPing },
];

function flow(id: LoadId, name: string, options: readonly string[]): Load {
  return { id, name, run: (tunnel, seconds) => runFlow(tunnel, options, seconds) };
}

async function runFlow(tunnel: Tunnel, options: readonly string[], seconds: number): Promise<Outcome> {
  const before = cpuSecondsOf(tunnel);
  const { bytes, seconds: took, packets, packetsSent } = await runIperf(tunnel, options, seconds);
  const used = cpuSecondsOf(tunnel) - before;
  return {
    gbps: bytes * 8 / took / 1e9,
    ...packetsSent === 0
      ? {}
      : { kpps: packets / took / 1000, lossPercent: 100 * (1 - packets / packetsSent) },
    ...tunnel.pids.length === 0 ? {} : { cpuPerGb: used / (bytes / 1e9) },
  };
}

async function pingLoad(tunnel: Tunnel, seconds: number): Promise<Outcome> {
  const { ms, lost } = await runPing(tunnel, { seconds, intervalMs: PING_INTERVAL_MS });
  return {
    p50Ms: quantile(ms, 0.5),
    p99Ms: quantile(ms, 0.99),
    lossPercent: 100 * lost / (ms.length + lost),
  };
}

async function busyPing(tunnel: Tunnel, seconds: number): Promise<Outcome> {
  // Ramp-up and wind-down of the flow are left out on both sides.
  const flowing = runIperf(tunnel, [], seconds + 1);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const [outcome] = await Promise.all([pingLoad(tunnel, seconds), flowing]);
  return outcome;
}

function cpuSecondsOf({ pids }: Tunnel): number {
  return pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);
}
