/** A tunnel between two whole daemons, each told of the other as the caller does it. */
import type { PeerStatus } from "../../core/service.ts";
import { BenchDaemon, sourceArgv } from "../support/daemon.ts";
import { type Ends, finishTunnel, openNamespaces, PORT, type Tunnel } from "./tunnel.ts";

/** A daemon with its global overlay set up. */
export interface OverlayDaemon {
  readonly daemon: BenchDaemon;
  readonly nodeIp: string;
  readonly publicKey: string;
}

const CLUSTER = "10.200.0.0/16";

/** Two daemons and what is between them. */
export interface DaemonPair extends Tunnel {
  readonly nodes: readonly [OverlayDaemon, OverlayDaemon];
}

/** Starts two daemons and joins them. @param dir Parent of their data directories. */
export async function openDaemons(dir: string): Promise<DaemonPair> {
  await using stack = new AsyncDisposableStack();
  const ends = await openNamespaces(stack);
  const nodes = [
    await startNode(stack, { ends, dir, index: 0 }),
    await startNode(stack, { ends, dir, index: 1 }),
  ] as const;
  for (const [i, { daemon }] of nodes.entries()) {
    const { publicKey, nodeIp } = nodes[1 - i]!;
    await daemon.client.addPeer({
      publicKey,
      endpoint: `10.99.0.${2 - i}:${PORT}`,
      allowedIps: `${nodeIp}/32`,
      persistentKeepaliveSecs: 0,
    });
  }
  const tunnel = await finishTunnel(stack, ends, {
    address: nodes[1].nodeIp,
    pids: nodes.map(({ daemon }) => daemon.pid),
    handshakes: async () => (await peersOf(nodes)).map((peers) => peers[0]?.lastHandshakeUnixSecs ?? 0),
  });
  return { ...tunnel, nodes };
}

async function startNode(
  stack: AsyncDisposableStack,
  { ends, dir, index }: { readonly ends: Ends; readonly dir: string; readonly index: number },
): Promise<OverlayDaemon> {
  const argv = [...sourceArgv(), "--wireguard=userspace"];
  const daemon = stack.use(await BenchDaemon.start({ argv, dir, netns: ends[index]!.name }));
  const { client } = daemon;
  await client.setLocalNodeId(BigInt(index + 1));
  await client.setupGlobalOverlay({
    deployment: "bench",
    instanceId: String(index + 1),
    clusterCidr: CLUSTER,
    sliceCidr: `10.200.${index + 1}.0/24`,
    wgPort: PORT,
    natEnabled: false,
  });
  const { nodeIp, publicKey } = await client.status();
  if (nodeIp === undefined || publicKey === undefined) throw new Error("the daemon has no global overlay");
  return { daemon, nodeIp, publicKey };
}

async function peersOf(nodes: readonly OverlayDaemon[]): Promise<(readonly PeerStatus[])[]> {
  const statuses = await Promise.all(nodes.map(({ daemon }) => daemon.client.status()));
  return statuses.map(({ peers }) => peers);
}
