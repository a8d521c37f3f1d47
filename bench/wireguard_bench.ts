/**
 * Throughput of our user-space WireGuard beside Debian's wireguard-go, in one run on one machine: two namespaces
 * joined by a veth pair, iperf3 in them, MTU 1420. Prints goodput, loss and CPU seconds (both tunnel processes,
 * user and system) per GB.
 *
 * Usage: `deno task bench:wireguard [--seconds <n>] [--rounds <n>]`; needs root, iperf3, wireguard-go and wg.
 */
import { parseArgs } from "@std/cli";
import { encodeKey, generateKeyPair, type KeyPair } from "../core/wireguard/keys.ts";
import { BackendNode } from "../tests/support/backend_node.ts";
import { HERE, NamedNetns, testName } from "../tests/support/test_netns.ts";
import { waitFor } from "../tests/support/wait_for.ts";
import { print } from "../scripts/support/process.ts";

const PORT = 51820;
const CLOCK_TICKS_PER_SECOND = 100;

/** Two namespaces with a tunnel between them. */
interface Tunnel extends AsyncDisposable {
  readonly client: NamedNetns;
  readonly server: NamedNetns;
  /** Processes that carry it. */
  readonly pids: readonly number[];
}

/** What one run of iperf3 came to. */
interface Outcome {
  readonly gbps: number;
  readonly lossPercent: number;
  readonly cpuSecondsPerGb: number;
}

const LOADS = [
  { name: "TCP, 1 stream", options: [] },
  { name: "TCP, 4 streams", options: ["-P", "4"] },
  { name: "UDP, 1372 bytes, 1.5 Gbit/s", options: ["-u", "-l", "1372", "-w", "4M", "-b", "1500M"] },
] as const;

const IMPLEMENTATIONS = [
  { name: "ours", open: openOurs },
  { name: "wireguard-go", open: openWireguardGo },
] as const;

async function main(): Promise<void> {
  const flags = parseArgs(Deno.args, { string: ["seconds", "rounds"] });
  const [seconds, rounds] = [Number(flags.seconds ?? 3), Number(flags.rounds ?? 3)];
  const results = new Map<string, Outcome[]>();
  for (let round = 0; round < rounds; round++) {
    for (const { name, open } of IMPLEMENTATIONS) {
      await using tunnel = await open();
      for (const load of LOADS) {
        const key = `${load.name}: ${name}`;
        const outcome = await measure(tunnel, load.options, seconds);
        results.set(key, [...results.get(key) ?? [], outcome]);
      }
    }
  }
  for (const load of LOADS) {
    const [ours, theirs] = IMPLEMENTATIONS.map(({ name }) => median(results.get(`${load.name}: ${name}`)!));
    for (const [i, one] of [ours!, theirs!].entries()) {
      print(
        `${load.name.padEnd(30)} ${IMPLEMENTATIONS[i]!.name.padEnd(14)} ${one.gbps.toFixed(2)} Gbit/s  ` +
          `loss ${one.lossPercent.toFixed(1)} %  ${one.cpuSecondsPerGb.toFixed(1)} CPU s/GB`,
      );
    }
    print(`${"".padEnd(30)} ratio          ${(ours!.gbps / theirs!.gbps).toFixed(2)}`);
  }
}

function median(outcomes: readonly Outcome[]): Outcome {
  return outcomes.toSorted((a, b) => a.gbps - b.gbps)[outcomes.length >> 1]!;
}

async function measure(tunnel: Tunnel, options: readonly string[], seconds: number): Promise<Outcome> {
  const server = new Deno.Command("ip", {
    args: ["netns", "exec", tunnel.server.name, "iperf3", "-s"],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  try {
    await waitFor("iperf3 listens", async () => (await tunnel.server.must(["ss", "-ltn"])).includes(":5201"));
    const before = cpuSeconds(tunnel.pids);
    const text = await tunnel.client.must(
      ["iperf3", "-c", "10.0.0.2", "-t", String(seconds), "-J", ...options],
      { timeoutMs: 60_000 },
    );
    const { end } = JSON.parse(text);
    const sum = end.sum_received ?? end.sum;
    const lossPercent = end.sum?.lost_percent ?? 0;
    const bytes = end.sum ? end.sum.bytes * (1 - lossPercent / 100) : sum.bytes;
    return {
      gbps: bytes * 8 / sum.seconds / 1e9,
      lossPercent,
      cpuSecondsPerGb: (cpuSeconds(tunnel.pids) - before) / (bytes / 1e9),
    };
  } finally {
    server.kill("SIGKILL");
    await server.status;
  }
}

/** User and system time of processes. @see proc_pid_stat(5) */
function cpuSeconds(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    const fields = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ")[1]!.split(" ");
    return sum + (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS_PER_SECOND;
  }, 0);
}

function newKeys(): KeyPair {
  return generateKeyPair((bytes) => void crypto.getRandomValues(bytes));
}

async function openNamespaces(stack: AsyncDisposableStack): Promise<[NamedNetns, NamedNetns]> {
  const [client, server] = [stack.use(await NamedNetns.create()), stack.use(await NamedNetns.create())];
  const link = ["link", "add", "ztu", "type", "veth", "peer", "name", "ztu"];
  await client.must(["ip", ...link, "netns", server.name]);
  for (const [netns, address] of [[client, "10.99.0.1/24"], [server, "10.99.0.2/24"]] as const) {
    await netns.must(["ip", "address", "add", address, "dev", "ztu"]);
    await netns.must(["ip", "link", "set", "ztu", "up"]);
  }
  return [client, server];
}

async function openOurs(): Promise<Tunnel> {
  await using stack = new AsyncDisposableStack();
  const [client, server] = await openNamespaces(stack);
  const dir = await Deno.makeTempDir({ prefix: "zt" });
  stack.defer(() => Deno.remove(dir, { recursive: true }));
  const keys = [newKeys(), newKeys()];
  const pids: number[] = [];
  for (const [i, netns] of [client, server].entries()) {
    const node = stack.use(BackendNode.start(netns, `${dir}/${i}`));
    await node.ask({
      op: "ensure",
      device: {
        name: testName("b"),
        tag: "zlayer-overlayd/bench/0:device",
        privateKey: encodeKey(keys[i]!.privateKey),
        listenPort: PORT,
        address: `10.0.0.${i + 1}/24`,
        mtuBytes: 1420,
        peers: [{
          publicKey: encodeKey(keys[1 - i]!.publicKey),
          endpoint: `10.99.0.${2 - i}:${PORT}`,
          allowedIps: [`10.0.0.${2 - i}/32`],
        }],
        routes: [],
      },
    });
    pids.push(node.pid);
  }
  await waitFor("the tunnel works", () => client.ping("10.0.0.2"), { timeoutMs: 10_000 });
  const owned = stack.move();
  return { client, server, pids, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function openWireguardGo(): Promise<Tunnel> {
  await using stack = new AsyncDisposableStack();
  const [client, server] = await openNamespaces(stack);
  const keys = [newKeys(), newKeys()];
  const pids: number[] = [];
  for (const [i, netns] of [client, server].entries()) {
    const link = testName("b");
    const child = new Deno.Command("ip", {
      args: ["netns", "exec", netns.name, "wireguard-go", "-f", link],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    stack.defer(async () => {
      child.kill("SIGTERM");
      await child.status;
    });
    pids.push(child.pid);
    await waitFor("wireguard-go answers", async () => (await HERE.run(["wg", "show", link])).code === 0);
    const file = await Deno.makeTempFile({ prefix: "zt" });
    stack.defer(() => Deno.remove(file));
    await Deno.writeTextFile(file, encodeKey(keys[i]!.privateKey));
    const peer = ["peer", encodeKey(keys[1 - i]!.publicKey), "allowed-ips", `10.0.0.${2 - i}/32`];
    const own = ["private-key", file, "listen-port", String(PORT)];
    await netns.must(["wg", "set", link, ...own, ...peer, "endpoint", `10.99.0.${2 - i}:${PORT}`]);
    await netns.must(["ip", "address", "add", `10.0.0.${i + 1}/24`, "dev", link]);
    await netns.must(["ip", "link", "set", link, "mtu", "1420", "up"]);
  }
  await waitFor("the tunnel works", () => client.ping("10.0.0.2"), { timeoutMs: 10_000 });
  const owned = stack.move();
  return { client, server, pids, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

if (import.meta.main) await main();
