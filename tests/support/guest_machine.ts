/** A VM guest for tests: a host of its own on the underlay, which configures WireGuard by what the daemon hands out. */
import { assert, assertEquals } from "@std/assert";
import type { AttachReply } from "../../core/service.ts";
import type { Cluster } from "./cluster.ts";
import { NamedNetns, testName } from "./test_netns.ts";

/** Its number on the underlay, beyond those of nodes. */
const UNDERLAY_NUMBER = 100;

const DEVICE = "ztguest";

/** See the file's comment. */
export class GuestMachine implements AsyncDisposable {
  readonly handle: { readonly platform: "guest_managed"; readonly id: string };

  private constructor(readonly host: NamedNetns) {
    this.handle = { platform: "guest_managed", id: testName("vm") };
  }

  /** Starts one beside the nodes of a cluster. */
  static async start(cluster: Cluster): Promise<GuestMachine> {
    const host = await NamedNetns.create();
    await cluster.underlay.connect(host, UNDERLAY_NUMBER);
    return new GuestMachine(host);
  }

  /** Does what the agent inside a guest does with its configuration. */
  async join(config: AttachReply): Promise<void> {
    assert(config.kind === "guest_config");
    const [peer, ...others] = config.peers;
    assert(peer !== undefined);
    assertEquals(others, []);
    const must = (...argv: string[]): Promise<string> => this.host.must(argv);
    await must("ip", "link", "add", DEVICE, "type", "wireguard");
    const script = `echo "$1" | wg set ${DEVICE} private-key /proc/self/fd/0 listen-port "$2" peer "$3" \\
      endpoint "$4" allowed-ips "$5" persistent-keepalive "$6"`;
    const keepalive = String(peer.persistentKeepaliveSecs);
    const values = [
      config.privateKey,
      String(config.listenPort),
      peer.publicKey,
      peer.endpoint,
      peer.allowedIps,
    ];
    await must("sh", "-ec", script, "sh", ...values, keepalive);
    await must("ip", "address", "add", `${config.overlayIp}/${config.prefixLen}`, "dev", DEVICE);
    await must("ip", "link", "set", DEVICE, "up");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.host[Symbol.asyncDispose]();
  }
}
