/**
 * The network between the hosts of nodes: one bridge, a port for each host. It is in a namespace of its own, since
 * the machine that the test runs on may have an address of that network, and would answer for it.
 */
import { NamedNetns, testName } from "./test_netns.ts";

/** A host's link to the underlay. */
export const UPLINK = "ztuplink";

const BRIDGE = "ztunderlay";

/** See the file's comment. Disposing it removes the bridge; ports go with their hosts. */
export class Underlay implements AsyncDisposable {
  readonly #netns: NamedNetns;

  private constructor(netns: NamedNetns) {
    this.#netns = netns;
  }

  /** Makes the bridge. */
  static async create(): Promise<Underlay> {
    const netns = await NamedNetns.create();
    await netns.must(["ip", "link", "add", BRIDGE, "up", "type", "bridge"]);
    return new Underlay(netns);
  }

  /** Connects a host as number `n`, with {@linkcode underlayIp} and a default route of each family. */
  async connect(host: NamedNetns, n: number): Promise<void> {
    const port = testName("p");
    const peer = ["peer", "name", UPLINK, "netns", host.name];
    await this.#netns.must(["ip", "link", "add", port, "master", BRIDGE, "up", "type", "veth", ...peer]);
    await host.must(["ip", "address", "add", `${underlayIp(n, 4)}/24`, "dev", UPLINK]);
    await host.must(["ip", "address", "add", `${underlayIp(n, 6)}/64`, "dev", UPLINK, "nodad"]);
    await host.must(["ip", "link", "set", UPLINK, "up"]);
    await host.must(["ip", "route", "add", "default", "via", "192.0.2.254"]);
    await host.must(["ip", "-6", "route", "add", "default", "via", "2001:db8::fe"]);
  }

  /** Moves a host to number `n`: its addresses change, and it has no other way to go on with. */
  async move(host: NamedNetns, n: number): Promise<void> {
    await host.must(["ip", "address", "flush", "dev", UPLINK, "scope", "global"]);
    await host.must(["ip", "address", "add", `${underlayIp(n, 4)}/24`, "dev", UPLINK]);
    await host.must(["ip", "address", "add", `${underlayIp(n, 6)}/64`, "dev", UPLINK, "nodad"]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#netns[Symbol.asyncDispose]();
  }
}

/** Address of host `n`, 1 to 253, in the networks set aside for documentation (RFC 5737, RFC 3849). */
export function underlayIp(n: number, family: 4 | 6): string {
  return family === 4 ? `192.0.2.${n}` : `2001:db8::${n.toString(16)}`;
}

/** Two hosts on an underlay, numbers 1 and 2; the stack removes them. */
export async function connectedHosts(stack: AsyncDisposableStack): Promise<[NamedNetns, NamedNetns]> {
  const underlay = stack.use(await Underlay.create());
  const a = stack.use(await NamedNetns.create());
  const b = stack.use(await NamedNetns.create());
  await underlay.connect(a, 1);
  await underlay.connect(b, 2);
  return [a, b];
}
