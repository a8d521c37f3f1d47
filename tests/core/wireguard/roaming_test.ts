/** Peers that move: followed to where authentic messages come from. */
import { assertEquals } from "@std/assert";
import {
  MESSAGE_INITIATION,
  MESSAGE_RESPONSE,
  MESSAGE_TRANSPORT,
} from "../../../core/wireguard/constants.ts";
import { endpoint, numberOf, simPair } from "../../support/sim_wireguard.ts";

const SECOND = 1_000;

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
