import { assert, assertEquals } from "@std/assert";
import { CookieChecker, CookieJar } from "../../../core/wireguard/cookie.ts";
import { type CookieReply, decodeCookieReply, mac1Of, mac2Of } from "../../../core/wireguard/messages.ts";
import { NOBLE_HANDSHAKE as crypto } from "../../../core/wireguard/noble_provider.ts";
import { counting } from "../../contract/crypto_provider_contract.ts";
import { fromHex, toHex } from "../../support/golden.ts";
import { SeededRandom } from "../../support/seeded_random.ts";
import { endpoint } from "../../support/sim_wireguard.ts";

const SOURCE = endpoint("192.0.2.1");
const ZERO = new Uint8Array(16);

function rig(): { checker: CookieChecker; jar: CookieJar; message: Uint8Array } {
  const random = new SeededRandom(3);
  const publicKey = crypto.x25519PublicKey(random.bytes(32));
  return {
    checker: new CookieChecker(crypto, publicKey, {
      random: (bytes) => bytes.set(random.bytes(bytes.length)),
    }),
    jar: new CookieJar(crypto, publicKey),
    message: random.bytes(148),
  };
}

function replyTo(
  { checker, message }: { checker: CookieChecker; message: Uint8Array },
  now: number,
  source = SOURCE,
): CookieReply {
  const decoded = decodeCookieReply(checker.reply(message, source, now));
  assert(decoded.ok);
  return decoded.message;
}

Deno.test("CookieJar writes a MAC1 that CookieChecker accepts, and no MAC2 without cookie", () => {
  const { checker, jar, message } = rig();
  mac2Of(message).fill(0);
  assertEquals(checker.hasValidMac1(message), false);
  jar.addMacs(message, 0);
  assertEquals(checker.hasValidMac1(message), true);
  assertEquals(mac2Of(message), ZERO);
  assertEquals(checker.hasValidMac2(message, SOURCE, 0), false);
  message[20]! ^= 1;
  assertEquals(checker.hasValidMac1(message), false);
});

Deno.test("MAC1 agrees with hashlib", () => {
  // k = blake2s(b"mac1----" + bytes(range(32))).digest(); blake2s(bytes(range(116)), key=k, digest_size=16)
  const message = new Uint8Array(148);
  message.set(counting(0, 116));
  new CookieJar(crypto, counting(0, 32)).addMacs(message, 0);
  assertEquals(toHex(mac1Of(message)), toHex(fromHex("3a7d1b865f062f4af4677f1d88d7ea74")));
});

Deno.test("a cookie makes the next MAC2 valid, from that address and port only", () => {
  const { checker, jar, message } = rig();
  jar.addMacs(message, 0);
  assert(jar.consume(replyTo({ checker, message }, 0), 0));
  jar.addMacs(message, 1_000);
  assertEquals(checker.hasValidMac2(message, SOURCE, 1_000), true);
  for (const other of [endpoint("192.0.2.2"), endpoint("192.0.2.1", 51821), endpoint("2001:db8::1")]) {
    assertEquals(checker.hasValidMac2(message, other, 1_000), false, other.toString());
  }
});

Deno.test("CookieChecker changes its secret after 120 s", () => {
  const { checker, jar, message } = rig();
  jar.addMacs(message, 0);
  jar.consume(replyTo({ checker, message }, 0), 0);
  jar.addMacs(message, 1_000);
  assertEquals(checker.hasValidMac2(message, SOURCE, 119_999), true);
  assertEquals(checker.hasValidMac2(message, SOURCE, 120_000), false);
  assertEquals(checker.hasValidMac2(message, SOURCE, 120_001), false);
});

Deno.test("CookieJar uses a cookie for 115 s", () => {
  const { checker, jar, message } = rig();
  jar.addMacs(message, 0);
  jar.consume(replyTo({ checker, message }, 0), 0);
  jar.addMacs(message, 114_999);
  assertEquals(toHex(mac2Of(message)) === toHex(ZERO), false);
  mac2Of(message).fill(0);
  jar.addMacs(message, 115_000);
  assertEquals(mac2Of(message), ZERO);
});

Deno.test("CookieJar takes one reply to its last message, and none that is forged or to another message", () => {
  const { checker, jar, message } = rig();
  const reply = replyTo({ checker, message }, 0);
  assertEquals(jar.consume(reply, 0), false, "nothing was sent");
  jar.addMacs(message, 0);
  assertEquals(jar.consume(reply, 0), false, "it answers other bytes");
  const genuine = replyTo({ checker, message }, 0);
  const forged = { ...genuine, encryptedCookie: Uint8Array.from(genuine.encryptedCookie) };
  forged.encryptedCookie[0]! ^= 1;
  assertEquals(jar.consume(forged, 0), false);
  assertEquals(jar.consume(genuine, 0), true);
  assertEquals(jar.consume(genuine, 0), false, "a second one");
});

Deno.test("wipe() forgets the cookie and the secret", () => {
  const { checker, jar, message } = rig();
  jar.addMacs(message, 0);
  jar.consume(replyTo({ checker, message }, 0), 0);
  jar.addMacs(message, 0);
  checker.wipe();
  assertEquals(checker.hasValidMac2(message, SOURCE, 0), false);
  jar.wipe();
  mac2Of(message).fill(0);
  jar.addMacs(message, 0);
  assertEquals(mac2Of(message), ZERO);
});
