/** What the acts of the demo play with: the nodes, and the containers that are attached to them. */
import type { Cluster } from "../../tests/support/cluster.ts";
import { Container } from "../../tests/support/test_netns.ts";
import type { Report } from "./report.ts";

/** A container of a service, on a node. */
export interface Placed {
  readonly container: Container;
  /** Index of its node. */
  readonly node: number;
  readonly service: string;
  readonly ip: string;
}

/** See the file's comment. */
export class Stage {
  #placed: Placed[] = [];

  constructor(
    readonly cluster: Cluster,
    readonly report: Report,
    readonly stack: AsyncDisposableStack,
  ) {}

  /** Starts a container and attaches it. */
  async attach(node: number, service: string): Promise<Placed> {
    const container = this.stack.use(await Container.start());
    const before = performance.now();
    const ip = await this.cluster.node(node).attach(container, service);
    const took = (performance.now() - before).toFixed(1);
    this.report.say(`node ${node + 1}: pid ${container.pid} -> ${service} ${ip} in ${took} ms`);
    const placed = { container, node, service, ip };
    this.#placed.push(placed);
    return placed;
  }

  /** Kills a container without telling the daemon. */
  async kill(placed: Placed): Promise<void> {
    await placed.container.kill();
    this.#placed = this.#placed.filter((one) => one !== placed);
  }

  /** Containers that live. */
  get placed(): readonly Placed[] {
    return this.#placed;
  }

  /** The first living container of a service on a node. */
  find(node: number, service: string): Placed {
    const found = this.#placed.find((one) => one.node === node && one.service === service);
    if (found === undefined) throw new TypeError(`node ${node + 1} has no container of ${service}`);
    return found;
  }
}
