/** Amounts of data moved by iperf3, and what of them arrived. */
import { assert } from "@std/assert";
import type { NamedNetns, NetworkPlace } from "./test_netns.ts";
import { waitFor } from "./wait_for.ts";

/** What arrived of a transfer. */
export interface Transfer {
  readonly bytes: number;
  readonly bitsPerSecond: number;
  /** 0 to 100; 0 for TCP. */
  readonly lostPercent: number;
}

/** Starts an iperf3 server; killed with its scope, as one that is to end by itself waits for ever at times. */
export async function iperfServer(place: NamedNetns): Promise<AsyncDisposable> {
  const child = new Deno.Command("ip", {
    args: ["netns", "exec", place.name, "iperf3", "--server"],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  await waitFor("iperf3 listens", async () => (await place.must(["ss", "-ltn"])).includes(":5201"));
  return {
    async [Symbol.asyncDispose](): Promise<void> {
      child.kill("SIGKILL");
      await child.status;
    },
  };
}

/** Longest that one transfer may take, in milliseconds, and that transfers are tried. */
const ONE_MS = 5 * 60_000, ALL_MS = 10 * 60_000;

/** Moves data to a server. @param options More options of iperf3. */
export async function transfer(
  from: NetworkPlace,
  address: string,
  options: readonly string[],
): Promise<Transfer> {
  const argv = ["iperf3", "--client", address, "--json", ...options];
  const end = await waitFor("the server to be free", async () => {
    // It takes a moment to be done with the one before.
    const { end, error = "" } = JSON.parse((await from.run(argv, { timeoutMs: ONE_MS })).stdout);
    assert(error === "" || /busy|reset by peer|refused/.test(error), `${argv.join(" ")}: ${error}`);
    return error === "" && end;
  }, { timeoutMs: ALL_MS });
  const sum = end.sum_received ?? end.sum;
  return {
    bytes: sum.bytes,
    bitsPerSecond: sum.bits_per_second,
    lostPercent: end.sum?.lost_percent ?? 0,
  };
}

/**
 * Moves so many MiB by TCP until half of a transfer arrived: iperf3 tells what had arrived when the sender was done,
 * and on a busy machine that may have been done while all of it was in the sockets still.
 */
export async function transferTcp(
  from: NetworkPlace,
  address: string,
  { mib, reverse = false }: { readonly mib: number; readonly reverse?: boolean },
): Promise<void> {
  const argv = ["--bytes", `${mib}M`, ...(reverse ? ["--reverse"] : [])];
  await waitFor(
    `TCP ${reverse ? "from" : "to"} ${address}`,
    async () => (await transfer(from, address, argv)).bytes >= mib * 2 ** 19,
    { timeoutMs: ALL_MS },
  );
}

/**
 * Moves datagrams until most of a transfer arrived: sockets of a busy machine drop some, and a device that does
 * not work drops all.
 */
export async function transferUdp(
  from: NetworkPlace,
  address: string,
  options: readonly string[],
): Promise<void> {
  const argv = ["--udp", "--window", "2M", ...options];
  await waitFor(
    `most datagrams to arrive at ${address}`,
    async () => (await transfer(from, address, argv)).lostPercent < 50,
    { timeoutMs: ALL_MS },
  );
}
