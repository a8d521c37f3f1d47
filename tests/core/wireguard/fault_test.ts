/** Two devices back to back when the network or the other side misbehaves. */
import { assert, assertEquals } from "@std/assert";
import {
  INITIATION_BYTES,
  MESSAGE_COOKIE_REPLY,
  MESSAGE_INITIATION,
  MESSAGE_RESPONSE,
  MESSAGE_TRANSPORT,
  TRANSPORT_OVERHEAD_BYTES,
} from "../../../core/wireguard/constants.ts";
import { mac2Of } from "../../../core/wireguard/messages.ts";
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

Deno.test("a peer that moves is followed, and answered at its new place", () => {
  const { network, a, b, peerA, aToB, bToA } = simPair();
  a.sendPacket(aToB(1));
  network.run(SECOND);
  a.endpoint = endpoint("2001:db8::7", 999);
  b.sendPacket(bToA(1));
  network.run(SECOND);
  assertEquals(a.packets, [], "B does not know yet");
  a.sendPacket(aToB(2));
  network.run(SECOND);
  assertEquals(peerA.endpoint?.toString(), "[2001:db8::7]:999");
  b.sendPacket(bToA(2));
  network.run(SECOND);
  assertEquals(a.packets.map(numberOf), [2]);
  assertEquals(b.news, ["session", "roamed"]);
});

Deno.test("a peer that moves is followed by its handshakes, too", () => {
  const { network, a, b, peerA, aToB, bToA } = simPair();
  a.endpoint = endpoint("192.0.2.77");
  a.sendPacket(aToB(1));
  network.run(SECOND);
  b.sendPacket(bToA(1));
  network.run(SECOND);
  assertEquals([peerA.endpoint?.toString(), a.packets.length], ["192.0.2.77:51820", 1]);
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

Deno.test("a peer that answers from another address is followed there", () => {
  const { network, a, b, peerB, aToB } = simPair();
  network.policy = () => [];
  a.sendPacket(aToB(1));
  const [initiation] = network.messages(a, MESSAGE_INITIATION);
  b.receive(initiation!.bytes, initiation!.from);
  a.receive(network.messages(b, MESSAGE_RESPONSE)[0]!.bytes, endpoint("198.51.100.9"));
  assertEquals(peerB.endpoint?.toString(), "198.51.100.9:51820");
  assertEquals(network.messages(a, MESSAGE_TRANSPORT)[0]!.to.toString(), "198.51.100.9:51820");
});

Deno.test("an endpoint that is equal is no news", () => {
  const { network, a, b, peerA, aToB } = simPair();
  a.sendPacket(aToB(1));
  network.run(SECOND);
  const known = peerA.endpoint;
  a.endpoint = endpoint("192.0.2.1");
  a.sendPacket(aToB(2));
  network.run(SECOND);
  assertEquals([b.packets.length, b.news, peerA.endpoint === known], [2, ["session"], true]);
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

Deno.test("a responder under load asks for a cookie, and serves who has one", () => {
  const { network, a, b, aToB } = simPair({ b: { handshakesPerSecond: 0 } });
  a.sendPacket(aToB(1));
  network.run(4 * SECOND);
  assertEquals([network.count(b, MESSAGE_COOKIE_REPLY), network.count(b, MESSAGE_RESPONSE)], [1, 0]);
  assertEquals(network.count(a, MESSAGE_INITIATION), 1, "a cookie makes nobody send sooner");
  network.run(2 * SECOND);
  assertEquals(b.packets, [aToB(1)]);
  const [first, second] = network.messages(a, MESSAGE_INITIATION).map(({ bytes }) => mac2Of(bytes));
  assertEquals([first!.some((byte) => byte !== 0), second!.some((byte) => byte !== 0)], [false, true]);
});

Deno.test("an initiator under load asks the responder for a cookie", () => {
  const { network, a, b, aToB } = simPair({ a: { handshakesPerSecond: 0 } });
  a.sendPacket(aToB(1));
  network.run(11 * SECOND);
  assertEquals(b.packets, [aToB(1)]);
  assert(network.count(a, MESSAGE_COOKIE_REPLY) >= 1);
});

Deno.test("under load a source with a cookie gets 20 handshakes a second, whoever it is", () => {
  const { network, a, b, aToB } = simPair({ b: { handshakesPerSecond: 0 } });
  a.sendPacket(aToB(1));
  network.run(6 * SECOND);
  const initiation = network.messages(a, MESSAGE_INITIATION).at(-1)!;
  for (let i = 0; i < 20; i++) b.receive(initiation.bytes, initiation.from);
  const { rateLimited, replayedInitiation } = b.device.drops;
  assertEquals(rateLimited + replayedInitiation, 20);
  assert(replayedInitiation <= 5 && replayedInitiation > 0, `${replayedInitiation} got through`);
});

Deno.test("a flood puts the device under load, and its end takes that away", () => {
  const { network, a, b, aToB } = simPair({ b: { handshakesPerSecond: 100 } });
  network.policy = () => [];
  a.sendPacket(aToB(1));
  const [initiation] = network.messages(a, MESSAGE_INITIATION);
  for (let i = 0; i < 200; i++) b.receive(initiation!.bytes, initiation!.from);
  assert(b.device.drops.cookieSent > 100);
  network.policy = () => [LATENCY_MS];
  network.run(10 * SECOND);
  assertEquals(b.packets, [aToB(1)]);
});

Deno.test("messages without a valid MAC1 cost nothing and put nobody under load", () => {
  const { network, a, b } = simPair();
  const junk = new Uint8Array(INITIATION_BYTES);
  junk[0] = MESSAGE_INITIATION;
  for (let i = 0; i < 1_000; i++) a.device.handleUdp(junk, b.endpoint, network.now);
  assertEquals([a.device.drops.invalidMac1, a.device.drops.cookieSent], [1_000, 0]);
});

Deno.test("initiations of one peer are taken every 20 ms at most", () => {
  const { network, b, peerA } = simPair();
  network.policy = () => [];
  const other = simPair();
  other.network.policy = () => [];
  const made: Transit[] = [];
  // The same random numbers make the same A twice, here and there.
  for (let i = 0; i < 3; i++) {
    other.a.device.setPrivateKey(new Uint8Array(32).fill(i + 1));
    other.a.device.setPrivateKey(other.a.privateKey);
    other.a.sendPacket(other.aToB(i));
    made.push(other.network.messages(other.a, MESSAGE_INITIATION).at(-1)!);
  }
  b.receive(made[0]!.bytes, made[0]!.from);
  b.receive(made[1]!.bytes, made[1]!.from);
  assertEquals(b.device.drops.initiationFlood, 1);
  network.run(20);
  b.receive(made[2]!.bytes, made[2]!.from);
  assertEquals([b.device.drops.initiationFlood, network.count(b, MESSAGE_RESPONSE)], [1, 2]);
  assert(peerA.keypairs.next !== undefined);
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
