/** Implementations of WireGuard as ends of a tunnel: ours, the kernel's, wireguard-go. */
import { assert } from "@std/assert";
import { encodeKey } from "../../../core/wireguard/keys.ts";
import { BackendNode } from "../backend_node.ts";
import { waitFor } from "../wait_for.ts";
import { newKeys, PORT, WireGuardEnd } from "./wireguard_end.ts";

const UAPI_DIR = "/var/run/wireguard";
const TAG = "zlayer-overlayd/test/0:interop";
const MTU_BYTES = 1420;

/** Ours: the Linux backend with WireGuard in user space, in a process of its own. */
export class OurEnd extends WireGuardEnd {
  #node: BackendNode | undefined;

  /** Process id of the data path. */
  get pid(): number {
    assert(this.#node !== undefined, "ours does not run");
    return this.#node.pid;
  }

  override async start(): Promise<void> {
    await Deno.mkdir(UAPI_DIR, { recursive: true });
    this.#node = BackendNode.start(this.host, UAPI_DIR);
    const device = {
      name: this.link,
      tag: TAG,
      privateKey: encodeKey(newKeys().privateKey),
      listenPort: PORT,
      address: `${this.addresses[0]}/24`,
      mtuBytes: MTU_BYTES,
      peers: [],
      routes: [],
    };
    await this.#node.ask({ op: "ensure", device });
    await this.addAddresses(`${this.addresses[1]}/64`);
  }

  override async kill(): Promise<void> {
    await this.#node?.[Symbol.asyncDispose]();
    this.#node = undefined;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await Deno.remove(`${UAPI_DIR}/${this.link}.sock`).catch(() => {});
  }
}

/** The kernel's. */
export class KernelEnd extends WireGuardEnd {
  override async start(): Promise<void> {
    await this.host.must(["ip", "link", "add", this.link, "type", "wireguard"]);
    await bringUp(this, (...addresses) => this.addAddresses(...addresses));
  }

  override async kill(): Promise<void> {
    await this.host.must(["ip", "link", "del", this.link]);
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    // It goes with its namespace.
  }
}

/** Debian's wireguard-go. */
export class WireGuardGoEnd extends WireGuardEnd {
  #child: Deno.ChildProcess | undefined;

  override async start(): Promise<void> {
    this.#child = new Deno.Command("ip", {
      args: ["netns", "exec", this.host.name, "wireguard-go", "-f", this.link],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const answers = async (): Promise<boolean> => (await this.host.run(["wg", "show", this.link])).code === 0;
    await waitFor("wireguard-go answers", answers);
    await bringUp(this, (...addresses) => this.addAddresses(...addresses));
  }

  override async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    child?.kill("SIGKILL");
    await child?.status;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await Deno.remove(`${UAPI_DIR}/${this.link}.sock`).catch(() => {});
  }
}

async function bringUp(
  { host, link, addresses: [v4, v6] }: WireGuardEnd,
  addAddresses: (...addresses: string[]) => Promise<void>,
): Promise<void> {
  await host.must(["ip", "link", "set", link, "mtu", String(MTU_BYTES), "up"]);
  await addAddresses(`${v4}/24`, `${v6}/64`);
}
