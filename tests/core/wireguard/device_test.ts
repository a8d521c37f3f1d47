/** A device as it is configured: keys, peers, allowed IPs, and what becomes of secrets. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  MESSAGE_INITIATION,
  MESSAGE_RESPONSE,
  MESSAGE_TRANSPORT,
} from "../../../core/wireguard/constants.ts";
import { isZero } from "../../../core/wireguard/bytes.ts";
import { decodeResponse } from "../../../core/wireguard/messages.ts";
import type { AeadKey, CryptoProvider } from "../../../core/wireguard/crypto_provider.ts";
import { Device } from "../../../core/wireguard/device.ts";
import { PeerEndpoint } from "../../../core/wireguard/endpoint.ts";
import { nobleProvider } from "../../../core/wireguard/noble_provider.ts";
import { formatPrefix } from "../../../core/ip/prefix.ts";
import { SeededRandom } from "../../support/seeded_random.ts";
import { endpoint, ipPacket, numberOf, prefix, simPair } from "../../support/sim_wireguard.ts";

const SECOND = 1_000;

function bareDevice(): { device: Device; random: SeededRandom } {
  const random = new SeededRandom(9);
  const device = new Device({
    crypto: nobleProvider(),
    random: (bytes) => bytes.set(random.bytes(bytes.length)),
    wallClockMs: () => 0,
  });
  return { device, random };
}

Deno.test("Device without a private key handshakes with nobody and says so", () => {
  const { network, a, b, aToB } = simPair();
  b.device.setPrivateKey(undefined);
  assertEquals(b.device.publicKey, undefined);
  a.sendPacket(aToB(1));
  b.sendPacket(ipPacket("10.0.0.2", "10.0.0.1", new Uint8Array(4)));
  network.run(SECOND);
  assertEquals([b.device.drops.noIdentity, network.count(b, MESSAGE_INITIATION)], [1, 0]);
  b.device.setPrivateKey(b.privateKey);
  network.run(6 * SECOND);
  assertEquals(b.packets, [aToB(1)]);
});

Deno.test("Device.setPrivateKey() ends sessions for sending and handshakes anew under the new key", () => {
  const { network, a, b, aToB } = simPair();
  a.sendPacket(aToB(1));
  network.run(SECOND);
  const newKey = new Uint8Array(32).fill(0x42);
  a.device.setPrivateKey(newKey);
  const since = network.now;
  b.device.addPeer(a.device.publicKey!, network.now, { allowedIps: [prefix("10.0.0.1/32")] });
  a.sendPacket(aToB(2));
  assertEquals([network.count(a, MESSAGE_TRANSPORT, since), network.count(a, MESSAGE_INITIATION, since)], [
    0,
    1,
  ]);
  network.run(SECOND);
  assertEquals(b.packets.map(numberOf), [1, 2]);
});

Deno.test("Device.setPrivateKey() with the same key changes nothing", () => {
  const { network, a, aToB, peerB } = simPair();
  a.sendPacket(aToB(1));
  network.run(SECOND);
  a.device.setPrivateKey(Uint8Array.from(a.privateKey));
  assertEquals(peerB.keypairs.current?.canSend(network.now), true);
});

Deno.test("Device.setPrivateKey() removes the peer that the device would become", () => {
  const { a, b } = simPair();
  a.device.setPrivateKey(b.privateKey);
  assertEquals(a.device.peers(), []);
});

Deno.test("Device.addPeer() refuses a peer twice, itself, and keys of another length", () => {
  const { a, b } = simPair();
  assertThrows(() => a.device.addPeer(b.publicKey, 0), RangeError, "already");
  assertThrows(() => a.device.addPeer(a.publicKey, 0), RangeError, "that of the device");
  assertThrows(() => a.device.addPeer(new Uint8Array(31), 0), RangeError, "32 bytes");
  assertThrows(() => a.device.setPrivateKey(new Uint8Array(33)), RangeError);
  const presharedKey = new Uint8Array(31);
  assertThrows(() => a.device.setPresharedKey(a.device.peers()[0]!, presharedKey), RangeError);
});

Deno.test("Device.removePeer() forgets everything, and what is still on its way is dropped", () => {
  const { network, a, b, aToB, peerA } = simPair();
  a.sendPacket(aToB(1));
  network.run(SECOND);
  b.device.removePeer(peerA);
  b.device.removePeer(peerA);
  assertEquals([b.device.peers(), b.device.peer(a.publicKey), b.device.allowedIps(peerA)], [
    [],
    undefined,
    [],
  ]);
  a.sendPacket(aToB(2));
  network.run(20 * SECOND);
  assertEquals(b.packets.length, 1);
  assert(b.device.drops.unknownIndex > 0 && b.device.drops.unknownPeer > 0);
  assertEquals(b.device.deadline, Infinity);
});

Deno.test("Device: a removed peer that a data path still holds does no harm", () => {
  const { network, a, b, aToB, peerA } = simPair();
  a.sendPacket(aToB(1));
  network.run(SECOND);
  b.device.removePeer(peerA);
  b.device.stage(peerA, aToB(2), network.now);
  peerA.timers.dataSent(network.now);
  assertEquals([b.device.takeOutputs(), b.device.deadline], [[], Infinity]);
});

Deno.test("Device drops packets that nobody is to get, and counts them", () => {
  const { network, a, b, peerB } = simPair();
  a.sendPacket(ipPacket("10.0.0.1", "10.99.0.1", new Uint8Array(4)));
  a.sendPacket(new Uint8Array(60));
  assertEquals(a.device.drops.noRoute, 2);
  peerB.endpoint = undefined;
  a.sendPacket(ipPacket("10.0.0.1", "10.0.0.2", new Uint8Array(4)));
  assertEquals(a.device.drops.noEndpoint, 1);
  network.run(SECOND);
  assertEquals([network.sent, b.packets], [[], []]);
});

Deno.test("Device.setEndpoint() sends what waits to the new place", () => {
  const { network, a, b, peerB, aToB } = simPair();
  a.device.setEndpoint(peerB, endpoint("198.51.100.1"), network.now);
  a.sendPacket(aToB(1));
  network.run(SECOND);
  a.device.setEndpoint(peerB, b.endpoint, network.now);
  network.run(6 * SECOND);
  assertEquals(b.packets, [aToB(1)]);
});

Deno.test("Device.setEndpoint() wakes a peer with persistent keepalives that had none", () => {
  const { network, a, b } = simPair();
  a.device.removePeer(a.device.peers()[0]!);
  const peer = a.device.addPeer(b.publicKey, network.now, { persistentKeepaliveSeconds: 25 });
  assertEquals(a.device.takeOutputs(), []);
  a.device.setEndpoint(peer, b.endpoint, network.now);
  a.apply(a.device.takeOutputs());
  network.run(SECOND);
  assertEquals(a.news, ["session"]);
});

Deno.test("Device forgets its own address of an endpoint when a peer is silent", () => {
  const { network, a, b, peerB, aToB } = simPair();
  network.policy = () => [];
  const local = { address: endpoint("192.0.2.1").address, interfaceIndex: 2 };
  a.device.setEndpoint(peerB, new PeerEndpoint(b.endpoint.address, 51820, { local }), network.now);
  a.sendPacket(aToB(1));
  network.run(SECOND);
  assertEquals(peerB.endpoint?.local, local);
  network.run(5 * SECOND);
  assertEquals(peerB.endpoint?.local, undefined);
});

Deno.test("Device.allowedIps() lists what a peer owns; a prefix has one owner", () => {
  const { device, random } = bareDevice();
  const [one, two] = [1, 2].map(() => device.addPeer(random.bytes(32), 0));
  for (const text of ["10.0.0.0/8", "fd00::/16"]) device.addAllowedIp(one!, prefix(text));
  device.addAllowedIp(two!, prefix("10.1.2.3/8"));
  assertEquals(device.allowedIps(one!).map(formatPrefix), ["fd00::/16"]);
  assertEquals(device.allowedIps(two!).map(formatPrefix), ["10.0.0.0/8"]);
  assertEquals([
    device.removeAllowedIp(one!, prefix("10.0.0.0/8")),
    device.removeAllowedIp(two!, prefix("10.0.0.0/8")),
  ], [
    false,
    true,
  ]);
});

/** A provider that remembers all keys it was given. */
function watchedProvider(): { provider: CryptoProvider; keys: AeadKey[]; imported: Uint8Array[] } {
  const provider = nobleProvider();
  const keys: AeadKey[] = [];
  const imported: Uint8Array[] = [];
  const importKey = provider.packet.importKey.bind(provider.packet);
  provider.packet.importKey = (bytes) => {
    const key = importKey(bytes);
    keys.push(key);
    imported.push(bytes);
    return key;
  };
  return { provider, keys, imported };
}

Deno.test("Device.close() zeroes the private key, preshared keys and all session keys", () => {
  const { provider, keys, imported } = watchedProvider();
  const { network, a, peerB, aToB } = simPair({
    a: { crypto: provider },
    peer: { presharedKey: new Uint8Array(32).fill(1) },
  });
  for (let i = 0; i < 40; i++) {
    a.sendPacket(aToB(i));
    network.run(10 * SECOND);
  }
  assert(keys.length >= 6, `${keys.length / 2} sessions`);
  assertEquals(keys.filter(({ released }) => !released).length, 4, "previous and current");
  assert(imported.every(isZero), "what was imported is zeroed at once");
  const { staticShared } = peerB;
  assert(staticShared!.some((byte) => byte !== 0));
  a.device.close();
  assert(keys.every(({ released }) => released));
  assertEquals([peerB.presharedKey, staticShared], [new Uint8Array(32), new Uint8Array(32)]);
  assertEquals([a.device.publicKey, a.device.deadline], [undefined, Infinity]);
});

Deno.test("Device.removePeer() zeroes the handshake under way", () => {
  const { network, a, b, aToB, peerB } = simPair();
  network.policy = () => [];
  a.sendPacket(aToB(1));
  const { initiator } = peerB.handshake!;
  const [initiation] = network.messages(a, MESSAGE_INITIATION);
  b.receive(initiation!.bytes, initiation!.from);
  const response = decodeResponse(network.messages(b, MESSAGE_RESPONSE)[0]!.bytes);
  assert(response.ok);
  const own = { privateKey: a.privateKey, publicKey: a.publicKey };
  const peer = { publicKey: b.publicKey, staticShared: undefined, presharedKey: new Uint8Array(32) };
  assert(initiator.complete(response.message, { own, peer }) !== undefined);
  a.device.removePeer(peerB);
  assertEquals(initiator.complete(response.message, { own, peer }), undefined);
});

Deno.test("Device: with 1,000 peers a tick finds the one that is due", () => {
  const { device, random } = bareDevice();
  device.setPrivateKey(random.bytes(32));
  // Public keys that are no points of the curve cost no X25519 that matters, and are never asked.
  const peers = Array.from({ length: 1_000 }, (_, i) => {
    const key = new Uint8Array(32).fill(1);
    new DataView(key.buffer).setUint32(4, i);
    return device.addPeer(key, 0, { persistentKeepaliveSeconds: 1 + (i % 60) });
  });
  assertEquals(device.deadline, SECOND);
  assertEquals(device.tick(SECOND - 1), []);
  device.tick(SECOND);
  assertEquals(device.deadline, 2 * SECOND);
  for (const peer of peers.slice(1)) device.removePeer(peer);
  for (let now = 2; now <= 10; now++) {
    device.tick(now * SECOND);
    assertEquals(device.deadline, (now + 1) * SECOND);
  }
});
