/** The whole daemon of Windows and the whole daemon of Linux, `main.ts` both, over UDP on one loopback. */
import { assert, assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { encodeKey } from "../../core/wireguard/keys.ts";
import { NOBLE_HANDSHAKE } from "../../core/wireguard/noble_provider.ts";
import { AheadClock } from "../support/ahead_clock.ts";
import { globalRequest } from "../support/engine_rig.ts";
import { OverlayNode } from "../support/overlay_node.ts";
import { needing } from "../support/test_netns.ts";
import { waitFor } from "../support/wait_for.ts";

/** What `far_daemon.ts` prints at its end. */
interface FarSummary {
  readonly asked: number;
  readonly answered: number;
  readonly pings: number;
  readonly losses: number;
  readonly events: readonly string[];
  readonly publicKey: string;
  readonly traffic: { readonly rxBytes: number; readonly txBytes: number };
  readonly devices: readonly { readonly kind: string; readonly crypto: string }[];
}

/** As `node(1)` of the Windows rig has it. */
const ITS_KEY = encodeKey(NOBLE_HANDSHAKE.x25519PublicKey(new Uint8Array(32).fill(1)));
const ITS_IP = "10.200.1.1";
const [OWN_PORT, ITS_PORT] = [51_994, 51_995];
/** The rig may have to build its fakes first, and the machine be busy. */
const START_MS = 180_000;
/** Longer than everything that has to be reached. */
const END_MS = 600_000;
/** How long `ping` goes on for answers, in seconds. It sends no packet twice, so that makes up for no loss. */
const PING_SECONDS = "120";

/** Text as ping takes it for its payload. */
function pattern(text: string): string[] {
  return ["-p", Array.from(text, (letter) => letter.charCodeAt(0).toString(16)).join("")];
}

/** The node of Linux with its clock and its one peer. */
class LinuxEnd {
  constructor(readonly node: OverlayNode, readonly clock: AheadClock) {}

  /** Asserts that the first so many pings are answered, every one; until they are, ping goes on. */
  async ping(what: string, count: number, ...more: string[]): Promise<void> {
    const argv = ["ping", "-n", "-i", "0.05", "-c", String(count), "-w", PING_SECONDS, ...more, ITS_IP];
    const { stdout } = await this.node.host.run(argv);
    const answered = [...stdout.matchAll(/icmp_seq=(\d+) ttl/g)].map(([, number]) => Number(number));
    const lost = Array.from({ length: count }, (_, i) => i + 1).filter((one) => !answered.includes(one));
    assertEquals(lost, [], `${what}: lost of ${count}`);
  }

  /** One ping, repeated until it is answered. */
  async reach(what: string, ...more: string[]): Promise<void> {
    const argv = ["ping", "-n", "-q", "-c", "1", "-W", "2", ...more, ITS_IP];
    await waitFor(what, async () => (await this.node.host.run(argv)).code === 0, {
      timeoutMs: START_MS,
    });
  }

  async #lastHandshake(): Promise<number> {
    return (await this.node.client.status()).peers[0]!.lastHandshakeUnixSecs;
  }

  /** Lets WireGuard's clock run ahead; pings go on, all of them answered, over a new handshake. */
  async renew(seconds: number): Promise<void> {
    const last = await this.#lastHandshake();
    // It is told in whole seconds.
    await waitFor("the next second", () => Date.now() / 1000 > last + 1);
    this.clock.advance(seconds);
    await this.ping(`when ${seconds} s have passed`, 20);
    await waitFor("a new handshake", async () => await this.#lastHandshake() > last);
  }
}

Deno.test({
  ...needing(
    ["ip", "ping", "gcc"],
    "[windows T86] the daemon in deno.exe and the daemon of Linux: pings both ways, rekeys, an adapter that vanishes",
  ),
  async fn(): Promise<void> {
    await using stack = new AsyncDisposableStack();
    const directory = await Deno.makeTempDir({ prefix: "zt" });
    stack.defer(() => Deno.remove(directory, { recursive: true }));
    const clock = await AheadClock.build(directory);
    const args = ["--wireguard", "userspace"];
    const node = stack.use(await OverlayNode.start({ nodeId: 2n, args, env: clock.env }));
    await node.client.setupGlobalOverlay(globalRequest({ sliceCidr: "10.200.2.0/28", wgPort: OWN_PORT }));
    await node.client.addPeer({
      publicKey: ITS_KEY,
      endpoint: `127.0.0.1:${ITS_PORT}`,
      allowedIps: "10.200.1.0/28",
      persistentKeepaliveSecs: 0,
    });
    const { publicKey } = await node.client.status();
    const main = fromFileUrl(import.meta.resolve("../support/wine_echo_node.ts"));
    const far = node.host.must(
      [Deno.execPath(), "run", "-A", "--frozen", "--no-check", main, "far_daemon.ts"]
        .concat([String(ITS_PORT), publicKey!, String(OWN_PORT)]),
      { timeoutMs: END_MS },
    );
    const linux = new LinuxEnd(node, clock);
    const [talked, output] = await Promise.allSettled([talk(linux), far]);
    const problems = [talked, output].flatMap((one) => one.status === "rejected" ? [one.reason] : []);
    if (problems.length > 0) {
      const { peers, detail } = await node.status();
      throw new Error(
        `${problems.join("\nand ")}\nhere: ${JSON.stringify({ peers, devices: detail.devices })}`,
      );
    }
    assert(output.status === "fulfilled");
    const summary: FarSummary = JSON.parse(output.value.trim().split("\n").at(-1)!);
    assertEquals([summary.losses, summary.publicKey, summary.devices.length], [1, ITS_KEY, 1]);
    assertEquals([summary.devices[0]!.kind, summary.devices[0]!.crypto], ["userspace", "node:crypto"]);
    assert(summary.asked >= 70 && summary.traffic.rxBytes > 0, output.value);
    assertEquals(summary.answered, summary.pings, "this kernel answers, too");
    assert(summary.pings >= 5, output.value);
    assert(summary.events.includes("healthy true"), output.value);
    assertEquals(await node.end("SIGTERM").then(({ code }) => code), 0);
  },
});

async function talk(linux: LinuxEnd): Promise<void> {
  await linux.reach("the first answer");
  for (const size of ["56", "1392"]) await linux.ping(`of ${size} bytes`, 10, "-s", size);
  // Whoever initiated renews. To our clock the session that the other side has made is over, so now that is us.
  await linux.renew(181);
  await linux.renew(121);
  await linux.ping("that are returned", 5, ...pattern("zlping"));
  await linux.reach("the adapter's end", ...pattern("zlvanish"));
  await linux.reach("an answer by the new adapter");
  await linux.ping("that are returned by the new adapter", 5, ...pattern("zlping"));
  await linux.reach("the end", ...pattern("zlexit"));
}
