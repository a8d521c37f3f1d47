/**
 * How fast the IPC layer answers `status`, server and client in one process and so on one core.
 *
 * Prints one JSON line: pipelined requests per second on one connection, and the latency of one request at a
 * time. The service is a fake whose status is a constant, so only the IPC layer is measured.
 *
 * Run: `taskset -c 0 deno run -A bench/ipc_bench.ts [requests]`
 */

import { OverlaydClient } from "../ipc/client.ts";
import { listenEndpoint } from "../ipc/listener.ts";
import { IpcServer } from "../ipc/server.ts";
import { FakeService } from "../tests/support/fake_service.ts";

/** Requests in flight when pipelined. */
const DEPTH = 128;

/** Requests per second with {@linkcode DEPTH} of them in flight. */
export async function pipelined(client: OverlaydClient, requests: number): Promise<number> {
  const started = performance.now();
  let left = requests;
  const lane = async (): Promise<void> => {
    while (left-- > 0) await client.status();
  };
  await Promise.all(Array.from({ length: DEPTH }, lane));
  return requests / (performance.now() - started) * 1000;
}

async function latencies(client: OverlaydClient, requests: number): Promise<number[]> {
  const taken: number[] = [];
  for (let i = 0; i < requests; i++) {
    const started = performance.now();
    await client.status();
    taken.push(performance.now() - started);
  }
  return taken.sort((a, b) => a - b);
}

if (import.meta.main) {
  const requests = Number(Deno.args[0] ?? 100_000);
  const directory = Deno.makeTempDirSync({ prefix: "zt-bench-" });
  const path = `${directory}/overlayd.sock`;
  const server = new IpcServer({ service: new FakeService(), onShutdown: () => {} });
  const served = server.serve(await listenEndpoint(path));
  const client = await OverlaydClient.connect(path);
  await pipelined(client, requests / 10);
  const perSecond = await pipelined(client, requests);
  const sorted = await latencies(client, requests / 10);
  const line = JSON.stringify({
    requests,
    depth: DEPTH,
    pipelinedPerSecond: Math.round(perSecond),
    singleP50Microseconds: Math.round(sorted[Math.floor(sorted.length / 2)]! * 1000),
    singleP99Microseconds: Math.round(sorted[Math.floor(sorted.length * 0.99)]! * 1000),
    rssMiB: Math.round(Deno.memoryUsage().rss / 2 ** 20),
  });
  await Deno.stdout.write(new TextEncoder().encode(`${line}\n`));
  client.close();
  await server.close(1000);
  await served;
  await Deno.remove(directory, { recursive: true });
}
