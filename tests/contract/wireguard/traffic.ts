/** Data in bulk, both ways: TCP, UDP, and a file that arrives as it was sent. */
import { assert, assertEquals } from "@std/assert";
import type { WireGuardEnd } from "../../support/interop/wireguard_end.ts";
import { toHex } from "../../support/golden.ts";
import { waitFor } from "../../support/wait_for.ts";
import { forEachEnd, type Scenario } from "./scenarios.ts";

const FILE_BYTES = 1_500_000;
const FILE_PORT = 5300;
const IPERF_PORT = 5201;
/** Bytes that arrive by TCP in a second, on the slowest rig. */
const LEAST_TCP_BYTES = 50_000;
/** Of datagrams at a rate that every rig can keep up with, if not at each moment. */
const MOST_LOSS = 0.05;

/** A server of one end, killed with its scope, that listens on a port by TCP. */
async function serve(end: WireGuardEnd, port: number, argv: readonly string[]): Promise<AsyncDisposable> {
  const child = end.host.spawn(argv);
  const output = Promise.all([
    child.stdout.pipeTo(new WritableStream()),
    child.stderr.pipeTo(new WritableStream()),
  ]);
  await waitFor(
    `${argv[0]} listens`,
    async () => (await end.host.must(["ss", "-Htln"])).includes(`:${port}`),
    {
      timeoutMs: 20_000,
    },
  );
  return {
    async [Symbol.asyncDispose](): Promise<void> {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended.
      }
      await child.status;
      await output;
    },
  };
}

/** What iperf3 says of a run: of TCP, and of UDP. */
interface IperfSummary {
  readonly sum_received?: { readonly bytes: number };
  readonly sum?: { readonly packets: number; readonly lost_packets: number };
}

/** Runs a client for a second. */
async function runIperf(
  from: WireGuardEnd,
  address: string,
  options: readonly string[],
): Promise<IperfSummary> {
  const argv = ["iperf3", "--client", address, "--json", "--time", "1", ...options];
  // A server that has not cleared the last run away refuses the next one, whose end is then empty.
  return await waitFor(argv.join(" "), async () => {
    const { stdout } = await from.host.run(argv, { timeoutMs: 60_000 });
    const summary: IperfSummary | undefined = JSON.parse(stdout).end;
    return summary?.sum !== undefined || summary?.sum_received !== undefined ? summary : undefined;
  }, { timeoutMs: 60_000 });
}

const iperf = forEachEnd(
  (side) => `iperf3 of ${side}: TCP and UDP both ways`,
  async (pair, end) => {
    await pair.relate();
    const other = pair.other(end);
    const [, address] = other.addresses;
    await pair.reach(end);
    await using _server = await serve(other, IPERF_PORT, ["iperf3", "--server"]);
    for (const direction of [[], ["--reverse"]]) {
      const { sum_received: tcp } = await runIperf(end, address, direction);
      assert(tcp!.bytes >= LEAST_TCP_BYTES, `${tcp!.bytes} bytes by TCP`);
      const datagrams = ["--udp", "--bitrate", "2M", "--length", "1000"];
      const { sum: udp } = await runIperf(end, address, [...direction, ...datagrams]);
      assert(udp!.packets > 0 && udp!.lost_packets <= udp!.packets * MOST_LOSS, JSON.stringify(udp));
    }
  },
);

const file = forEachEnd(
  (side) => `a file that ${side} sends arrives as it was`,
  async (pair, end) => {
    await pair.relate();
    const other = pair.other(end);
    const dir = await Deno.makeTempDir({ prefix: "zt" });
    try {
      const bytes = new Uint8Array(FILE_BYTES);
      for (let i = 0; i < bytes.length; i += 50_000) crypto.getRandomValues(bytes.subarray(i, i + 50_000));
      await Deno.writeFile(`${dir}/sent`, bytes);
      const keep = ["sh", "-c", `exec cat > ${dir}/received`];
      await using _server = await serve(other, FILE_PORT, [
        ...["busybox", "nc", "-l", "-p", String(FILE_PORT), "-e"],
        ...keep,
      ]);
      const send = `busybox nc -w 60 ${other.addresses[0]} ${FILE_PORT} < ${dir}/sent`;
      await end.host.must(["sh", "-c", send], { timeoutMs: 120_000 });
      await waitFor("the whole file", async () => (await Deno.stat(`${dir}/received`)).size >= FILE_BYTES, {
        timeoutMs: 60_000,
      });
      assertEquals(await sha256(`${dir}/received`), await sha256(`${dir}/sent`));
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
);

async function sha256(path: string): Promise<string> {
  return toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", await Deno.readFile(path))));
}

/** All of them. */
export const TRAFFIC: readonly Scenario[] = [...iperf, ...file];
