/**
 * One end of a tunnel, of ours or wireguard-go's make, in a namespace of its own; whichever it is, it is configured
 * by `wg`. What a scenario does with two of them has to hold for each pair of makes that has ours in it.
 */
import { encodeKey, generateKeyPair } from "../../core/wireguard/keys.ts";
import { BackendNode } from "./backend_node.ts";
import { type NamedNetns, testName } from "./test_netns.ts";
import { waitFor } from "./wait_for.ts";
import { type ShownDevice, wgShow } from "./wg_show.ts";
import { addAddress } from "./wires.ts";

/** Who made an implementation. */
export type Make = "ours" | "wireguard-go";

/** The pairs that scenarios run with: the client is the one that initiates. */
export const PAIRS: readonly { readonly client: Make; readonly server: Make }[] = [
  { client: "ours", server: "ours" },
  { client: "ours", server: "wireguard-go" },
  { client: "wireguard-go", server: "ours" },
];

/** Programs that both makes need. */
export const PAIR_PROGRAMS = ["ip", "ping", "wg", "wireguard-go"] as const;

/** Tag of our links. */
const TAG = "zlayer-overlayd/test/0:device";

/** How an end is made. */
export interface EndOptions {
  /** The first is IPv4; with lengths. */
  readonly addresses: readonly [string, ...string[]];
  /** Default 1420. */
  readonly mtuBytes?: number;
  /** Default 51820. */
  readonly listenPort?: number;
}

/** See the module. */
export class TunnelEnd implements AsyncDisposable {
  readonly #stack: AsyncDisposableStack;
  /** Undefined for wireguard-go. */
  readonly node: BackendNode | undefined;

  private constructor(
    stack: AsyncDisposableStack,
    readonly place: NamedNetns,
    readonly link: string,
    readonly keys: { readonly private: string; readonly public: string },
    readonly options: EndOptions,
    node: BackendNode | undefined,
  ) {
    this.#stack = stack;
    this.node = node;
  }

  /** Starts one with key, port and addresses, up, without peers. */
  static async start(place: NamedNetns, make: Make, options: EndOptions): Promise<TunnelEnd> {
    await using stack = new AsyncDisposableStack();
    const dir = await Deno.makeTempDir({ prefix: "zt" });
    stack.defer(() => Deno.remove(dir, { recursive: true }));
    const keys = newKeys();
    const link = testName(make === "ours" ? "o" : "g");
    const node = make === "ours" ? stack.use(BackendNode.start(place, "/var/run/wireguard")) : undefined;
    if (node === undefined) stack.use(await startWireguardGo(place, link));
    const end = new TunnelEnd(stack.move(), place, link, keys, options, node);
    if (node === undefined) await end.#configure(dir);
    else await end.ensure();
    for (const address of options.addresses.slice(node === undefined ? 0 : 1)) {
      await addAddress(place, link, address);
    }
    await place.must(["ip", "link", "set", link, "up"]);
    return end;
  }

  /** Has our backend make the device what it was made as, with so large an MTU. */
  async ensure(mtuBytes: number = this.options.mtuBytes ?? 1420): Promise<void> {
    if (this.node === undefined) {
      await this.place.must(["ip", "link", "set", this.link, "mtu", String(mtuBytes)]);
      return;
    }
    await this.node.ask({
      op: "ensure",
      device: {
        name: this.link,
        tag: TAG,
        privateKey: this.keys.private,
        listenPort: this.options.listenPort ?? 51820,
        address: this.options.addresses[0],
        mtuBytes,
        peers: [],
        routes: [],
      },
    });
  }

  /** `wg set <link> …`. */
  async set(...words: readonly string[]): Promise<void> {
    await this.place.must(["wg", "set", this.link, ...words]);
  }

  /** `wg show <link> <what>`. */
  async show(what: string): Promise<string> {
    return (await this.place.must(["wg", "show", this.link, what])).trim();
  }

  /** Makes the other end a peer, by default with all of its addresses as allowed IPs. */
  async addPeer(
    other: TunnelEnd,
    options: {
      readonly endpoint?: string;
      readonly allowedIps?: readonly string[];
      readonly keepalive?: number;
    } = {},
  ): Promise<void> {
    const words = ["peer", other.keys.public];
    if (options.endpoint !== undefined) words.push("endpoint", options.endpoint);
    if (options.keepalive !== undefined) words.push("persistent-keepalive", String(options.keepalive));
    await this.set(...words, "allowed-ips", (options.allowedIps ?? other.hosts).join(","));
  }

  /** Its addresses without lengths. */
  get hosts(): string[] {
    return this.options.addresses.map((address) => address.split("/")[0]!);
  }

  /** Where it thinks a peer is. */
  async endpointOf(other: TunnelEnd): Promise<string> {
    const lines = (await this.show("endpoints")).split("\n").map((line) => line.split("\t"));
    return lines.find(([key]) => key === other.keys.public)?.[1] ?? "";
  }

  /** The whole device as `wg show all dump` has it. */
  async dump(): Promise<ShownDevice> {
    return (await wgShow(this.place)).find((device) => device.interface === this.link)!;
  }

  /** Ends it; its link goes with its namespace. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  async #configure(dir: string): Promise<void> {
    await Deno.writeTextFile(`${dir}/key`, this.keys.private, { mode: 0o600 });
    await this.set("private-key", `${dir}/key`, "listen-port", String(this.options.listenPort ?? 51820));
    await this.ensure();
  }
}

/** A key pair as text. */
export function newKeys(): { readonly private: string; readonly public: string } {
  const { privateKey, publicKey } = generateKeyPair((bytes) => void crypto.getRandomValues(bytes));
  return { private: encodeKey(privateKey), public: encodeKey(publicKey) };
}

/** Starts wireguard-go and returns when it answers `wg`. */
export async function startWireguardGo(place: NamedNetns, link: string): Promise<AsyncDisposable> {
  const child = new Deno.Command("ip", {
    args: ["netns", "exec", place.name, "wireguard-go", "-f", link],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const started = {
    async [Symbol.asyncDispose](): Promise<void> {
      child.kill("SIGTERM");
      await child.status;
    },
  };
  await waitFor("wireguard-go answers", async () => (await place.run(["wg", "show", link])).code === 0);
  return started;
}
