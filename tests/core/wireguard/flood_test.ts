/** Devices under load: cookies, and what a flood costs. */
import { assert, assertEquals } from "@std/assert";
import {
  INITIATION_BYTES,
  MESSAGE_COOKIE_REPLY,
  MESSAGE_INITIATION,
  MESSAGE_RESPONSE,
} from "../../../core/wireguard/constants.ts";
import { mac2Of } from "../../../core/wireguard/messages.ts";
import { LATENCY_MS, simPair, type Transit } from "../../support/sim_wireguard.ts";

const SECOND = 1_000;

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
