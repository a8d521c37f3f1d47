import { assert, assertEquals } from "@std/assert";
import { REJECT_AFTER_MESSAGES, REKEY_AFTER_MESSAGES } from "../../../core/wireguard/constants.ts";
import { Keypair, Keypairs } from "../../../core/wireguard/keypair.ts";
import { nobleProvider } from "../../../core/wireguard/noble_provider.ts";

const { packet } = nobleProvider();
let index = 0;

function keypair(
  options: { isInitiator?: boolean; isPreferred?: boolean; createdAt?: number } = {},
): Keypair {
  return new Keypair({
    localIndex: index++,
    remoteIndex: index++,
    sendKey: packet.importKey(new Uint8Array(32)),
    receiveKey: packet.importKey(new Uint8Array(32)),
    isInitiator: options.isInitiator ?? true,
    isPreferred: options.isPreferred ?? false,
    createdAt: options.createdAt ?? 0,
  });
}

function counterOf({ counterHigh, counterLow }: Keypair): bigint {
  return (BigInt(counterHigh) << 32n) | BigInt(counterLow);
}

function at(counter: bigint): Keypair {
  const pair = keypair();
  pair.counterHigh = Number(counter >> 32n);
  pair.counterLow = Number(counter & 0xffff_ffffn);
  return pair;
}

Deno.test("Keypair is used until it is 180 s old, and renewed by its initiator from 120 s on", () => {
  const [initiator, responder] = [keypair({ createdAt: 1 }), keypair({ createdAt: 1, isInitiator: false })];
  for (const pair of [initiator, responder]) {
    assertEquals([pair.canSend(180_000), pair.canReceive(180_000)], [true, true]);
    assertEquals([pair.canSend(180_001), pair.canReceive(180_001)], [false, false]);
  }
  assertEquals([initiator.needsRekey(120_000), initiator.needsRekey(120_001)], [false, true]);
  assertEquals(responder.needsRekey(179_000), false);
});

Deno.test("Keypair is renewed after 2^60 messages by either side", () => {
  assertEquals(at(REKEY_AFTER_MESSAGES - 1n).needsRekey(0), false);
  assertEquals(at(REKEY_AFTER_MESSAGES).needsRekey(0), true);
  const responder = keypair({ isInitiator: false });
  responder.counterHigh = 2 ** 28;
  assertEquals(responder.needsRekey(0), true);
});

Deno.test("Keypair gives no counter from 2^64 - 2^13 - 1 on", () => {
  const pair = at(REJECT_AFTER_MESSAGES - 3n);
  assertEquals(pair.takeCounters(4), false);
  assertEquals(counterOf(pair), REJECT_AFTER_MESSAGES - 3n, "nothing was taken");
  assertEquals(pair.takeCounters(3), true);
  assertEquals([pair.canSend(0), pair.takeCounters(1)], [false, false]);
});

Deno.test("Keypair.takeCounters() carries into the upper half", () => {
  for (
    const [start, count] of [[0n, 1], [2n ** 32n - 1n, 1], [2n ** 32n - 5n, 64], [
      2n ** 33n - 64n,
      64,
    ]] as const
  ) {
    const pair = at(start);
    assert(pair.takeCounters(count));
    assertEquals(counterOf(pair), start + BigInt(count));
  }
});

/** A peer's keypairs and what they dropped. */
function rig(): { keypairs: Keypairs; dropped: Keypair[] } {
  const dropped: Keypair[] = [];
  return { keypairs: new Keypairs(packet, (pair) => dropped.push(pair)), dropped };
}

function slots({ previous, current, next }: Keypairs): (Keypair | undefined)[] {
  return [previous, current, next];
}

Deno.test("Keypairs: the initiator sends under the new one at once and keeps the one before", () => {
  const { keypairs, dropped } = rig();
  const [first, second, third] = [keypair(), keypair(), keypair()];
  keypairs.add(first);
  keypairs.add(second);
  assertEquals(slots(keypairs), [first, second, undefined]);
  keypairs.add(third);
  assertEquals(slots(keypairs), [second, third, undefined]);
  assertEquals(dropped, [first]);
  assert(first.sendKey.released && first.receiveKey.released && !second.sendKey.released);
});

Deno.test("Keypairs: the responder sends under the new one when the initiator has used it", () => {
  const { keypairs, dropped } = rig();
  const [first, second, third] = [1, 2, 3].map((createdAt) => keypair({ isInitiator: false, createdAt })) as [
    Keypair,
    Keypair,
    Keypair,
  ];
  keypairs.add(first);
  assertEquals(slots(keypairs), [undefined, undefined, first]);
  assertEquals(keypairs.confirm(first), true);
  assertEquals(keypairs.confirm(first), false);
  keypairs.add(second);
  assertEquals(slots(keypairs), [undefined, first, second]);
  assertEquals(keypairs.confirm(first), false, "still the old one");
  keypairs.add(third);
  assertEquals(dropped, [second], "an unproven one gives way");
  assertEquals(keypairs.confirm(third), true);
  assertEquals(slots(keypairs), [first, third, undefined]);
});

Deno.test("Keypairs: when both initiate at once, both choose the same and nothing in flight is lost", () => {
  for (const isOursPreferred of [false, true]) {
    const { keypairs, dropped } = rig();
    const old = keypair({ createdAt: 1 });
    const theirs = keypair({ createdAt: 2, isInitiator: false, isPreferred: !isOursPreferred });
    const ours = keypair({ createdAt: 3, isPreferred: isOursPreferred });
    for (const pair of [old, theirs, ours]) keypairs.add(pair);
    assertEquals(slots(keypairs), [old, ours, theirs]);
    assertEquals(dropped, []);
    assertEquals(keypairs.confirm(theirs), true);
    assertEquals(slots(keypairs), isOursPreferred ? [theirs, ours, undefined] : [ours, theirs, undefined]);
    assertEquals(dropped, [old]);
  }
});

Deno.test("Keypairs: a peer that initiates just after a handshake of ours has lost its keys, and is followed", () => {
  const { keypairs } = rig();
  const ours = keypair({ createdAt: 1, isPreferred: true });
  const theirs = keypair({ createdAt: 2, isInitiator: false, isPreferred: false });
  for (const pair of [ours, theirs]) keypairs.add(pair);
  keypairs.confirm(theirs);
  assertEquals(slots(keypairs), [ours, theirs, undefined]);
});

Deno.test("Keypairs: a next one proven long after we made another does not take its place", () => {
  const { keypairs } = rig();
  const theirs = keypair({ createdAt: 0, isInitiator: false, isPreferred: true });
  const ours = keypair({ createdAt: 5_000 });
  for (const pair of [theirs, ours]) keypairs.add(pair);
  keypairs.confirm(theirs);
  assertEquals(slots(keypairs), [theirs, ours, undefined]);
});

Deno.test("Keypairs.stopSending() ends sending only, clear() drops all", () => {
  const { keypairs, dropped } = rig();
  const [first, second] = [keypair(), keypair()];
  const unproven = keypair({ isInitiator: false });
  for (const pair of [first, second, unproven]) keypairs.add(pair);
  keypairs.stopSending();
  assertEquals([second.canSend(1), second.canReceive(1)], [false, true]);
  assertEquals(dropped, [unproven]);
  keypairs.clear();
  assertEquals(dropped, [unproven, first, second]);
  assertEquals(slots(keypairs), [undefined, undefined, undefined]);
});
