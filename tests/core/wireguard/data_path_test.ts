/** The way of a data path with batches and a cipher of its own, against a device that takes single datagrams. */
import { assert, assertEquals } from "@std/assert";
import { MESSAGE_INITIATION } from "../../../core/wireguard/constants.ts";
import { decodeTransport, encodeTransportHeader, paddedLength } from "../../../core/wireguard/messages.ts";
import { nobleProvider } from "../../../core/wireguard/noble_provider.ts";
import { SendSlot } from "../../../core/wireguard/transport_path.ts";
import { ipPacket, numberOf, type SimNode, type SimPair, simPair } from "../../support/sim_wireguard.ts";

const SECOND = 1_000;
const { packet: cipher } = nobleProvider();

/** Sends packets as one batch: look-up, counters, cipher, report. Stages them when there is no session. */
function sendBatch({ network }: SimPair, node: SimNode, packets: readonly Uint8Array[]): void {
  const { device } = node;
  const peer = device.lookupSend(packets[0]!, 0, packets[0]!.length)!;
  const slot = new SendSlot();
  if (!device.nextSendSlot(peer, packets.length, network.now, slot)) {
    for (const packet of packets) device.stage(peer, packet, network.now);
    return node.apply(device.takeOutputs());
  }
  let bytes = 0;
  for (const [i, packet] of packets.entries()) {
    const datagram = new Uint8Array(paddedLength(packet.length, 0) + 32);
    const counterLow = slot.counterLow + i;
    encodeTransportHeader(datagram, {
      receiver: slot.remoteIndex,
      counterHigh: slot.counterHigh,
      counterLow,
    });
    datagram.set(packet, 16);
    cipher.seal(slot.key, slot.counterHigh, counterLow, datagram.subarray(16));
    network.send({ from: node.endpoint, to: slot.endpoint, bytes: datagram, sentAt: network.now });
    bytes += datagram.length;
  }
  device.noteSent(slot, bytes, network.now);
  node.apply(device.takeOutputs());
}

/** Receives transport data as a batch of one: look-up, cipher, window, report, check. */
function receiveBatch({ network }: SimPair, node: SimNode, datagram: Uint8Array): void {
  const { device } = node;
  const decoded = decodeTransport(datagram);
  assert(decoded.ok);
  const { receiver, counterHigh, counterLow, encryptedPacket } = decoded.message;
  const session = device.lookupReceive(receiver);
  if (session === undefined || !session.keypair.canReceive(network.now)) return;
  if (!cipher.open(session.keypair.receiveKey, counterHigh, counterLow, encryptedPacket)) return;
  if (!session.keypair.replay.accept(counterHigh, counterLow)) return;
  const source = session.peer.endpoint!;
  const available = encryptedPacket.length - 16;
  device.noteReceived({ session, source, bytes: datagram.length, hasData: available > 0 }, network.now);
  const length = available > 0 ? device.acceptPacket(session.peer, encryptedPacket, 0, available) : 0;
  if (length > 0) node.packets.push(encryptedPacket.slice(0, length));
  node.apply(device.takeOutputs());
}

/** Makes a node handle transport data in batches. */
function useBatches(pair: SimPair, node: SimNode): void {
  const receive = node.receive.bind(node);
  node.receive = (bytes, from) =>
    bytes[0] === 4 ? receiveBatch(pair, node, Uint8Array.from(bytes)) : receive(bytes, from);
}

Deno.test("data path: batches and single datagrams understand each other, rekeys included", () => {
  const pair = simPair();
  const { network, a, b, aToB, bToA, peerA, peerB } = pair;
  useBatches(pair, a);
  for (let i = 0; i < 400; i++) {
    sendBatch(pair, a, [0, 1, 2, 3].map((j) => aToB(i * 4 + j)));
    b.sendPacket(bToA(i));
    network.run(SECOND);
  }
  assertEquals(b.packets.map(numberOf), Array.from({ length: 1_600 }, (_, i) => i));
  assertEquals(a.packets.map(numberOf), Array.from({ length: 400 }, (_, i) => i));
  assert(network.count(a, MESSAGE_INITIATION) >= 3, "A renews by what it reports as sent");
  assertEquals([peerB.txBytes, peerB.rxBytes], [peerA.rxBytes, peerA.txBytes]);
});

Deno.test("data path: a responder with batches confirms the session and sends what waited", () => {
  const pair = simPair({ oneSided: true });
  const { network, a, b, aToB, peerA } = pair;
  useBatches(pair, b);
  a.sendPacket(aToB(1));
  network.run(SECOND);
  assertEquals([b.packets, b.news], [[aToB(1)], ["roamed", "session"]]);
  assertEquals(peerA.keypairs.current?.isInitiator, false);
});

Deno.test("data path: keepalives and handshakes after silence follow from the reports", () => {
  const pair = simPair();
  const { network, a, b, aToB } = pair;
  useBatches(pair, b);
  sendBatch(pair, a, [aToB(1)]);
  network.run(30 * SECOND);
  assertEquals(network.keepalives(b).length, 1);
  const since = network.now;
  network.policy = () => [];
  sendBatch(pair, a, [aToB(2), aToB(3)]);
  network.run(16 * SECOND);
  assertEquals(network.count(a, MESSAGE_INITIATION, since), 1);
});

Deno.test("data path: no slot without session, without endpoint, or past 180 s", () => {
  const { network, a, aToB, peerB } = simPair();
  const slot = new SendSlot();
  assertEquals(a.device.nextSendSlot(peerB, 1, network.now, slot), false);
  a.sendPacket(aToB(1));
  network.run(SECOND);
  assertEquals(a.device.nextSendSlot(peerB, 8, network.now, slot), true);
  assertEquals([slot.counterHigh, slot.counterLow, slot.peer === peerB], [0, 1, true]);
  assertEquals(a.device.nextSendSlot(peerB, 1, network.now, slot), true);
  assertEquals(slot.counterLow, 9);
  const { endpoint } = peerB;
  peerB.endpoint = undefined;
  assertEquals(a.device.nextSendSlot(peerB, 1, network.now, slot), false);
  peerB.endpoint = endpoint;
  assertEquals(a.device.nextSendSlot(peerB, 1, network.now + 180 * SECOND, slot), false);
});

Deno.test("data path: handshakes in progress are no sessions", () => {
  const { network, a, aToB } = simPair();
  network.policy = () => [];
  a.sendPacket(aToB(1));
  const [initiation] = network.messages(a, MESSAGE_INITIATION);
  const index = new DataView(initiation!.bytes.buffer).getUint32(4, true);
  assertEquals(a.device.lookupReceive(index), undefined);
});

Deno.test("data path: acceptPacket() at an offset leaves out padding and refuses other sources", () => {
  const { a, peerB } = simPair();
  const good = ipPacket("10.0.0.2", "10.0.0.1", new Uint8Array(5));
  const buffer = new Uint8Array(100);
  buffer.set(good, 40);
  assertEquals(a.device.acceptPacket(peerB, buffer, 40, 32), 25);
  buffer.set(ipPacket("10.0.0.3", "10.0.0.1", new Uint8Array(5)), 40);
  assertEquals([a.device.acceptPacket(peerB, buffer, 40, 32), a.device.drops.sourceNotAllowed], [0, 1]);
});
