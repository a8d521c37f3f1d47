/** Data in bulk, both ways: TCP, UDP, and a file that arrives as it was sent. */
import { assert, assertEquals } from "@std/assert";
import { iperfServer, type Transfer, transfer } from "../../support/iperf.ts";
import type { WireGuardEnd } from "../../support/interop/wireguard_end.ts";
import { toHex } from "../../support/golden.ts";
import { waitFor } from "../../support/wait_for.ts";
import { forEachEnd, type Scenario } from "./scenarios.ts";

const FILE_BYTES = 1_500_000;
const FILE_PORT = 5300;
/** Bytes that arrive by TCP in a second, on the slowest rig. */
const LEAST_TCP_BYTES = 50_000;
/** Transfers until one has to go well. */
const TRIES = 10;
/** Of datagrams at a rate that every rig can keep up with, if not at each moment. */
const MOST_LOST_PERCENT = 5;
const DATAGRAMS = ["--udp", "--bitrate", "2M", "--length", "1000"] as const;

/** A server of one end, killed with its scope, that listens on {@linkcode FILE_PORT} by TCP. */
async function serveFile(end: WireGuardEnd, argv: readonly string[]): Promise<AsyncDisposable> {
  const child = end.host.spawn(argv);
  const output = Promise.all(
    [child.stdout, child.stderr].map((stream) => stream.pipeTo(new WritableStream())),
  );
  const listens = async (): Promise<boolean> =>
    (await end.host.must(["ss", "-Htln"])).includes(`:${FILE_PORT}`);
  await waitFor(`${argv[0]} listens`, listens);
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

/** Tries a transfer until one goes as it should: in a second of its own a busy machine may do nothing else. */
async function moves(run: () => Promise<Transfer>, isGood: (transfer: Transfer) => boolean): Promise<void> {
  for (let left = TRIES;; left--) {
    const last = await run();
    if (isGood(last)) return;
    assert(left > 1, `the last of ${TRIES} transfers: ${JSON.stringify(last)}`);
  }
}

const iperf = forEachEnd(
  (side) => `iperf3 of ${side}: TCP and UDP both ways`,
  async (pair, end) => {
    await pair.relate();
    const other = pair.other(end);
    const [, address] = other.addresses;
    await pair.reach(end);
    await using _server = await iperfServer(other.host);
    for (const direction of [[], ["--reverse"]]) {
      const second = [...direction, "--time", "1"];
      await moves(() => transfer(end.host, address, second), ({ bytes }) => bytes >= LEAST_TCP_BYTES);
      await moves(
        () => transfer(end.host, address, [...second, ...DATAGRAMS]),
        ({ bytes, lostPercent }) => bytes > 0 && lostPercent <= MOST_LOST_PERCENT,
      );
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
      await using _server = await serveFile(other, [
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
