import { assert, assertEquals } from "@std/assert";
import { isZero } from "../../../core/wireguard/bytes.ts";
import {
  Initiator,
  type PeerSecrets,
  Responder,
  type StaticKeys,
} from "../../../core/wireguard/handshake.ts";
import {
  decodeInitiation,
  decodeResponse,
  type Initiation,
  type Response,
} from "../../../core/wireguard/messages.ts";
import { NOBLE_HANDSHAKE as crypto } from "../../../core/wireguard/noble_provider.ts";
import { encodeTai64n } from "../../../core/wireguard/tai64n.ts";
import { seededTest } from "../../support/seeded_random.ts";
import type { SeededRandom } from "../../support/seeded_random.ts";

const TIMESTAMP = encodeTai64n(1_700_000_000_000_000_000n);

interface Side {
  readonly own: StaticKeys;
  readonly peer: PeerSecrets;
}

/** Both sides' keys, with the preshared keys they believe in. */
function sides(random: SeededRandom, psks: { ours?: Uint8Array; theirs?: Uint8Array } = {}): [Side, Side] {
  const [a, b] = [random.bytes(32), random.bytes(32)].map((privateKey) => ({
    privateKey,
    publicKey: crypto.x25519PublicKey(privateKey),
  })) as [StaticKeys, StaticKeys];
  const staticShared = crypto.x25519(a.privateKey, b.publicKey);
  const none = new Uint8Array(32);
  return [
    { own: a, peer: { publicKey: b.publicKey, staticShared, presharedKey: psks.ours ?? none } },
    { own: b, peer: { publicKey: a.publicKey, staticShared, presharedKey: psks.theirs ?? none } },
  ];
}

function start(side: Side, random: SeededRandom): { initiation: Initiation; handshake: Initiator } {
  const inputs = { ephemeralPrivate: random.bytes(32), timestamp: TIMESTAMP, sender: 1 };
  const { message, handshake } = Initiator.start(crypto, side, inputs)!;
  const decoded = decodeInitiation(message);
  assert(decoded.ok);
  return { initiation: decoded.message, handshake };
}

function responseOf(message: Uint8Array): Response {
  const decoded = decodeResponse(message);
  assert(decoded.ok);
  return decoded.message;
}

for (const hasPsk of [false, true]) {
  seededTest(`both sides derive the same keys ${hasPsk ? "with" : "without"} a preshared key`, (random) => {
    const psk = random.bytes(32);
    const [a, b] = sides(random, hasPsk ? { ours: psk, theirs: psk } : {});
    const { initiation, handshake } = start(a, random);
    const responder = Responder.open(crypto, b.own, initiation)!;
    assertEquals(responder.claimedStatic, a.own.publicKey);
    assertEquals(responder.finish(b.peer.staticShared!), TIMESTAMP);
    const answer = responder.respond(b.peer, { ephemeralPrivate: random.bytes(32), sender: 2 })!;
    const response = responseOf(answer.message);
    assertEquals([response.sender, response.receiver], [2, 1]);
    const keys = handshake.complete(response, a)!;
    assertEquals([keys.send, keys.receive], [answer.keys.receive, answer.keys.send]);
    assert(keys.send.join() !== keys.receive.join());
  });
}

seededTest("Initiator.complete() refuses a response made with another preshared key", (random) => {
  const [a, b] = sides(random, { ours: random.bytes(32), theirs: random.bytes(32) });
  const { initiation, handshake } = start(a, random);
  const responder = Responder.open(crypto, b.own, initiation)!;
  responder.finish(b.peer.staticShared!);
  const answer = responder.respond(b.peer, { ephemeralPrivate: random.bytes(32), sender: 2 })!;
  assertEquals(handshake.complete(responseOf(answer.message), a), undefined);
});

seededTest("Responder.open() refuses an initiation to somebody else", (random) => {
  const [a] = sides(random);
  const [, other] = sides(random);
  assertEquals(Responder.open(crypto, other.own, start(a, random).initiation), undefined);
});

seededTest("Responder.finish() refuses who claims a key it does not own", (random) => {
  const [a, b] = sides(random);
  const [mallory] = sides(random);
  // Mallory knows A's public key, not its private one, so the static shared secret is another.
  const liar: Side = {
    own: { privateKey: mallory.own.privateKey, publicKey: a.own.publicKey },
    peer: { ...a.peer, staticShared: crypto.x25519(mallory.own.privateKey, b.own.publicKey) },
  };
  const responder = Responder.open(crypto, b.own, start(liar, random).initiation)!;
  assertEquals(responder.claimedStatic, a.own.publicKey);
  assertEquals(responder.finish(b.peer.staticShared!), undefined);
});

seededTest("a changed bit anywhere makes a handshake message worthless and spoils nothing", (random) => {
  const [a, b] = sides(random);
  const { initiation, handshake } = start(a, random);
  for (const field of ["ephemeral", "encryptedStatic", "encryptedTimestamp"] as const) {
    const forged = { ...initiation, [field]: Uint8Array.from(initiation[field]) };
    forged[field][random.below(forged[field].length)]! ^= 1 << random.below(7);
    const responder = Responder.open(crypto, b.own, forged);
    assertEquals(responder?.finish(b.peer.staticShared!), undefined, field);
  }
  const responder = Responder.open(crypto, b.own, initiation)!;
  responder.finish(b.peer.staticShared!);
  const response = responseOf(
    responder.respond(b.peer, { ephemeralPrivate: random.bytes(32), sender: 2 })!.message,
  );
  for (const field of ["ephemeral", "encryptedNothing"] as const) {
    const forged = { ...response, [field]: Uint8Array.from(response[field]) };
    forged[field][random.below(forged[field].length)]! ^= 1 << random.below(7);
    assertEquals(handshake.complete(forged, a), undefined, field);
  }
  assert(handshake.complete(response, a), "the genuine one still counts");
});

seededTest("keys of low order make no handshake, and throw nothing", (random) => {
  const [a, b] = sides(random);
  const zero = new Uint8Array(32);
  const toZero: Side = { own: a.own, peer: { ...a.peer, publicKey: zero } };
  const inputs = { ephemeralPrivate: random.bytes(32), timestamp: TIMESTAMP, sender: 1 };
  assertEquals(Initiator.start(crypto, toZero, inputs), undefined);
  const { initiation, handshake } = start(a, random);
  assertEquals(Responder.open(crypto, b.own, { ...initiation, ephemeral: zero }), undefined);
  const response = { sender: 1, receiver: 1, ephemeral: zero, encryptedNothing: new Uint8Array(16) };
  assertEquals(handshake.complete(response, a), undefined);
});

seededTest("secrets of a handshake are zeroed", (random) => {
  const [a, b] = sides(random);
  const inputs = { ephemeralPrivate: random.bytes(32), timestamp: TIMESTAMP, sender: 1 };
  const { message, handshake } = Initiator.start(crypto, a, inputs)!;
  const decoded = decodeInitiation(message);
  assert(decoded.ok);
  const responder = Responder.open(crypto, b.own, decoded.message)!;
  responder.finish(b.peer.staticShared!);
  const ephemeralPrivate = random.bytes(32);
  const answer = responder.respond(b.peer, { ephemeralPrivate, sender: 2 })!;
  assertEquals(ephemeralPrivate, new Uint8Array(32));
  handshake.wipe();
  assertEquals(inputs.ephemeralPrivate, new Uint8Array(32));
  assertEquals(handshake.complete(responseOf(answer.message), a), undefined);
});

seededTest("a handshake that comes to nothing leaves no ephemeral key", (random) => {
  const [a, b] = sides(random);
  const lowOrder = { ...a.peer, publicKey: new Uint8Array(32), staticShared: undefined };
  const ephemerals = [random.bytes(32), random.bytes(32), random.bytes(32)] as const;
  const inputs = { timestamp: TIMESTAMP, sender: 1 };
  const [first, second, third] = ephemerals.map((ephemeralPrivate) => ({ ...inputs, ephemeralPrivate }));
  assertEquals(Initiator.start(crypto, { own: a.own, peer: lowOrder }, first!), undefined);
  const unshared = { ...a.peer, staticShared: undefined };
  assertEquals(Initiator.start(crypto, { own: a.own, peer: unshared }, second!), undefined);
  const { initiation } = start(a, random);
  const responder = Responder.open(crypto, b.own, initiation)!;
  assert(responder.finish(b.peer.staticShared!));
  assertEquals(responder.respond({ ...b.peer, publicKey: new Uint8Array(32) }, third!), undefined);
  for (const ephemeral of ephemerals) assert(isZero(ephemeral));
});
