/** A device with a thousand peers: how long set-up and `status` take, and what it costs the traffic of one. */
import { encodeKey, generateKeyPair, type KeyPair } from "../../core/wireguard/keys.ts";
import { BackendNode, type NodeDevice, type NodePeer } from "../../tests/support/backend_node.ts";
import { RunningPing } from "../../tests/support/running_ping.ts";
import { residentBytes } from "../support/process_stat.ts";
import type { Budget, MeasuredRow, Quantity, Row } from "../support/row.ts";
import { median } from "../support/statistics.ts";
import { rest, timed } from "../support/timing.ts";
import { openDaemons } from "./daemons.ts";
import { runIperf } from "./iperf.ts";
import { finishTunnel, MTU_BYTES, openNamespaces, PORT, type Tunnel } from "./tunnel.ts";

const PEERS = 1000;
const STATUS_CALLS = 11;
/** Longer than what `status` may answer from an earlier read. */
const STATUS_APART_MS = 300;

/** How the rows are measured. */
export interface PeersOptions {
  /** Directory for all state. */
  readonly dir: string;
  readonly rounds: number;
  readonly seconds: number;
  readonly say: (line: string) => void;
}

/** All rows. */
export async function peerRows(options: PeersOptions): Promise<Row[]> {
  options.say(`${PEERS} peers told to a daemon`);
  const told = await daemonRows(options);
  options.say(`${PEERS} peers given to a device at once, and traffic beside them`);
  return [...told, ...await deviceRows(options)];
}

/** A daemon that is told of peers one by one. */
async function daemonRows({ dir }: PeersOptions): Promise<Row[]> {
  await using pair = await openDaemons(dir);
  const { daemon } = pair.nodes[0];
  const { client } = daemon;
  const before = residentBytes(daemon.pid);
  const setUp = await timed(async () => {
    for (let i = 0; i < PEERS; i++) {
      const { publicKey, endpoint, allowedIps } = stranger(i);
      const spec = {
        publicKey,
        endpoint: endpoint!,
        allowedIps: allowedIps.join(),
        persistentKeepaliveSecs: 0,
      };
      await client.addPeer(spec);
    }
  });
  const perPeerKiB = (residentBytes(daemon.pid) - before) / PEERS / 1024;
  const calls: number[] = [];
  for (let i = 0; i < STATUS_CALLS; i++) {
    await rest(STATUS_APART_MS);
    calls.push(await timed(() => client.status()));
  }
  const atMost = (limit: number): Budget => ({ kind: "atMost", limit });
  return [
    row("P1", `${PEERS} add_peer, one after another`, { ours: ms(setUp), budget: atMost(1000) }),
    row("P2", `status with ${PEERS} peers, p50`, { ours: ms(median(calls)), budget: atMost(50) }),
    row("P3", "memory per peer", { ours: { value: perPeerKiB, unit: "KiB" }, budget: atMost(64) }),
  ];
}

/** A device that is given all its peers at once: as after a restart of the daemon. */
async function deviceRows({ rounds, seconds }: PeersOptions): Promise<Row[]> {
  const [one, many] = [[] as number[], [] as number[]];
  const [restartsOfOne, restartsOfMany] = [[] as number[], [] as number[]];
  const setUps: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await using single = await openDevice(0);
    await using crowded = await openDevice(PEERS - 1);
    setUps.push(crowded.setUpMs);
    one.push(await gbps(single, seconds));
    many.push(await gbps(crowded, seconds));
    restartsOfOne.push(await silenceOfRestart(single));
    restartsOfMany.push(await silenceOfRestart(crowded));
  }
  const limit = { kind: "atMost", limit: 1000 } as const;
  return [
    row("P4", `a device with ${PEERS} peers, set up at once`, { ours: ms(median(setUps)), budget: limit }),
    row("P5", `TCP, 1 stream, to one of ${PEERS} peers`, {
      ours: { value: median(many), unit: "Gbit/s" },
      peer: { name: "the only peer", quantity: { value: median(one), unit: "Gbit/s" } },
      budget: { kind: "ratioAtLeast", target: 0.9, floor: 0.9 },
    }),
    row("P6", `silence of a restart with ${PEERS} peers`, {
      ours: ms(median(restartsOfMany)),
      peer: { name: "with one", quantity: ms(median(restartsOfOne)) },
      budget: limit,
      notes: ["pings 20 ms apart from the last peer that is greeted; the process has to start, too"],
    }),
  ];
}

/** A tunnel whose client has strangers besides the server, and can be restarted. */
interface CrowdedTunnel extends Tunnel {
  readonly setUpMs: number;
  readonly restart: () => Promise<void>;
}

async function openDevice(strangers: number): Promise<CrowdedTunnel> {
  await using stack = new AsyncDisposableStack();
  const ends = await openNamespaces(stack);
  const dir = await Deno.makeTempDir({ prefix: "zt" });
  stack.defer(() => Deno.remove(dir, { recursive: true }));
  const keys = [newKeys(), newKeys()] as const;
  const devices = [0, 1].map((i) => deviceOf(i, keys, i === 0 ? strangers : 0)) as [NodeDevice, NodeDevice];
  const server = stack.use(BackendNode.start(ends[1], `${dir}/1`));
  await server.ask({ op: "ensure", device: devices[1] });
  let client = BackendNode.start(ends[0], `${dir}/0`);
  stack.defer(() => client[Symbol.asyncDispose]());
  // So that the start of the process is not counted.
  await client.ask({ op: "ensure", device: { ...devices[0], peers: [] } });
  const setUpMs = await timed(() => client.ask({ op: "ensure", device: devices[0] }));
  const restart = async (): Promise<void> => {
    await client[Symbol.asyncDispose]();
    client = BackendNode.start(ends[0], `${dir}/0`);
    await client.ask({ op: "ensure", device: devices[0] });
  };
  const pids = [client.pid, server.pid];
  const tunnel = await finishTunnel(stack, ends, { pids, handshakes: () => Promise.resolve([]) });
  return { ...tunnel, setUpMs, restart };
}

function deviceOf(i: number, keys: readonly [KeyPair, KeyPair], strangers: number): NodeDevice {
  const other = {
    publicKey: encodeKey(keys[1 - i]!.publicKey),
    endpoint: `10.99.0.${2 - i}:${PORT}`,
    allowedIps: [`10.0.0.${2 - i}/32`],
  };
  const peers = [...Array.from({ length: strangers }, (_, n) => stranger(n)), other];
  return {
    name: `ztp${i}`,
    tag: "zlayer-overlayd/bench/0:device",
    privateKey: encodeKey(keys[i]!.privateKey),
    listenPort: PORT,
    address: `10.0.0.${i + 1}/24`,
    mtuBytes: MTU_BYTES,
    peers,
    routes: peers.flatMap(({ allowedIps }) => allowedIps).filter((ip) => !ip.startsWith("10.0.0.")),
  };
}

/** A peer at a port where nobody listens, with a host of the overlay and a subnet of its own. */
function stranger(n: number): NodePeer {
  const [high, low] = [n >> 8, n & 0xff];
  return {
    publicKey: encodeKey(crypto.getRandomValues(new Uint8Array(32))),
    endpoint: `10.99.0.2:${20_000 + n}`,
    allowedIps: [`10.200.${100 + high}.${low}/32`, `10.${210 + high}.${low}.0/24`],
  };
}

async function gbps(tunnel: Tunnel, seconds: number): Promise<number> {
  const { bytes, seconds: took } = await runIperf(tunnel, [], seconds);
  return bytes * 8 / took / 1e9;
}

/** How long the other end had no answers. */
async function silenceOfRestart({ server, restart }: CrowdedTunnel): Promise<number> {
  await using ping = await RunningPing.start(server, "10.0.0.1");
  await ping.answeredMore(10);
  await restart();
  await ping.answeredMore(10, { timeoutMs: 60_000 });
  return ping.loss.lost * 20;
}

function newKeys(): KeyPair {
  return generateKeyPair((bytes) => void crypto.getRandomValues(bytes));
}

function ms(value: number): Quantity {
  return { value, unit: "ms" };
}

function row(
  id: string,
  what: string,
  rest: Pick<MeasuredRow, "ours" | "budget"> & Partial<Pick<MeasuredRow, "peer" | "notes">>,
): MeasuredRow {
  return { state: "measured", id, what, notes: [], ...rest };
}
