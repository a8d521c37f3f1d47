/**
 * How long the daemon takes to answer `status` over its named pipe with 100 containers attached: while nothing is
 * wrong, while a call of the Host Networking Service hangs, and while calls are refused because of that. The whole
 * daemon as a process of `deno.exe` under Wine, on the rig's computenetwork.dll, where every delete of an endpoint
 * hangs for ever.
 *
 * Usage: `deno task bench:hns [--seconds <n>]`; needs root, as the Windows rig does. Says whether a service that hangs
 * is in anybody's way, not how fast Windows is.
 */
import { parseArgs } from "@std/cli";
import type { OverlaydClient } from "../ipc/client.ts";
import { print } from "../scripts/support/process.ts";
import { container, DEPLOYMENT } from "../tests/support/container_rig.ts";
import { globalRequest } from "../tests/support/engine_rig.ts";
import { DaemonRig } from "../tests/windows/support/daemon_rig.ts";
import { DENO_EXE, runInWine, wineUnmet } from "../tests/support/wine_rig.ts";
import { summarise } from "./support/statistics.ts";

const CONTAINERS = 100;
const BASELINE_MS = 5_000;
/** A call that hangs is given up after 15 s, and calls are refused for a second until a probe is answered. */
const DEFAULT_SECONDS = 40;
const HANG = { op: "script", function: "HcnDeleteEndpoint", action: "hang", times: 0 };

/** What was going on when an answer came. */
type State = "nothing is wrong" | "a call hangs" | "calls are refused";

/** Here: checks that there is a rig, and runs this file in it. */
async function main(seconds: string): Promise<number> {
  const unmet = wineUnmet();
  if (unmet !== undefined) {
    print(`bench: ${unmet}`);
    return 1;
  }
  const script = "Z:\\repo\\bench\\hns_status_bench.ts";
  const argv = [
    DENO_EXE,
    "run",
    "-A",
    "--frozen",
    "--cached-only",
    "--no-check",
    script,
    "--seconds",
    seconds,
  ];
  const { code } = await runInWine(argv, { show: true });
  return code ?? 1;
}

/** In the rig: prints a line for each state. */
async function measure(seconds: number): Promise<void> {
  await using daemon = new DaemonRig();
  const client = await daemon.start([HANG]);
  const other = await daemon.connect();
  try {
    await attachAll(client);
    const times = new Map<State, number[]>();
    await sample(client, times, { ms: BASELINE_MS, isHanging: false });
    // Answered when the daemon gives the delete up; the record stays, and it is tried again after each recovery.
    other.detachContainer(container("c0")).catch(() => {});
    await sample(client, times, { ms: seconds * 1000, isHanging: true });
    for (const [state, samples] of times) {
      const { count, p50, p99, max } = summarise(samples);
      const [a, b, c] = [p50, p99, max].map((ms) => ms.toFixed(2));
      print(
        `status with ${CONTAINERS} attached, ${state}: p50 ${a} ms, p99 ${b} ms, max ${c} ms (${count} answers)`,
      );
    }
  } finally {
    client.close();
    other.close();
  }
}

async function attachAll(client: OverlaydClient): Promise<void> {
  await client.setLocalNodeId(1n);
  await client.setupGlobalOverlay(globalRequest({ deployment: DEPLOYMENT, sliceCidr: "10.200.0.0/24" }));
  for (let n = 0; n < CONTAINERS; n++) {
    await client.attachContainer({ handle: container(`c${n}`), service: "web", joinGlobal: false });
  }
}

/** Asks for the status again and again. Each answer says itself whether calls are refused. */
async function sample(
  client: OverlaydClient,
  times: Map<State, number[]>,
  { ms, isHanging }: { readonly ms: number; readonly isHanging: boolean },
): Promise<void> {
  const end = performance.now() + ms;
  while (performance.now() < end) {
    const start = performance.now();
    const { detail } = await client.status(true);
    const tookMs = performance.now() - start;
    const isRefused = detail?.containers?.problem !== undefined;
    const state = isRefused ? "calls are refused" : isHanging ? "a call hangs" : "nothing is wrong";
    const samples = times.get(state);
    if (samples) samples.push(tookMs);
    else times.set(state, [tookMs]);
  }
}

if (import.meta.main) {
  const { seconds } = parseArgs(Deno.args, { string: ["seconds"] });
  if (Deno.build.os !== "windows") {
    Deno.exit(await main(typeof seconds === "string" ? seconds : String(DEFAULT_SECONDS)));
  }
  await measure(Number(seconds));
  Deno.exit(0);
}
