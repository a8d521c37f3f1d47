/** WireGuard between `deno.exe` with the fake Wintun and this machine, by hand. */
import { assert, assertEquals } from "@std/assert";
import { parsePrefix } from "../../core/ip/prefix.ts";
import { parseIp } from "../../core/ip/address.ts";
import { MESSAGE_INITIATION } from "../../core/wireguard/constants.ts";
import { PeerEndpoint } from "../../core/wireguard/endpoint.ts";
import { encodeKey, generateKeyPair } from "../../core/wireguard/keys.ts";
import { NOBLE_HANDSHAKE } from "../../core/wireguard/noble_provider.ts";
import { echoRequest, isEchoReply } from "../support/icmp.ts";
import { LiveDevice } from "../support/live_device.ts";
import { waitFor } from "../support/wait_for.ts";
import { ECHO_IP, runEchoNode } from "../support/wine_echo_node.ts";

/** As `node(1)` of the Windows rig has it. */
const ITS_KEY = NOBLE_HANDSHAKE.x25519PublicKey(new Uint8Array(32).fill(1));
const OUR_IP = "10.200.2.1";
/** The rig may have to build its fakes first, and the machine be busy. */
const START_MS = 120_000;

/** Bytes at the end of a ping's payload, which tell the node what to do. */
function pingSaying(text: string, sequence: number): Uint8Array {
  const packet = echoRequest(OUR_IP, ECHO_IP, { sequence, payloadBytes: 1000 });
  packet.set(new TextEncoder().encode(text), packet.length - text.length);
  // Nobody here checks the checksum of what it says.
  return packet;
}

/** Pings by hand until there is an answer; a node that has just come up may have missed the first one. */
async function exchange(live: LiveDevice, sequence: number, text = ""): Promise<void> {
  let sentAt = -Infinity;
  await waitFor(`the answer to ping ${sequence}`, () => {
    const answer = live.take((packet) => isEchoReply(packet, sequence));
    if (answer !== undefined || performance.now() - sentAt < 2_000) return answer;
    sentAt = performance.now();
    live.sendPacket(pingSaying(text, sequence));
  }, { timeoutMs: START_MS });
}

Deno.test("[windows T86] WireGuard in deno.exe: pings both ways, a rekey, an adapter that vanishes", async () => {
  using live = await LiveDevice.bind();
  const keys = generateKeyPair((bytes) => void crypto.getRandomValues(bytes as Uint8Array<ArrayBuffer>));
  live.device.setPrivateKey(keys.privateKey);
  const port = await freePort();
  const peer = live.device.addPeer(ITS_KEY, live.now, {
    endpoint: PeerEndpoint.of(parseIp("127.0.0.1")!, port),
    allowedIps: [parsePrefix("10.200.1.0/24")!],
  });
  const node = runEchoNode([String(port), encodeKey(keys.publicKey), String(live.port)]);
  const talk = async (): Promise<void> => {
    for (let sequence = 1; sequence <= 20; sequence++) await exchange(live, sequence);
    // Whoever initiated renews. To our clock the session that the node has made is over, so now that is us.
    live.aheadMs += 181_000;
    await exchange(live, 50);
    const initiations = countInitiations(live);
    // Our clock is past REKEY_AFTER_TIME; no ping may be lost over the new handshake.
    live.aheadMs += 121_000;
    const before = peer.lastHandshakeUnixMs;
    for (let sequence = 100; sequence < 120; sequence++) live.sendPacket(pingSaying("", sequence));
    for (let sequence = 100; sequence < 120; sequence++) {
      await live.packet(`ping ${sequence} over the rekey`, (packet) => isEchoReply(packet, sequence));
    }
    // One that is not answered in time is repeated.
    assert(countInitiations(live) > initiations, "a new handshake");
    // One that comes within 20 ms of the one before it is passed over as a flood, and repeated after 5 s.
    await waitFor("the new session", () => peer.lastHandshakeUnixMs !== before);
    await exchange(live, 200, "zlvanish");
    await exchange(live, 201);
    await exchange(live, 202, "zlexit");
  };
  const summary = await both(node, talk());
  assertEquals(summary.losses, 1);
  assert(summary.answered >= 43, JSON.stringify(summary));
  assertEquals(summary.crypto, "node:crypto");
});

/** Waits for both, so that nothing of a test that has failed is left. @returns What the node has to say. */
async function both<T>(node: Promise<T>, talk: Promise<void>): Promise<T> {
  await Promise.allSettled([node, talk]);
  await talk;
  return await node;
}

/** A port of 127.0.0.1 that nobody has, a moment ago. */
async function freePort(): Promise<number> {
  using other = await LiveDevice.bind();
  return other.port;
}

/** Initiations that our side has sent. */
function countInitiations(live: LiveDevice): number {
  return live.sentTypes.filter((type) => type === MESSAGE_INITIATION).length;
}
