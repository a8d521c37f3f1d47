/**
 * A program that makes a WireGuard device in user space and stays in the foreground: wireguard-go, boringtun-cli.
 * It runs in a namespace; wireguard-tools configure it.
 */
import { encodeKey } from "../../core/wireguard/keys.ts";
import { type NamedNetns, testName } from "./test_netns.ts";
import { waitFor } from "./wait_for.ts";

/** Program and arguments for a device of that name. */
export type TunnelCommand = (link: string) => readonly string[];

/** A device's own settings and its one peer. */
export interface TunnelConfig {
  readonly privateKey: Uint8Array;
  readonly listenPort: number;
  /** Public key of the peer. */
  readonly peer: Uint8Array;
  readonly allowedIps: readonly string[];
  readonly presharedKey?: Uint8Array;
  /** Where the peer is; absent if that is to be learned. */
  readonly endpoint?: string;
  readonly keepaliveSeconds?: number;
}

/** See the file's comment. */
export class TunnelProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #netns: NamedNetns;

  private constructor(child: Deno.ChildProcess, netns: NamedNetns, readonly link: string) {
    this.#child = child;
    this.#netns = netns;
  }

  /** Starts it and returns when its control socket answers. @throws {Error} If it ends before. */
  static async start(netns: NamedNetns, command: TunnelCommand): Promise<TunnelProcess> {
    const link = testName("w");
    const child = new Deno.Command("ip", {
      args: ["netns", "exec", netns.name, ...command(link)],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const tunnel = new TunnelProcess(child, netns, link);
    try {
      let ended = false;
      void child.status.then(() => ended = true);
      await waitFor(`${command(link)[0]} answers`, async () => {
        if (ended) throw new Error(`${command(link).join(" ")} ended at once`);
        return (await netns.run(["wg", "show", link])).code === 0;
      });
      return tunnel;
    } catch (error) {
      await tunnel[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Process id: `ip netns exec` becomes the program. */
  get pid(): number {
    return this.#child.pid;
  }

  /** Configures it. */
  async configure(config: TunnelConfig): Promise<void> {
    const dir = await Deno.makeTempDir({ prefix: "zt" });
    try {
      const file = async (name: string, key: Uint8Array): Promise<string> => {
        await Deno.writeTextFile(`${dir}/${name}`, encodeKey(key), { mode: 0o600 });
        return `${dir}/${name}`;
      };
      const words = ["private-key", await file("key", config.privateKey)];
      words.push("listen-port", String(config.listenPort), "peer", encodeKey(config.peer));
      words.push("allowed-ips", config.allowedIps.join(","));
      if (config.presharedKey) words.push("preshared-key", await file("psk", config.presharedKey));
      if (config.endpoint) words.push("endpoint", config.endpoint);
      if (config.keepaliveSeconds) words.push("persistent-keepalive", String(config.keepaliveSeconds));
      await this.set(...words);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  }

  /** Runs `wg set <link> …`. */
  async set(...args: readonly string[]): Promise<void> {
    await this.#netns.must(["wg", "set", this.link, ...args]);
  }

  /** Runs `wg show <link> <what>`. */
  async show(what: string): Promise<string> {
    return (await this.#netns.must(["wg", "show", this.link, what])).trim();
  }

  /** Gives the link addresses, with their lengths, and sets it up. */
  async up(addresses: readonly string[], options: { readonly mtuBytes?: number } = {}): Promise<void> {
    for (const address of addresses) {
      const nodad = address.includes(":") ? ["nodad"] : [];
      await this.#netns.must(["ip", "address", "add", address, "dev", this.link, ...nodad]);
    }
    const mtu = options.mtuBytes === undefined ? [] : ["mtu", String(options.mtuBytes)];
    await this.#netns.must(["ip", "link", "set", this.link, ...mtu, "up"]);
  }

  /** Ends it; its link goes with it. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGTERM");
    } catch {
      // It has ended.
    }
    await this.#child.status;
    // boringtun leaves its control socket.
    await Deno.remove(`/var/run/wireguard/${this.link}.sock`).catch(() => {});
  }
}
