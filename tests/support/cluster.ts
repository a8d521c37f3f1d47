/**
 * Several nodes on one underlay, introduced to each other the way the caller does it: it learns keys, ports and
 * subnets from the answers of each daemon and tells them to all others.
 */
import { assert } from "@std/assert";
import type { PeerScope, ServiceOverlayReply } from "../../core/service.ts";
import { globalRequest } from "./engine_rig.ts";
import { type BootOptions, OverlayNode } from "./overlay_node.ts";
import { Underlay, underlayIp } from "./underlay.ts";

/** An overlay that a cluster is given. */
export interface OverlayPlan {
  readonly deployment: string;
  readonly clusterCidr: string;
  /** Slice of each node. */
  readonly slices: readonly string[];
  /** Family of overlay and underlay addresses alike. */
  readonly family: 4 | 6;
}

/** UDP port of every global device; each host has its own. */
export const WG_PORT = 51420;

/** What the caller tells of a peer: keepalive of its every tunnel. */
export const KEEPALIVE_SECONDS = 25;

/** A node's place in the overlay. */
export interface Member {
  readonly interface: string;
  readonly nodeIp: string;
  readonly publicKey: string;
}

type DedicatedReply = NonNullable<ServiceOverlayReply["dedicated"]>;

/** See the file's comment. */
export class Cluster implements AsyncDisposable {
  readonly #stack: AsyncDisposableStack;

  private constructor(
    readonly nodes: readonly OverlayNode[],
    readonly underlay: Underlay,
    stack: AsyncDisposableStack,
  ) {
    this.#stack = stack;
  }

  /** Starts so many daemons, each on a host of its own. */
  static async start(count: number, options: BootOptions = {}): Promise<Cluster> {
    await using stack = new AsyncDisposableStack();
    const underlay = stack.use(await Underlay.create());
    const nodes = await Promise.all(Array.from({ length: count }, async (_, i) => {
      const prepare = (host: OverlayNode["host"]): Promise<void> => underlay.connect(host, i + 1);
      return stack.use(await OverlayNode.start({ ...options, nodeId: BigInt(i + 1), prepare }));
    }));
    return new Cluster(nodes, underlay, stack.move());
  }

  /** Sets one node's global overlay up. */
  async setUpGlobal(i: number, plan: OverlayPlan): Promise<Member> {
    const { deployment, clusterCidr } = plan;
    const sliceCidr = plan.slices[i]!;
    const instanceId = `i${i + 1}`;
    const request = globalRequest({ deployment, instanceId, clusterCidr, sliceCidr, wgPort: WG_PORT });
    const name = await this.node(i).client.setupGlobalOverlay(request);
    const { nodeIp, publicKey } = await this.node(i).status();
    assert(nodeIp !== undefined && publicKey !== undefined);
    return { interface: name, nodeIp, publicKey };
  }

  node(i: number): OverlayNode {
    const node = this.nodes[i];
    assert(node, `no node ${i}`);
    return node;
  }

  /** Makes every node a peer of every other. */
  async introduce(members: readonly Member[], family: 4 | 6): Promise<void> {
    await this.everyPair(async (i, j) => {
      const { publicKey, nodeIp } = members[j]!;
      await this.node(i).client.addPeer({
        publicKey,
        endpoint: endpoint(j, WG_PORT, family),
        allowedIps: `${nodeIp}/${family === 4 ? 32 : 128}`,
        persistentKeepaliveSecs: KEEPALIVE_SECONDS,
      });
    });
  }

  /** Sets a shared service up everywhere and routes its subnets by the global overlay. @returns The subnets. */
  async setUpShared(service: string, members: readonly Member[]): Promise<string[]> {
    const subnets = await Promise.all(this.nodes.map(async (node) => {
      await node.client.setupServiceOverlay(service, "shared");
      const found = (await node.status()).detail.services.find(({ name }) => name === service);
      return found!.subnet;
    }));
    await this.everyPair(async (i, j) => {
      await this.node(i).client.addAllowedIp(members[j]!.publicKey, subnets[j]!);
    });
    return subnets;
  }

  /** Sets a dedicated service up everywhere and makes its devices each other's peers. */
  async setUpDedicated(service: string, family: 4 | 6): Promise<DedicatedReply[]> {
    const replies = await Promise.all(this.nodes.map(async (node) => {
      const { dedicated } = await node.client.setupServiceOverlay(service, "dedicated");
      assert(dedicated);
      return dedicated;
    }));
    const scope: PeerScope = { scope: "service", service };
    await this.everyPair(async (i, j) => {
      const { wgPublicKey, wgPort, subnet } = replies[j]!;
      await this.node(i).client.addPeer({
        publicKey: wgPublicKey,
        endpoint: endpoint(j, wgPort, family),
        allowedIps: subnet,
        persistentKeepaliveSecs: KEEPALIVE_SECONDS,
      }, scope);
      await this.node(i).client.addAllowedIp(wgPublicKey, subnet, scope);
    });
    return replies;
  }

  /** Calls back for every ordered pair of nodes; pairs of one node come one after the other. */
  async everyPair(visit: (i: number, j: number) => Promise<void>): Promise<void> {
    await Promise.all(this.nodes.map(async (_, i) => {
      for (let j = 0; j < this.nodes.length; j++) if (i !== j) await visit(i, j);
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack[Symbol.asyncDispose]();
  }
}

/** Where node `i` listens on the underlay. */
export function endpoint(i: number, port: number, family: 4 | 6): string {
  const ip = underlayIp(i + 1, family);
  return family === 4 ? `${ip}:${port}` : `[${ip}]:${port}`;
}
