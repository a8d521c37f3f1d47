/** Two devices back to back under a fake clock: sessions from handshake to expiry. */
import { assert, assertEquals } from "@std/assert";
import {
  MESSAGE_INITIATION,
  MESSAGE_RESPONSE,
  MESSAGE_TRANSPORT,
} from "../../../core/wireguard/constants.ts";
import { ipPacket, LATENCY_MS, numberOf, simPair } from "../../support/sim_wireguard.ts";

const SECOND = 1_000;

Deno.test("Device carries the packet that started the handshake, and its answer", () => {
  const { network, a, b, peerA, peerB, aToB, bToA } = simPair();
  a.sendPacket(aToB(1));
  network.run(SECOND);
  assertEquals(b.packets, [aToB(1)]);
  b.sendPacket(bToA(2));
  network.run(SECOND);
  assertEquals(a.packets, [bToA(2)]);
  assertEquals([a.news, b.news], [["session"], ["session"]]);
  assertEquals([network.count(a, MESSAGE_INITIATION), network.count(b, MESSAGE_RESPONSE)], [1, 1]);
  assertEquals(peerB.txBytes, peerA.rxBytes);
  assertEquals(peerB.rxBytes, peerA.txBytes);
});

Deno.test("Device carries IPv6 and pads to 16 bytes", () => {
  const { network, a, b } = simPair();
  const packet = ipPacket("fd00::1", "fd00::2", new Uint8Array(7).fill(3));
  a.sendPacket(packet);
  network.run(SECOND);
  assertEquals(b.packets, [packet]);
  const [data] = network.messages(a, MESSAGE_TRANSPORT);
  assertEquals(data!.bytes.length, 16 + 48 + 16);
});

Deno.test("Device confirms a session by a keepalive when the responder is the one with data", () => {
  const { network, a, b, bToA, peerB } = simPair({ peer: { persistentKeepaliveSeconds: 0 } });
  b.sendPacket(bToA(1));
  network.run(SECOND);
  assertEquals(a.packets, [bToA(1)]);
  assertEquals(peerB.keypairs.current?.isInitiator, false);
});

Deno.test("Device renews a session at 120 s while traffic runs both ways and loses no packet", () => {
  const { network, a, b, aToB, bToA, peerB } = simPair();
  for (let i = 0; i < 4_000; i++) {
    a.sendPacket(aToB(i));
    b.sendPacket(bToA(i));
    network.run(100);
  }
  network.run(SECOND);
  const all = Array.from({ length: 4_000 }, (_, i) => i);
  assertEquals(b.packets.map(numberOf), all);
  // Before the first session, B has what A does not know yet; the order of what is staged is kept.
  assertEquals(a.packets.map(numberOf), all);
  const initiations = [...network.messages(a, MESSAGE_INITIATION), ...network.messages(b, MESSAGE_INITIATION)]
    .map(({ sentAt }) => sentAt);
  assert(initiations.length >= 4 && initiations.length <= 8, `initiations at ${initiations}`);
  assert(network.now - peerB.keypairs.current!.createdAt < 121 * SECOND);
});

Deno.test("Device does not use a session of 180 s any more", () => {
  const { network, a, b, peerA, peerB, aToB } = simPair();
  a.sendPacket(aToB(1));
  network.run(SECOND);
  const message = network.messages(a, MESSAGE_TRANSPORT)[0]!;
  network.policy = () => [];
  network.run(peerA.keypairs.current!.createdAt + 180 * SECOND - 1 - network.now);
  b.receive(message.bytes, message.from);
  assertEquals([b.device.drops.replayed, b.device.drops.expiredKeypair], [1, 0]);
  network.run(1);
  b.receive(message.bytes, message.from);
  assertEquals([b.device.drops.replayed, b.device.drops.expiredKeypair], [1, 1]);

  assertEquals(peerB.keypairs.current!.createdAt, peerA.keypairs.current!.createdAt + LATENCY_MS);
  a.sendPacket(aToB(2));
  assertEquals(
    network.count(a, MESSAGE_TRANSPORT, network.now),
    1,
    "A made the session later and may still send",
  );
  network.run(LATENCY_MS);
  const since = network.now;
  a.sendPacket(aToB(3));
  assertEquals(network.count(a, MESSAGE_TRANSPORT, since), 0);
  network.run(SECOND);
});

Deno.test("Device recovers after 200 s of silence without losing the next packet", () => {
  const { network, a, b, aToB, bToA } = simPair();
  a.sendPacket(aToB(1));
  network.run(SECOND);
  b.sendPacket(bToA(1));
  network.run(200 * SECOND);
  const since = network.now;
  b.sendPacket(bToA(2));
  network.run(SECOND);
  assertEquals(a.packets, [bToA(1), bToA(2)]);
  assertEquals(network.count(b, MESSAGE_INITIATION, since), 1);
});

Deno.test("Device goes silent when nobody has anything to say", () => {
  const { network, a, aToB } = simPair();
  a.sendPacket(aToB(1));
  network.run(60 * SECOND);
  const since = network.now;
  network.run(3600 * SECOND);
  assertEquals(network.sent.filter(({ sentAt }) => sentAt >= since), []);
});

Deno.test("Device zeroes all keys 540 s after the last session", () => {
  const { network, a, peerA, peerB, aToB } = simPair();
  a.sendPacket(aToB(1));
  network.run(SECOND);
  const keys = [peerB.keypairs.current!, peerA.keypairs.current!].flatMap(({ sendKey, receiveKey }) => [
    sendKey,
    receiveKey,
  ]);
  network.run(538 * SECOND);
  assertEquals(keys.map(({ released }) => released), [false, false, false, false]);
  network.run(2 * SECOND);
  assertEquals(keys.map(({ released }) => released), [true, true, true, true]);
  assertEquals(peerB.keypairs.current, undefined);
});

Deno.test("Device answers data with a keepalive after 10 s if there is nothing else to send", () => {
  const { network, a, b, aToB } = simPair();
  a.sendPacket(aToB(1));
  network.run(SECOND);
  // Initiation, response, data: B has the packet after three times the latency.
  const received = network.now - SECOND + 3 * LATENCY_MS;
  a.sendPacket(aToB(2));
  network.run(60 * SECOND);
  assertEquals(network.keepalives(b).map(({ sentAt }) => sentAt - received), [10 * SECOND]);
});

Deno.test("Device starts a new handshake 15 s after data that nothing came back for", () => {
  const { network, a, aToB } = simPair();
  a.sendPacket(aToB(1));
  network.run(SECOND);
  network.policy = () => [];
  const start = network.now;
  a.sendPacket(aToB(2));
  network.run(16 * SECOND);
  const [initiation, ...more] = network.messages(a, MESSAGE_INITIATION, start);
  const after = initiation!.sentAt - start;
  assert(after >= 14 * SECOND && after <= 15.4 * SECOND, `after ${after} ms`);
  assertEquals(more, []);
});

Deno.test("Device retries every 5 s with jitter, gives up after 90 s and says so", () => {
  const { network, a, aToB } = simPair();
  network.policy = () => [];
  a.sendPacket(aToB(1));
  network.run(300 * SECOND);
  const times = network.messages(a, MESSAGE_INITIATION).map(({ sentAt }) => sentAt);
  const gaps = times.slice(1).map((time, i) => time - times[i]!);
  assert(gaps.every((gap) => gap >= 5_000 && gap <= 5_333), `gaps ${gaps}`);
  assert(new Set(gaps).size > 3, "jitter");
  assert(times.at(-1)! - times[0]! < 90 * SECOND && times.at(-1)! - times[0]! > 84 * SECOND);
  assertEquals(a.news, ["unreachable"]);
  assertEquals(a.device.drops.stagedOverflow, 1);
  network.policy = () => [LATENCY_MS];
  a.sendPacket(aToB(2));
  network.run(SECOND);
  assertEquals(a.news, ["unreachable", "session"]);
});

Deno.test("Device counts the 90 s anew when there is a new packet", () => {
  const { network, a, aToB } = simPair();
  network.policy = () => [];
  for (let i = 0; i < 20; i++) {
    a.sendPacket(aToB(i));
    network.run(10 * SECOND);
  }
  assertEquals(a.news, []);
});

Deno.test("Device sends persistent keepalives when nothing else is sent or received, and starts with one", () => {
  const { network, a, b } = simPair();
  const peer = a.device.peers()[0]!;
  a.device.setPersistentKeepalive(peer, 25, network.now);
  a.apply(a.device.takeOutputs());
  network.run(SECOND);
  assertEquals(b.news, ["session"]);
  const start = network.now;
  network.run(100 * SECOND);
  assertEquals(network.keepalives(a, start).length, 4);
  a.device.setPersistentKeepalive(peer, 0, network.now);
  network.run(30 * SECOND);
  const since = network.now;
  network.run(1000 * SECOND);
  assertEquals(network.keepalives(a, since), []);
});

Deno.test("Device sends persistent keepalives in time, however often it is told the same interval", () => {
  const { network, a, peerB } = simPair({ peer: { persistentKeepaliveSeconds: 25 }, oneSided: true });
  network.run(SECOND);
  a.device.setPersistentKeepalive(peerB, 10, network.now);
  const start = network.now;
  for (let second = 0; second < 100; second++) {
    a.device.setPersistentKeepalive(peerB, 10, network.now);
    network.run(SECOND);
  }
  assertEquals(network.keepalives(a, start).length, 10);
});

Deno.test("Device keeps a session with persistent keepalives alive for hours", () => {
  const { network, a, b, bToA } = simPair({ peer: { persistentKeepaliveSeconds: 25 }, oneSided: true });
  for (let hour = 0; hour < 2; hour++) {
    network.run(3600 * SECOND);
    b.sendPacket(bToA(hour));
    network.run(SECOND);
    assertEquals(a.packets.length, hour + 1);
  }
});

Deno.test("Device keeps the last 128 packets while there is no session", () => {
  const { network, a, b, aToB } = simPair();
  network.policy = () => [];
  for (let i = 0; i < 200; i++) a.sendPacket(aToB(i));
  network.policy = () => [LATENCY_MS];
  network.run(6 * SECOND);
  assertEquals(b.packets.map(numberOf), Array.from({ length: 128 }, (_, i) => i + 72));
  assertEquals(a.device.drops.stagedOverflow, 72);
});

Deno.test("Device renews a session it only receives on before it ends, at 165 s", () => {
  const { network, a, b, aToB, peerA, peerB } = simPair();
  a.sendPacket(aToB(0));
  network.run(SECOND);
  const { createdAt } = peerB.keypairs.current!;
  // Keepalives are not answered, so A never sends anything that would renew the session at 120 s.
  b.device.setPersistentKeepalive(peerA, 1, network.now);
  b.apply(b.device.takeOutputs());
  network.run(170 * SECOND);
  const ages = network.messages(a, MESSAGE_INITIATION, createdAt).map(({ sentAt }) => sentAt - createdAt);
  assert(ages.length === 1 && ages[0]! >= 165 * SECOND && ages[0]! < 166 * SECOND, `initiations at ${ages}`);
  assertEquals(network.count(b, MESSAGE_INITIATION), 0);
});
