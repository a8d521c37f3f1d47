/**
 * How long attaching and detaching take below the daemon: the Linux backend alone, no IPC and no database.
 *
 * Run as root in a network namespace of its own: `unshare --net deno run -A bench/attach_netlink_bench.ts [n]`.
 * Prints milliseconds; compare within one run, on one machine.
 */

import type { ContainerLinkSpec, ContainerSpec } from "../core/backend/backend.ts";
import { LinuxBackend } from "../core/backend/linux.ts";
import { parsePrefix } from "../core/ip/prefix.ts";
import { SILENT_LOG } from "../core/log.ts";
import { Container, HERE } from "../tests/support/test_netns.ts";

const TAG = "zlayer-overlayd/bench/0123456789abcdef:";
const BRIDGE = {
  name: "ztbr0",
  tag: `${TAG}service`,
  gateway: parsePrefix("10.213.0.1/16")!,
  mtuBytes: 1420,
};

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

function linkOf(i: number): ContainerLinkSpec {
  return {
    hostName: `ztb${i}`,
    tag: `${TAG}${i}`,
    containerName: "eth0",
    mac: Uint8Array.of(2, 0, 0, 0, i >> 8, i & 0xff),
    address: parsePrefix(`10.213.${i >> 8}.${(i & 0xff)}/16`)!,
    mtuBytes: 1420,
    uplink: { kind: "bridge", bridge: BRIDGE.name, gateway: BRIDGE.gateway.address },
  };
}

function percentile(values: readonly number[], fraction: number): string {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))] ?? 0).toFixed(2);
}

async function timed(section: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await section();
  return performance.now() - start;
}

async function attachAll(backend: LinuxBackend, specs: readonly ContainerSpec[]): Promise<void> {
  const oneByOne: number[] = [];
  for (const spec of specs) oneByOne.push(await timed(() => backend.attachContainer(spec)));
  print(
    `attach, one after another: p50 ${percentile(oneByOne, 0.5)} ms, p99 ${percentile(oneByOne, 0.99)} ms`,
  );
}

async function detachAll(backend: LinuxBackend, specs: readonly ContainerSpec[]): Promise<number> {
  return await timed(() => Promise.all(specs.map((spec) => backend.removeContainerLinks(spec.links))));
}

async function run(count: number): Promise<void> {
  const backend = await LinuxBackend.open(SILENT_LOG);
  await backend.ensureServiceNetwork(BRIDGE);
  const containers: Container[] = [];
  for (let i = 0; i < count; i++) containers.push(await Container.start());
  try {
    const specs = await Promise.all(containers.map(async ({ pid }, i): Promise<ContainerSpec> => ({
      netns: await backend.identify(pid),
      links: [linkOf(2 + i)],
    })));
    await attachAll(backend, specs);
    print(`${count} detaches at once: ${(await detachAll(backend, specs)).toFixed(1)} ms`);
    const together = await timed(() => Promise.all(specs.map((spec) => backend.attachContainer(spec))));
    print(`${count} attaches at once: ${together.toFixed(1)} ms, ${(together / count).toFixed(2)} ms each`);
    const single = await timed(() => HERE.must(["ip", "link", "del", linkOf(2).hostName]));
    print(`one \`ip link del\`, for comparison: ${single.toFixed(1)} ms`);
    print(`${count - 1} detaches at once: ${(await detachAll(backend, specs)).toFixed(1)} ms`);
  } finally {
    await Promise.all(containers.map((container) => container.kill()));
    await backend.removeServiceNetwork(BRIDGE.name, BRIDGE.tag);
    backend.close();
  }
}

if (import.meta.main) await run(Number(Deno.args[0] ?? 100));
