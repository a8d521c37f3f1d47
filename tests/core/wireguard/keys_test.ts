import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { InvalidConfigError } from "../../../core/errors.ts";
import {
  decodeKey,
  decodeKeyPair,
  derivePublicKey,
  encodeKey,
  generateKeyPair,
  type KeyPair,
} from "../../../core/wireguard/keys.ts";
import { seededTest } from "../../support/seeded_random.ts";

function newKeys(): KeyPair {
  return generateKeyPair((bytes) => void crypto.getRandomValues(bytes));
}

function hex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g)!, (pair) => parseInt(pair, 16));
}

// RFC 7748 §6.1: both parties of the example.
const RFC_7748 = [
  {
    privateKey: "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
    publicKey: "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
  },
  {
    privateKey: "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
    publicKey: "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
  },
];

Deno.test("derivePublicKey() agrees with RFC 7748 [overlay T4]", () => {
  for (const { privateKey, publicKey } of RFC_7748) {
    assertEquals(derivePublicKey(hex(privateKey)), hex(publicKey));
  }
});

Deno.test("generateKeyPair() makes pairs of 32 bytes, 44 characters, that differ [overlay T4]", () => {
  const one = newKeys();
  const other = newKeys();
  assertNotEquals(encodeKey(one.privateKey), encodeKey(other.privateKey));
  for (const pair of [one, other]) {
    assertEquals([pair.privateKey.length, pair.publicKey.length], [32, 32]);
    assertEquals([encodeKey(pair.privateKey).length, encodeKey(pair.publicKey).length], [44, 44]);
    assertEquals(derivePublicKey(pair.privateKey), pair.publicKey);
    assertEquals([pair.privateKey[0]! & 7, pair.privateKey[31]! & 0xc0], [0, 0x40]);
  }
});

Deno.test("newKeys() takes its randomness from the argument", () => {
  const pair = generateKeyPair((bytes) => void bytes.fill(0xff));
  assertEquals(encodeKey(pair.privateKey), encodeKey(Uint8Array.from([0xf8, ...Array(30).fill(0xff), 0x7f])));
});

Deno.test("decodeKey() refuses keys of another length [overlay T5]", () => {
  for (const length of [0, 16, 31, 33, 64]) {
    const error = assertThrows(() => decodeKey(encodeKey(new Uint8Array(length))), InvalidConfigError);
    assertEquals(error.message, `Invalid key length: expected 32 bytes, got ${length}`);
  }
  assertThrows(() => derivePublicKey(new Uint8Array(16)), InvalidConfigError, "expected 32 bytes, got 16");
});

Deno.test("decodeKey() takes one text per key and never repeats it", () => {
  const good = encodeKey(Uint8Array.from({ length: 32 }, (_, i) => i * 9));
  assertEquals(encodeKey(decodeKey(good)), good);
  const bad = [
    good.slice(0, -1),
    good + "=",
    ` ${good}`,
    `${good}\n`,
    good.replace(/=$/, ""),
    good.replaceAll("+", "-").replaceAll("/", "_").replace(/^./, "-"),
    good.replace(/.=$/, "9="), // stray bits in the last digit
    "kein Schlüssel",
  ];
  for (const text of bad) {
    const error = assertThrows(() => decodeKey(text), InvalidConfigError, "Invalid key", text);
    assertEquals(error.message.includes(text.slice(5, 20)), false, error.message);
  }
});

Deno.test("decodeKeyPair() wants halves that belong together", () => {
  const one = newKeys();
  const other = newKeys();
  assertEquals(decodeKeyPair(encodeKey(one.privateKey), encodeKey(one.publicKey)), one);
  assertThrows(
    () => decodeKeyPair(encodeKey(one.privateKey), encodeKey(other.publicKey)),
    InvalidConfigError,
    "does not derive",
  );
});

seededTest("encodeKey() and decodeKey() are each other's inverse", (random) => {
  for (let i = 0; i < 300; i++) {
    const key = random.bytes(32);
    assertEquals(decodeKey(encodeKey(key)), Uint8Array.from(key));
  }
});
