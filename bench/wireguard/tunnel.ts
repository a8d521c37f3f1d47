/**
 * What is compared: two namespaces joined by a veth pair, and a tunnel between them by one implementation.
 * The underlay has an MTU of 1500, every tunnel one of 1420.
 */
import { encodeKey, generateKeyPair, type KeyPair } from "../../core/wireguard/keys.ts";
import { BackendNode } from "../../tests/support/backend_node.ts";
import { NamedNetns, testName } from "../../tests/support/test_netns.ts";
import { type TunnelCommand, TunnelProcess } from "../../tests/support/tunnel_process.ts";
import { waitFor } from "../../tests/support/wait_for.ts";

/** UDP port of both ends. */
export const PORT = 51820;

/** MTU of every tunnel, and of the bare veth pair. */
export const MTU_BYTES = 1420;

/** Two namespaces with something between them. */
export interface Tunnel extends AsyncDisposable {
  readonly client: NamedNetns;
  readonly server: NamedNetns;
  /** Address of the server through what is measured. */
  readonly address: string;
  /** Processes that carry the traffic; none where the kernel does. */
  readonly pids: readonly number[];
  /** When each end last completed a handshake, in Unix seconds, 0 for never; empty where there are none. */
  readonly handshakes: () => Promise<number[]>;
}

/** Starts a tunnel and returns when it answers a ping. */
export type OpenTunnel = () => Promise<Tunnel>;

/** The limit: no tunnel, the veth pair itself. */
export async function openVeth(): Promise<Tunnel> {
  await using stack = new AsyncDisposableStack();
  const ends = await openNamespaces(stack);
  for (const end of ends) await end.must(["ip", "link", "set", "ztu", "mtu", String(MTU_BYTES)]);
  return finish(stack, ends, { address: "10.99.0.2", pids: [], handshakes: () => Promise.resolve([]) });
}

/** Our device, made by the Linux backend in a process of its own at each end. */
export async function openOurs(): Promise<Tunnel> {
  await using stack = new AsyncDisposableStack();
  const ends = await openNamespaces(stack);
  const dir = await Deno.makeTempDir({ prefix: "zt" });
  stack.defer(() => Deno.remove(dir, { recursive: true }));
  const keys = [newKeys(), newKeys()] as const;
  const name = testName("b");
  const nodes: BackendNode[] = [];
  for (const [i, netns] of ends.entries()) {
    const node = stack.use(BackendNode.start(netns, `${dir}/${i}`));
    const device = { name, tag: "zlayer-overlayd/bench/0:device", mtuBytes: MTU_BYTES, routes: [] };
    const { own, peer, endpoint, allowedIp, address } = side(i, keys);
    const peers = [{ publicKey: encodeKey(peer.publicKey), endpoint, allowedIps: [allowedIp] }];
    const privateKey = encodeKey(own.privateKey);
    await node.ask({ op: "ensure", device: { ...device, privateKey, listenPort: PORT, address, peers } });
    nodes.push(node);
  }
  return await finishTunnel(stack, ends, {
    pids: nodes.map(({ pid }) => pid),
    handshakes: async () => {
      const states = await Promise.all(nodes.map((node) => node.read(name)));
      return states.map(({ peers }) => peers[0]?.handshake ?? 0);
    },
  });
}

/** Another implementation that stays in the foreground and is configured by `wg`. */
export async function openProgram(command: TunnelCommand): Promise<Tunnel> {
  await using stack = new AsyncDisposableStack();
  const ends = await openNamespaces(stack);
  const keys = [newKeys(), newKeys()] as const;
  const programs: TunnelProcess[] = [];
  for (const [i, netns] of ends.entries()) {
    const program = stack.use(await TunnelProcess.start(netns, command));
    const { own, peer, endpoint, allowedIp, address } = side(i, keys);
    const { privateKey } = own;
    const config = { privateKey, listenPort: PORT, peer: peer.publicKey, endpoint, allowedIps: [allowedIp] };
    await program.configure(config);
    await program.up([address], { mtuBytes: MTU_BYTES });
    programs.push(program);
  }
  return await finishTunnel(stack, ends, {
    pids: programs.map(({ pid }) => pid),
    handshakes: () =>
      Promise.all(programs.map(async (program) => {
        return Number((await program.show("latest-handshakes")).split("\t")[1] ?? 0);
      })),
  });
}

/** Client and server. */
export type Ends = readonly [NamedNetns, NamedNetns];

interface Side {
  readonly own: KeyPair;
  readonly peer: KeyPair;
  readonly endpoint: string;
  readonly allowedIp: string;
  readonly address: string;
}

function side(i: number, keys: readonly [KeyPair, KeyPair]): Side {
  return {
    own: keys[i]!,
    peer: keys[1 - i]!,
    endpoint: `10.99.0.${2 - i}:${PORT}`,
    allowedIp: `10.0.0.${2 - i}/32`,
    address: `10.0.0.${i + 1}/24`,
  };
}

function newKeys(): KeyPair {
  return generateKeyPair((bytes) => void crypto.getRandomValues(bytes));
}

/** Two namespaces joined by a veth pair, which `stack` owns: 10.99.0.1 and .2, `ztu` in each. */
export async function openNamespaces(stack: AsyncDisposableStack): Promise<Ends> {
  const [client, server] = [stack.use(await NamedNetns.create()), stack.use(await NamedNetns.create())];
  const link = ["link", "add", "ztu", "type", "veth", "peer", "name", "ztu"];
  await client.must(["ip", ...link, "netns", server.name]);
  for (const [netns, address] of [[client, "10.99.0.1/24"], [server, "10.99.0.2/24"]] as const) {
    await netns.must(["ip", "address", "add", address, "dev", "ztu"]);
    await netns.must(["ip", "link", "set", "ztu", "up"]);
  }
  return [client, server];
}

/** Waits until it answers, and takes over what `stack` owns. @param parts `address`: default 10.0.0.2. */
export async function finishTunnel(
  stack: AsyncDisposableStack,
  ends: Ends,
  parts: Pick<Tunnel, "pids" | "handshakes"> & { readonly address?: string },
): Promise<Tunnel> {
  const { address = "10.0.0.2" } = parts;
  await waitFor("the tunnel works", () => ends[0].ping(address));
  return finish(stack, ends, { ...parts, address });
}

function finish(
  stack: AsyncDisposableStack,
  [client, server]: Ends,
  parts: Pick<Tunnel, "address" | "pids" | "handshakes">,
): Tunnel {
  const owned = stack.move();
  return { ...parts, client, server, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
