/**
 * A node in `deno.exe` with one peer: a WireGuard device over the fake Wintun whose "system" answers pings.
 *
 * Arguments: port, public key of the peer (base64), its UDP port at 127.0.0.1. The payload of a ping may say more:
 * `zlvanish` removes the adapter behind the daemon's back, `zlexit` ends the node. The last line on stdout is JSON.
 */
import { decodeKey } from "../../../core/wireguard/keys.ts";
import { parseIp } from "../../../core/ip/address.ts";
import { parsePrefix } from "../../../core/ip/prefix.ts";
import { echoReplyTo } from "../../support/icmp.ts";
import { waitFor } from "../../support/wait_for.ts";
import { DeviceRig, node, specOf } from "./device_rig.ts";
import { unhex } from "./wintun_calls.ts";

/** How long nobody may ask for anything: a node whose test has failed ends by itself. */
const IDLE_MS = 60_000, START_MS = 180_000;

/** Number of the node: its key, name and overlay address 10.200.1.1 follow from it. */
const OWN = 1;

const [port = "", peerKey = "", peerPort = ""] = Deno.args;
const own = node(OWN, Number(port));
await using rig = new DeviceRig();
const spec = specOf(own, [], {
  peers: [{
    publicKey: decodeKey(peerKey)!,
    endpoint: { ip: parseIp("127.0.0.1")!, port: Number(peerPort) },
    allowedIps: [parsePrefix("10.200.2.0/24")!],
    keepaliveSeconds: 0,
  }],
});
await rig.devices.ensure(spec);

let answered = 0;
let losses = 0;
for (let isDone = false; !isDone;) {
  const packets: string[] = await waitFor(
    "a ping",
    () => {
      const taken = rig.wintun.request("take").packets;
      return taken.length > 0 && taken;
    },
    { timeoutMs: answered === 0 ? START_MS : IDLE_MS, intervalMs: 1 },
  );
  for (
    const packet of packets.map(unhex)
  ) {
    const text = new TextDecoder("latin1").decode(packet);
    rig.inject(own, echoReplyTo(packet));
    answered++;
    // Whoever waits long for an answer asks again.
    if (losses === 0 && text.includes("zlvanish")) await vanish();
    isDone ||= text.includes("zlexit");
  }
}
// The last answer is on its way when nothing is left in the ring.
await waitFor("the ring to be empty", () => {
  const { received, injected } = rig.wintun.counters();
  return received === injected;
});
const { peers, crypto, drops } = await rig.devices.read(own.name);
await rig.devices[Symbol.asyncDispose]();
rig.wintun.assertClean();
rig.host.assertClean();
const { rxBytes, txBytes } = peers[0]!;
const summary = { answered, losses, crypto, drops, rxBytes, txBytes, news: rig.news };
Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(summary)}\n`));

/** The adapter goes after its last answer has been read, and comes back with the next ensure. */
async function vanish(): Promise<void> {
  await waitFor("the answer", () => {
    const { received, injected } = rig.wintun.counters();
    return received === injected;
  });
  rig.wintun.request("vanish", { adapter: own.name });
  await waitFor("the loss", () => rig.lost.length > losses);
  losses++;
  await rig.devices.ensure(spec);
}
