/** Debian's wireguard-go in a namespace of its own, joined to the test's by a veth pair. */
import { HERE, NamedNetns, testName } from "./test_netns.ts";
import { TunnelProcess } from "./tunnel_process.ts";

/** What has to be installed. */
export const WIREGUARD_GO_PROGRAMS = ["ip", "wireguard-go", "wg"] as const;

/** Our end of the veth pair and its end, IPv4 and IPv6. */
export const UNDERLAY = { ours: ["10.99.0.1", "fd99::1"], its: ["10.99.0.2", "fd99::2"] } as const;

/** Addresses inside the tunnel. */
export const OVERLAY = { ours: ["10.0.0.1", "fd00::1"], its: ["10.0.0.2", "fd00::2"] } as const;

/** Its UDP port. */
export const ITS_PORT = 51820;

/** How the device is configured. */
export interface WireguardGoOptions {
  readonly privateKey: Uint8Array;
  /** Our public key. */
  readonly peer: Uint8Array;
  readonly presharedKey?: Uint8Array;
  /** Where we are; absent if it is to learn that. */
  readonly endpoint?: string;
  readonly keepaliveSeconds?: number;
}

/** A running wireguard-go with one peer: us. */
export class WireguardGo implements AsyncDisposable {
  readonly #stack: AsyncDisposableStack;
  readonly #process: TunnelProcess;

  private constructor(stack: AsyncDisposableStack, readonly netns: NamedNetns, process: TunnelProcess) {
    this.#stack = stack;
    this.#process = process;
  }

  /** Starts it and returns when it is configured and up. */
  static async start(options: WireguardGoOptions): Promise<WireguardGo> {
    await using stack = new AsyncDisposableStack();
    const netns = stack.use(await NamedNetns.create());
    const underlay = await joinUnderlay(netns);
    // A namespace takes its links along in its own time, and the next one is to have the same addresses.
    stack.defer(async () => void await HERE.must(["ip", "link", "del", underlay]));
    const process = stack.use(await TunnelProcess.start(netns, (link) => ["wireguard-go", "-f", link]));
    await process.configure({ ...options, listenPort: ITS_PORT, allowedIps: OVERLAY.ours });
    const [v4, v6] = OVERLAY.its;
    await process.up([`${v4}/24`, `${v6}/64`]);
    return new WireguardGo(stack.move(), netns, process);
  }

  /** Name of its link. */
  get link(): string {
    return this.#process.link;
  }

  /** Runs `wg show <link> <what>`. */
  async show(what: string): Promise<string> {
    return await this.#process.show(what);
  }

  /** Runs `wg set <link> …`. */
  async set(...args: readonly string[]): Promise<void> {
    await this.#process.set(...args);
  }

  /** Ends the process and removes the namespace. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** Makes a veth pair between the test's namespace and another. @returns Our end. */
export async function joinUnderlay(netns: NamedNetns): Promise<string> {
  const [ours, its] = [testName("u"), testName("u")];
  await HERE.must(["ip", "link", "add", ours, "type", "veth", "peer", "name", its, "netns", netns.name]);
  const ends = [{ place: HERE, link: ours, addresses: UNDERLAY.ours }, {
    place: netns,
    link: its,
    addresses: UNDERLAY.its,
  }];
  for (const { place, link, addresses: [v4, v6] } of ends) {
    await place.must(["ip", "address", "add", `${v4}/24`, "dev", link]);
    await place.must(["ip", "address", "add", `${v6}/64`, "dev", link, "nodad"]);
    await place.must(["ip", "link", "set", link, "up"]);
  }
  return ours;
}
