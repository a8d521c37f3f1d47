/**
 * Key derivation by known answers, computed with Python 3.11:
 *
 *     hmac_ = lambda key, data: hmac.new(key, data, hashlib.blake2s).digest()
 *     secret = hmac_(key, input); t1 = hmac_(secret, b"\x01"); t2 = hmac_(secret, t1 + b"\x02"); …
 */
import { assertEquals } from "@std/assert";
import { ascii, EMPTY } from "../../../core/wireguard/bytes.ts";
import { CONSTRUCTION, IDENTIFIER } from "../../../core/wireguard/constants.ts";
import { NOBLE_HANDSHAKE as crypto } from "../../../core/wireguard/noble_provider.ts";
import { hmac, kdf1, kdf2, kdf3, SymmetricState } from "../../../core/wireguard/noise.ts";
import { counting } from "../../contract/crypto_provider_contract.ts";
import { toHex } from "../../support/golden.ts";

/** Outputs for key 0 to 31, input 32 to 63. */
const DERIVED = [
  "6a96444e20e8d4c1cee974416acae1c10b3c92886010e54ed94dafb2c3b80ea0",
  "57af120b0de7acbe7907ec149c5ae870a2dbb74232b65777ba4123f1f7f888f5",
  "0926c7caabb6e8d73beda759e6f4f0d324ce5b5000bcf8cd784b26db3049faa9",
];

function hex(bytes: Uint8Array): string {
  return toHex(bytes).replaceAll(" ", "");
}

Deno.test("hmac() agrees with Python's hmac over blake2s", () => {
  const want = "b70725d70c7e0930deea9820c9ef327868469e10a6c471d12e18d4c8fff0bc63";
  assertEquals(hex(hmac(crypto, ascii("k".repeat(32)), ascii("abc"))), want);
  assertEquals(hex(hmac(crypto, ascii("k".repeat(32)), ascii("a"), EMPTY, ascii("bc"))), want);
});

Deno.test("kdf1(), kdf2() and kdf3() agree with HKDF over blake2s", () => {
  const [key, input] = [counting(0, 32), counting(32, 32)];
  assertEquals(hex(kdf1(crypto, key, input)), DERIVED[0]);
  assertEquals(kdf2(crypto, key, input).map(hex), DERIVED.slice(0, 2));
  assertEquals(kdf3(crypto, key, input).map(hex), DERIVED);
  assertEquals(kdf2(crypto, key, EMPTY).map(hex), [
    "7a38c34bf2b8738d7374ca77c44ecb309a11d2b2528304fa86052c365e722624",
    "1a17621f346abdc520746a9fb64d8eb03231d674fc15687537b0780fd9c060fd",
  ]);
});

Deno.test("the first chaining key and hash are those every implementation starts from", () => {
  const chainingKey = crypto.hash(ascii(CONSTRUCTION));
  assertEquals(hex(chainingKey), "60e26daef327efc02ec335e2a025d2d016eb4206f87277f52d38d1988b78cd36");
  assertEquals(
    hex(crypto.hash(chainingKey, ascii(IDENTIFIER))),
    "2211b361081ac566691243db458ad5322d9c6c662293e8b70ee19c65ba079ef3",
  );
});

Deno.test("SymmetricState: two that take the same steps understand each other, a third does not", () => {
  const states = Array.from({ length: 3 }, () => SymmetricState.start(crypto, counting(0, 32)));
  const [a, b, c] = states as [SymmetricState, SymmetricState, SymmetricState];
  for (const state of states) state.mixKey(counting(1, 32));
  c.mixHash(EMPTY);
  const ciphertext = a.encryptAndHash(ascii("secret"));
  assertEquals(c.decryptAndHash(ciphertext), undefined);
  assertEquals(b.decryptAndHash(ciphertext), ascii("secret"));
  assertEquals(a.split(), b.split());
});

Deno.test("SymmetricState.decryptAndHash() leaves the state as it was when the tag is wrong", () => {
  const a = SymmetricState.start(crypto, counting(0, 32));
  const b = SymmetricState.start(crypto, counting(0, 32));
  for (const state of [a, b]) state.mixKey(counting(1, 32));
  const ciphertext = a.encryptAndHash(ascii("secret"));
  const forged = Uint8Array.from(ciphertext);
  forged[0]! ^= 1;
  assertEquals(b.decryptAndHash(forged), undefined);
  assertEquals(b.decryptAndHash(ciphertext), ascii("secret"));
});

Deno.test("SymmetricState.clone() goes its own way, wipe() leaves no key", () => {
  const a = SymmetricState.start(crypto, counting(0, 32));
  a.mixKey(counting(1, 32));
  const copy = a.clone();
  const before = copy.split();
  a.wipe();
  assertEquals(copy.split(), before);
  assertEquals(a.split().fromInitiator, kdf2(crypto, new Uint8Array(32), EMPTY)[0]);
});
