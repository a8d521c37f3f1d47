/**
 * A node of Windows for a test outside: `main.ts` over the fake Wintun, configured by its own pipe, and the "system"
 * behind its adapter, which answers pings.
 *
 * Arguments: its UDP port, public key of the peer (base64), that one's UDP port at 127.0.0.1. The payload of a ping
 * may say more: `zlping` has this end ping the peer, `zlvanish` removes the adapter behind the daemon's back, `zlexit`
 * ends everything. The last line on stdout is JSON.
 */
import { join } from "@std/path";
import { encodeKey } from "../../../core/wireguard/keys.ts";
import { globalRequest } from "../../support/engine_rig.ts";
import { echoReplyTo, echoRequest } from "../../support/icmp.ts";
import { waitFor } from "../../support/wait_for.ts";
import { node } from "./device_rig.ts";
import { DaemonRig } from "./daemon_rig.ts";
import { hex, unhex } from "./wintun_calls.ts";

/** How long nobody may ask for anything: a node whose test has failed ends by itself. */
const IDLE_MS = 60_000, START_MS = 180_000;
const PEER_IP = "10.200.2.1";

const [port = "", peerKey = "", peerPort = ""] = Deno.args;
const own = node(1);
await using rig = new DaemonRig();
// The cluster knows a node by the key of this file, which is its caller's.
Deno.mkdirSync(rig.dataDir);
Deno.writeTextFileSync(
  join(rig.dataDir, "node_config.json"),
  JSON.stringify({
    wireguard_private_key: encodeKey(own.privateKey),
    wireguard_public_key: encodeKey(own.publicKey),
  }),
);
const client = await rig.start();
const events: string[] = [];
client.subscribe((event) => {
  events.push(event.event === "peer_health_changed" ? `healthy ${event.healthy}` : event.event);
});
await client.setLocalNodeId(1n);
const adapter = await client.setupGlobalOverlay(
  globalRequest({ sliceCidr: "10.200.1.0/28", wgPort: Number(port) }),
);
await client.addPeer({
  publicKey: peerKey,
  endpoint: `127.0.0.1:${peerPort}`,
  allowedIps: "10.200.2.0/28",
  persistentKeepaliveSecs: 0,
});

let [asked, answered, pings, losses] = [0, 0, 0, 0];
try {
  await answerPings();
} catch (error) {
  const { peers, detail } = await client.status(true);
  const state = JSON.stringify({ asked, answered, pings, losses, events, peers, devices: detail!.devices });
  throw new Error(`${error}; ${state}; the daemon has written: ${await rig.kill()}`);
}
// The last answer is on its way when nothing is left in the ring.
await waitFor("the ring to be empty", isDrained);
const { peers, publicKey, detail } = await client.status(true);
await rig.shutdown(client);
client.close();
await rig.ended();
const { rxBytes, txBytes, lastHandshakeUnixSecs } = peers[0]!;
const traffic = { rxBytes, txBytes, lastHandshakeUnixSecs };
const summary = { asked, answered, pings, losses, events, publicKey, traffic, devices: detail!.devices };
Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(summary)}\n`));

async function answerPings(): Promise<void> {
  let mayVanish = false;
  // Its own pings are all to be answered before it ends.
  for (let isDone = false; !isDone || answered < pings;) {
    const packets: string[] = await waitFor("a packet", async () => {
      const taken = (await rig.system.ask("wintun", "take")).packets;
      return taken.length > 0 && taken;
    }, { timeoutMs: asked === 0 ? START_MS : IDLE_MS, intervalMs: 2 });
    for (const packet of packets.map(unhex)) {
      if (packet[20] === 0) answered++;
      if (packet[20] !== 8) continue;
      asked++;
      await inject(echoReplyTo(packet));
      const text = new TextDecoder("latin1").decode(packet);
      if (text.includes("zlping")) {
        await inject(echoRequest(own.ip, PEER_IP, { sequence: ++pings, payloadBytes: 1000 }));
      }
      mayVanish ||= losses === 0 && text.includes("zlvanish");
      isDone ||= text.includes("zlexit");
    }
    if (mayVanish && answered === pings) {
      mayVanish = false;
      await vanish();
    }
  }
}

async function inject(packet: Uint8Array): Promise<void> {
  await rig.system.ask("wintun", "inject", { adapter, packets: [hex(packet)] });
}

async function isDrained(): Promise<boolean> {
  const { received, injected } = await rig.system.ask("wintun", "counters");
  return received === injected;
}

/** The adapter goes after its last answer has been read; the daemon makes it anew by itself. */
async function vanish(): Promise<void> {
  await waitFor("the answer", isDrained);
  await rig.system.ask("wintun", "vanish", { adapter });
  losses++;
  await waitFor("the adapter", async () => {
    const { adapters } = await rig.system.ask("wintun", "adapters");
    return adapters.some((one: { name: string; session: boolean }) => one.name === adapter && one.session);
  });
}
