/** Two devices back to back when the network or the other side misbehaves. */
import { assert, assertEquals } from "@std/assert";
import {
  MESSAGE_INITIATION,
  MESSAGE_RESPONSE,
  MESSAGE_TRANSPORT,
  TRANSPORT_OVERHEAD_BYTES,
} from "../../../core/wireguard/constants.ts";
import { nobleProvider } from "../../../core/wireguard/noble_provider.ts";
import { SeededRandom, seededTest } from "../../support/seeded_random.ts";
import {
  endpoint,
  ipPacket,
  LATENCY_MS,
  numberOf,
  prefix,
  simPair,
  type Transit,
} from "../../support/sim_wireguard.ts";

const SECOND = 1_000;

/** Loses, doubles and delays: each datagram takes 1 to 80 ms, one in ten is lost, one in ten comes twice. */
function badLine(random: SeededRandom): () => number[] {
  const latency = (): number => 1 + random.below(80);
  return () => {
    const fate = random.below(10);
    if (fate === 0) return [];
    return fate === 1 ? [latency(), latency()] : [latency()];
  };
}

function isKeepalive({ bytes }: Transit): boolean {
  return bytes.length === TRANSPORT_OVERHEAD_BYTES;
}

seededTest("ten minutes of loss, duplicates and reordering: no packet twice, and no other loss", (random) => {
  const { network, a, b, aToB, bToA } = simPair({ random });
  const line = badLine(random);
  const arriving = new Map<string, number>();
  network.policy = (datagram) => {
    const copies = line();
    if (copies.length > 0 && datagram.bytes[0] === MESSAGE_TRANSPORT && !isKeepalive(datagram)) {
      const to = datagram.to.toString();
      arriving.set(to, (arriving.get(to) ?? 0) + 1);
    }
    return copies;
  };
  const count = 3_000;
  for (let i = 0; i < count; i++) {
    a.sendPacket(aToB(i));
    b.sendPacket(bToA(i));
    network.run(200);
  }
  network.run(5 * SECOND);
  for (const node of [a, b]) {
    const numbers = node.packets.map(numberOf);
    assertEquals(new Set(numbers).size, numbers.length, "no packet twice");
    assert(numbers.length > count * 0.8, `only ${numbers.length} of ${count}`);
    const { expiredKeypair, forged, stagedOverflow, replayed } = node.device.drops;
    // What was sent at the very end of a session's 180 s may arrive after it.
    const lost = arriving.get(node.endpoint.toString())! - numbers.length;
    assert(lost >= 0 && lost <= expiredKeypair, `${lost} of what arrived was not taken`);
    assertEquals({ forged, stagedOverflow }, { forged: 0, stagedOverflow: 0 });
    assert(replayed > 0, "duplicates were seen and refused");
  }
});

Deno.test("a datagram that comes twice is taken once, in any order", () => {
  const { network, a, b, aToB } = simPair();
  network.policy = () => [LATENCY_MS, LATENCY_MS + 7, 500];
  for (let i = 0; i < 50; i++) a.sendPacket(aToB(i));
  network.run(SECOND);
  assertEquals(b.packets.map(numberOf).sort((x, y) => x - y), Array.from({ length: 50 }, (_, i) => i));
});

Deno.test("an initiation that is replayed is not answered, now and after its session", () => {
  const { network, a, b, peerA, aToB } = simPair();
  a.sendPacket(aToB(1));
  network.run(SECOND);
  const [initiation] = network.messages(a, MESSAGE_INITIATION);
  const session = peerA.keypairs.current;
  for (const wait of [0, 300 * SECOND, 3600 * SECOND]) {
    network.run(wait);
    const before = network.count(b, MESSAGE_RESPONSE);
    b.receive(initiation!.bytes, endpoint("198.51.100.66"));
    assertEquals(network.count(b, MESSAGE_RESPONSE), before, `after ${wait} ms`);
  }
  assertEquals(b.device.drops.replayedInitiation, 3);
  assertEquals(session?.sendKey.released, true, "keys are gone after an hour, the timestamp is not");
  assertEquals(peerA.endpoint?.toString(), "192.0.2.1:51820", "and nobody roams by a replay");
});

Deno.test("a response is taken once, and only while a handshake waits for it", () => {
  const { network, a, b, peerB, aToB } = simPair();
  a.sendPacket(aToB(1));
  network.run(SECOND);
  const current = peerB.keypairs.current;
  const [response] = network.messages(b, MESSAGE_RESPONSE);
  a.receive(response!.bytes, response!.from);
  assertEquals([a.device.drops.unknownIndex, peerB.keypairs.current], [1, current]);
});

Deno.test("transport data that is replayed is refused, and does not make a peer roam", () => {
  const { network, a, b, peerA, aToB } = simPair();
  a.sendPacket(aToB(1));
  network.run(SECOND);
  const [data] = network.messages(a, MESSAGE_TRANSPORT);
  b.receive(data!.bytes, endpoint("198.51.100.66"));
  assertEquals([b.packets.length, b.device.drops.replayed], [1, 1]);
  assertEquals(peerA.endpoint?.toString(), "192.0.2.1:51820");
});

Deno.test("forged transport data is refused, and does not make a peer roam", () => {
  const { network, a, b, peerA, aToB } = simPair();
  a.sendPacket(aToB(1));
  network.run(SECOND);
  const forged = Uint8Array.from(network.messages(a, MESSAGE_TRANSPORT)[0]!.bytes);
  forged[8] = 99;
  b.receive(forged, endpoint("198.51.100.66"));
  assertEquals([b.device.drops.forged, peerA.endpoint?.toString()], [1, "192.0.2.1:51820"]);
});

Deno.test("both initiate at once: both sessions are made and no packet is lost", () => {
  const { network, a, b, peerA, peerB, aToB, bToA } = simPair();
  for (let i = 0; i < 100; i++) {
    a.sendPacket(aToB(i));
    b.sendPacket(bToA(i));
    network.run(LATENCY_MS / 2);
  }
  network.run(SECOND);
  const all = Array.from({ length: 100 }, (_, i) => i);
  assertEquals([a.packets.map(numberOf), b.packets.map(numberOf)], [all, all]);
  assertEquals([network.count(a, MESSAGE_INITIATION), network.count(b, MESSAGE_INITIATION)], [1, 1]);
  const [atA, atB] = [peerB.keypairs.current!, peerA.keypairs.current!];
  assertEquals([atA.localIndex, atA.remoteIndex], [atB.remoteIndex, atB.localIndex], "they chose the same");
  assertEquals(atA.isInitiator, !atB.isInitiator, "and one of them renews it");
});

Deno.test("an initiation that is lost does no harm when the other side initiates: what waits is sent at once", () => {
  const { network, a, b, peerA, aToB, bToA } = simPair();
  network.policy = () => [];
  b.sendPacket(bToA(1));
  assert(peerA.handshake !== undefined);
  network.policy = () => [LATENCY_MS];
  a.sendPacket(aToB(1));
  network.run(SECOND);
  assertEquals([a.packets, b.packets], [[bToA(1)], [aToB(1)]]);
  assertEquals(peerA.handshake, undefined, "a late response would bring an older session");
});

Deno.test("a handshake of ours goes on when the one of the peer comes to nothing", () => {
  const { network, a, b, aToB, bToA } = simPair();
  network.policy = () => [];
  a.sendPacket(aToB(1));
  network.run(4 * SECOND);
  network.policy = ({ from }) => from === b.endpoint ? [LATENCY_MS] : [];
  b.sendPacket(bToA(1));
  network.run(LATENCY_MS);
  network.policy = () => [];
  assertEquals(network.count(a, MESSAGE_RESPONSE), 1, "A has answered, which B never learns");
  network.run(8 * SECOND);
  assertEquals(network.count(a, MESSAGE_INITIATION), 2);
});

Deno.test("packets from an address that is not the peer's are dropped, and malformed ones", () => {
  const { network, a, b } = simPair();
  a.sendPacket(ipPacket("10.0.0.9", "10.0.0.2", new Uint8Array(4)));
  a.sendPacket(ipPacket("fd00::9", "fd00::2", new Uint8Array(4)));
  network.run(SECOND);
  assertEquals([b.packets, b.device.drops.sourceNotAllowed], [[], 2]);
  const cut = ipPacket("10.0.0.1", "10.0.0.2", new Uint8Array(4));
  cut[2] = 0xff;
  a.sendPacket(cut);
  network.run(SECOND);
  assertEquals([b.packets, b.device.drops.malformedPacket], [[], 1]);
});

Deno.test("an allowed IP that moves takes the traffic with it in both directions", () => {
  const { network, a, b, peerA, aToB } = simPair();
  a.sendPacket(aToB(1));
  network.run(SECOND);
  const c = network.node("192.0.2.3");
  b.add(c, ["10.0.0.1/32"]);
  a.sendPacket(aToB(2));
  network.run(SECOND);
  assertEquals([b.packets.length, b.device.drops.sourceNotAllowed], [1, 1]);
  b.device.addAllowedIp(peerA, prefix("10.0.0.1/32"));
  a.sendPacket(aToB(3));
  network.run(SECOND);
  assertEquals(b.packets.map(numberOf), [1, 3]);
});

Deno.test("a preshared key that only one side has makes no session", () => {
  const { network, a, b, peerB, aToB } = simPair();
  a.device.setPresharedKey(peerB, new Uint8Array(32).fill(1));
  a.sendPacket(aToB(1));
  network.run(30 * SECOND);
  assertEquals([b.packets, a.news], [[], []]);
  assert(a.device.drops.invalidHandshake > 3);
  b.device.setPresharedKey(b.device.peers()[0]!, new Uint8Array(32).fill(1));
  network.run(6 * SECOND);
  assertEquals(b.packets, [aToB(1)]);
});

Deno.test("receiver indices that collide are drawn again", () => {
  // Every random u32 is one of two numbers, so that the second session's first draw is taken.
  const random = new SeededRandom(5);
  const source = random.bytes.bind(random);
  let draws = 0;
  random.bytes = (length) =>
    length === 4 ? Uint8Array.of(draws++ % 3 === 0 ? 2 : 1, 0, 0, 0) : source(length);
  const { network, a, b, aToB, peerB } = simPair({ random });
  a.sendPacket(aToB(1));
  network.run(SECOND);
  const first = peerB.keypairs.current!.localIndex;
  network.run(121 * SECOND);
  a.sendPacket(aToB(2));
  network.run(SECOND);
  a.sendPacket(aToB(3));
  network.run(SECOND);
  assertEquals(b.packets.map(numberOf), [1, 2, 3]);
  assertEquals([first, peerB.keypairs.current!.localIndex].sort(), [1, 2]);
});

seededTest("a device survives random datagrams, also those that begin like real ones", (random) => {
  const { network, a, b, aToB } = simPair({ random, b: { crypto: nobleProvider() } });
  a.sendPacket(aToB(1));
  network.run(SECOND);
  const real = network.sent.map(({ bytes }) => bytes);
  for (let i = 0; i < 2_000; i++) {
    const datagram = Uint8Array.from(random.pick(real));
    const changes = 1 + random.below(3);
    for (let j = 0; j < changes; j++) datagram[random.below(datagram.length)] = random.below(256);
    const cut = random.below(3) === 0 ? datagram.subarray(0, random.below(datagram.length)) : datagram;
    random.pick([a, b]).receive(cut, endpoint("198.51.100.66"));
    if (i % 100 === 0) network.run(SECOND);
  }
  network.run(SECOND);
  const before = b.packets.length;
  a.sendPacket(aToB(2));
  network.run(SECOND);
  assertEquals(b.packets.length, before + 1, "and still works");
});

Deno.test("a clock that is set back does not stop the handshakes of a device that runs", () => {
  const { network, a, b, peerB, aToB } = simPair();
  a.sendPacket(aToB(1));
  network.run(SECOND);
  a.wallAheadMs = -3600 * SECOND;
  network.run(120 * SECOND);
  a.sendPacket(aToB(2));
  network.run(SECOND);
  assertEquals(b.packets.map(numberOf), [1, 2]);
  assertEquals(peerB.lastHandshakeAt! > 120 * SECOND, true);
  assertEquals(b.device.drops.replayedInitiation, 0);
});

Deno.test("a device that starts again with its clock set back is served once the other side initiates", () => {
  const { network, a, b, aToB, bToA } = simPair();
  a.sendPacket(aToB(1));
  network.run(SECOND);
  network.nodes.splice(network.nodes.indexOf(a), 1);
  const again = network.node("192.0.2.1");
  again.wallAheadMs = -3600 * SECOND;
  again.device.setPrivateKey(a.privateKey);
  again.add(b, ["10.0.0.2/32"]);
  again.sendPacket(aToB(2));
  network.run(SECOND);
  assertEquals(b.device.drops.replayedInitiation, 1);
  assertEquals(b.packets.map(numberOf), [1]);
  // It sends under a session that nobody else has, notices after 15 s, and initiates.
  b.sendPacket(bToA(3));
  network.run(17 * SECOND);
  assertEquals(b.packets.map(numberOf), [1, 2]);
  b.sendPacket(bToA(4));
  network.run(SECOND);
  assertEquals(again.packets.map(numberOf), [4]);
});
