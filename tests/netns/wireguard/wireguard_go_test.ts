/** Our protocol core against Debian's wireguard-go, over a real socket. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { MESSAGE_INITIATION, MESSAGE_TRANSPORT } from "../../../core/wireguard/constants.ts";
import { generateKeyPair, type KeyPair } from "../../../core/wireguard/keys.ts";
import type { Peer } from "../../../core/wireguard/peer.ts";
import { echoRequest, isEchoReply } from "../../support/icmp.ts";
import { LeakAudit } from "../../support/leak_audit.ts";
import { LiveDevice } from "../../support/live_device.ts";
import { endpoint, prefix } from "../../support/sim_wireguard.ts";
import { needing } from "../../support/test_netns.ts";
import { waitFor } from "../../support/wait_for.ts";
import {
  ITS_PORT,
  OVERLAY,
  UNDERLAY,
  WIREGUARD_GO_PROGRAMS,
  WireguardGo,
} from "../../support/wireguard_go.ts";

/** Our device and wireguard-go, peers of each other. */
interface Pair extends AsyncDisposable {
  readonly ours: LiveDevice;
  readonly its: WireguardGo;
  readonly peer: Peer;
}

interface PairOptions {
  /** 0 for IPv4 outside, 1 for IPv6. */
  readonly family?: 0 | 1;
  readonly presharedKey?: Uint8Array;
  /** Whether wireguard-go knows where we are and we have to be found; otherwise the other way round. */
  readonly itInitiates?: boolean;
  readonly handshakesPerSecond?: number;
}

async function pair(options: PairOptions = {}): Promise<Pair> {
  await using stack = new AsyncDisposableStack();
  const [ourKeys, itsKeys] = [newKeys(), newKeys()];
  const family = options.family ?? 0;
  const psk = options.presharedKey === undefined ? {} : { presharedKey: options.presharedKey };
  const its = stack.use(
    await WireguardGo.start({ privateKey: itsKeys.privateKey, peer: ourKeys.publicKey, ...psk }),
  );
  const load = options.handshakesPerSecond === undefined
    ? {}
    : { handshakesPerSecond: options.handshakesPerSecond };
  const ours = stack.use(await LiveDevice.bind(UNDERLAY.ours[family], load));
  ours.device.setPrivateKey(ourKeys.privateKey);
  const peer = ours.device.addPeer(itsKeys.publicKey, ours.now, {
    ...psk,
    ...(options.itInitiates ? {} : { endpoint: endpoint(UNDERLAY.its[family], ITS_PORT) }),
    allowedIps: OVERLAY.its.map(prefix),
  });
  if (options.itInitiates) {
    const host = family === 0 ? UNDERLAY.ours[0] : `[${UNDERLAY.ours[1]}]`;
    await its.set("peer", (await its.show("peers")).trim(), "endpoint", `${host}:${ours.port}`);
  }
  const owned = stack.move();
  return { ours, its, peer, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function newKeys(): KeyPair {
  return generateKeyPair((bytes) => void crypto.getRandomValues(bytes));
}

/** Sends an echo request through the tunnel and waits for the answer of the kernel behind wireguard-go. */
async function ping(
  ours: LiveDevice,
  sequence: number,
  options: { readonly family?: 0 | 1; readonly payloadBytes?: number } = {},
): Promise<void> {
  const family = options.family ?? 0;
  ours.sendPacket(echoRequest(OVERLAY.ours[family], OVERLAY.its[family], { sequence, ...options }));
  await ours.packet(`echo reply ${sequence}`, (packet) => isEchoReply(packet, sequence));
}

/** A test that needs wireguard-go and leaves nothing behind. */
function liveTest(name: string, run: () => Promise<void>): void {
  Deno.test({
    ...needing(WIREGUARD_GO_PROGRAMS, name),
    fn: async () => {
      await using _audit = await LeakAudit.begin();
      await run();
    },
  });
}

for (const family of [0, 1] as const) {
  const outside = family === 0 ? "IPv4" : "IPv6";
  liveTest(`Device initiates to wireguard-go over ${outside} and carries both families`, async () => {
    await using link = await pair({ family });
    for (const inside of [0, 1] as const) {
      for (const payloadBytes of [0, 1, 56, 1300]) {
        await ping(link.ours, inside * 1000 + payloadBytes, { family: inside, payloadBytes });
      }
    }
    assertEquals(link.peer.keypairs.current?.isInitiator, true);
    assertNotEquals(await link.its.show("latest-handshakes"), "0");
  });

  liveTest(`Device answers wireguard-go over ${outside} and learns its endpoint`, async () => {
    await using link = await pair({ family, itInitiates: true });
    const probe = link.its.netns.run(["ping", "-n", "-c", "1", "-W", "2", OVERLAY.ours[0]]);
    await link.ours.packet("echo request", (packet) => packet[20] === 8);
    await probe;
    assertEquals(link.peer.keypairs.current?.isInitiator, false);
    assertEquals(link.peer.endpoint?.toString(), endpoint(UNDERLAY.its[family], ITS_PORT).toString());
    await ping(link.ours, 1, { family: 1 });
  });
}

liveTest("Device and wireguard-go agree with a preshared key in both roles", async () => {
  for (const itInitiates of [false, true]) {
    await using link = await pair({ presharedKey: new Uint8Array(32).fill(7), itInitiates });
    if (itInitiates) await link.its.netns.run(["ping", "-n", "-c", "1", "-W", "2", OVERLAY.ours[0]]);
    await ping(link.ours, 1);
    assertEquals(link.peer.keypairs.current?.isInitiator, !itInitiates);
  }
});

liveTest("Device and wireguard-go make no session with different preshared keys", async () => {
  await using link = await pair({ presharedKey: new Uint8Array(32).fill(7) });
  link.ours.device.setPresharedKey(link.peer, new Uint8Array(32).fill(8));
  link.ours.sendPacket(echoRequest(OVERLAY.ours[0], OVERLAY.its[0], { sequence: 2 }));
  await waitFor("a response that does not decrypt", () => link.ours.device.drops.invalidHandshake > 0);
  assertEquals(link.peer.keypairs.current, undefined);
});

liveTest("Device renews a session with wireguard-go at 120 s and loses nothing", async () => {
  await using link = await pair();
  await ping(link.ours, 1);
  const first = link.peer.keypairs.current;
  // It takes one initiation of a peer in 20 ms.
  const { lastHandshakeAt } = link.peer;
  await waitFor("30 ms", () => link.ours.now - lastHandshakeAt! > 30);
  link.ours.aheadMs += 120_000;
  for (let sequence = 2; sequence < 30; sequence++) await ping(link.ours, sequence);
  assert(link.peer.keypairs.current !== first, "a new keypair");
  assertEquals(link.peer.keypairs.current?.isInitiator, true);
  assertEquals(link.ours.news, ["session", "session"]);
});

liveTest("Device completes a handshake with wireguard-go under load, after a cookie", async () => {
  await using link = await pair({ itInitiates: true, handshakesPerSecond: 0 });
  // It sends its second initiation, with the cookie, after 5 s.
  await link.its.netns.run(["ping", "-n", "-c", "1", "-W", "8", OVERLAY.ours[0]]);
  await waitFor("a session", () => link.peer.keypairs.current !== undefined, { timeoutMs: 10_000 });
  assert(link.ours.device.drops.cookieSent >= 1);
  const initiations = link.ours.recorded.filter(({ direction, bytes }) =>
    direction === "received" && bytes[0] === MESSAGE_INITIATION
  );
  assertEquals(initiations[0]!.bytes.subarray(132).every((byte) => byte === 0), true, "no cookie yet");
  assertEquals(initiations.at(-1)!.bytes.subarray(132).every((byte) => byte === 0), false, "MAC2");
});

liveTest("wireguard-go follows the device to another port", async () => {
  await using link = await pair();
  await ping(link.ours, 1);
  const before = await link.its.show("endpoints");
  await link.ours.rebind(UNDERLAY.ours[0]);
  await ping(link.ours, 2);
  assertNotEquals(await link.its.show("endpoints"), before);
});

liveTest("Device follows wireguard-go to another port", async () => {
  await using link = await pair();
  await ping(link.ours, 1);
  await link.its.set("listen-port", "51999");
  await link.its.netns.run(["ping", "-n", "-c", "1", "-W", "1", OVERLAY.ours[0]]);
  await waitFor("roaming", () => link.peer.endpoint?.port === 51999);
  await ping(link.ours, 2);
});

liveTest("Device accepts persistent keepalives of wireguard-go", async () => {
  await using link = await pair({ itInitiates: true });
  await link.its.set("peer", await link.its.show("peers"), "persistent-keepalive", "1");
  const keepalives = (): number =>
    link.ours.recorded.filter(({ direction, bytes }) =>
      direction === "received" && bytes[0] === MESSAGE_TRANSPORT && bytes.length === 32
    ).length;
  await waitFor("three keepalives", () => keepalives() >= 3);
  assertEquals(link.ours.news.slice(0, 2).sort(), ["roamed", "session"]);
  const { forged, replayed, malformedPacket } = link.ours.device.drops;
  assertEquals({ forged, replayed, malformedPacket }, { forged: 0, replayed: 0, malformedPacket: 0 });
});
