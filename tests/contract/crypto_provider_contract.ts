/**
 * What every provider of the primitives has to do, by known answers.
 *
 * Vectors marked OpenSSL and hashlib were computed with Python 3.11, `cryptography` 48 (OpenSSL 3) and `hashlib`,
 * which have no code in common with ours: `ChaCha20Poly1305(key).encrypt(bytes(4) + counter, text, aad)`,
 * `blake2s(data, key=key, digest_size=n)`.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { ascii } from "../../core/wireguard/bytes.ts";
import type { CryptoProvider } from "../../core/wireguard/crypto_provider.ts";
import { fromHex, toHex } from "../support/golden.ts";

/** Bytes `first`, `first + 1`, … */
export function counting(first: number, count: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: count }, (_, i) => first + i);
}

/** Registers the suite. */
export function cryptoProviderContract(provider: () => CryptoProvider): void {
  const { name } = provider();
  const test = (what: string, run: (provider: CryptoProvider) => void): void =>
    Deno.test(`${name}: ${what}`, () => run(provider()));
  test("X25519 agrees with RFC 7748", x25519);
  test("X25519 refuses points of low order", lowOrder);
  test("hash() and mac() agree with RFC 7693 and hashlib", blake2s);
  test("seal() and open() of handshakes agree with OpenSSL", handshakeAead);
  test("sealCookie() and openCookie() agree with draft-irtf-cfrg-xchacha A.3.1", cookieAead);
  test("seal() and open() of packets agree with OpenSSL", packetAead);
  test("open() of packets sees every changed bit", packetForgery);
  test("a packet key is copied, and of no use when released", packetKeys);
}

/** RFC 7748 §5.2 (first), §6.1. */
const X25519 = [
  {
    privateKey: "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
    publicKey: "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
    shared: "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
  },
  {
    privateKey: "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
    publicKey: "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
    shared: "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
  },
];

function x25519({ handshake }: CryptoProvider): void {
  for (const { privateKey, publicKey, shared } of X25519) {
    assertHex(handshake.x25519(fromHex(privateKey), fromHex(publicKey)), shared);
  }
  const alice = fromHex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
  assertHex(
    handshake.x25519PublicKey(alice),
    "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
  );
}

/** All points whose order divides 8, https://cr.yp.to/ecdh.html#validate. */
const LOW_ORDER = [
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
  "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

function lowOrder({ handshake }: CryptoProvider): void {
  for (const point of LOW_ORDER) {
    assertEquals(handshake.x25519(counting(1, 32), fromHex(point)), undefined, point);
  }
}

function blake2s({ handshake }: CryptoProvider): void {
  // RFC 7693 appendix B.
  const abc = "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982";
  assertHex(handshake.hash(ascii("abc")), abc);
  assertHex(handshake.hash(ascii("a"), new Uint8Array(0), ascii("bc")), abc);
  // hashlib.
  assertHex(handshake.mac(counting(0, 32), ascii("abc")), "61ba5f165c194692e09d12520cc4c74a");
  assertHex(
    handshake.mac(counting(0, 16), counting(0, 150), counting(150, 50)),
    "b8d300fa7937e4d1e67c8468df4c9a43",
  );
}

function handshakeAead({ handshake }: CryptoProvider): void {
  const [key, aad] = [counting(0x80, 32), counting(0, 32)];
  const sealed = handshake.seal(key, counting(0, 32), aad);
  assertHex(
    sealed,
    "2a5d18ae3a5fe8ccc5382ff4a8d0a32566d978aad76fd77fbf2b48bd0f051594c18da84a821be7e0a0367b22907aedc2",
  );
  assertEquals(handshake.open(key, sealed, aad), counting(0, 32));
  assertEquals(handshake.open(key, flip(sealed, 0), aad), undefined);
  assertEquals(handshake.open(key, sealed, flip(aad, 31)), undefined);
}

function cookieAead({ handshake }: CryptoProvider): void {
  const plaintext = ascii(
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, " +
      "sunscreen would be it.",
  );
  const box = {
    key: counting(0x80, 32),
    nonce: counting(0x40, 24),
    associatedData: fromHex("50515253c0c1c2c3c4c5c6c7"),
  };
  const sealed = handshake.sealCookie(box, plaintext);
  assertHex(
    sealed,
    `bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39
     ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9
     21f9664c97637da9768812f615c68b13b52e c0875924c1c7987947deafd8780acf49`,
  );
  assertEquals(handshake.openCookie(box, sealed), plaintext);
  assertEquals(handshake.openCookie(box, flip(sealed, 5)), undefined);
  assertEquals(handshake.openCookie({ ...box, nonce: flip(box.nonce, 0) }, sealed), undefined);
}

/** OpenSSL; the key is 0x80 to 0x9f. */
const PACKETS = [
  {
    what: "114 bytes, all bytes of the counter different",
    high: 0x08070605,
    low: 0x04030201,
    plaintext: counting(0, 114),
    want:
      `e1b816fb13e071ff579069b735e1b12fdec2911e83cc657864fba8eba09e54a7e5c7874bceb3f1c00d5bf523886aa4702b2e
      e9b7ad3995efca3baa03bc407dd0105d22a5895eb59676b665daefc1ea74b4d4404127b2195e419b886378b70818a930bd8e9e375e
      eaa15eda4ebbd18761d4079b9d9e0e5285a7ab93d33478b0b0fa03`,
  },
  {
    what: "a keepalive",
    high: 0,
    low: 0,
    plaintext: counting(0, 0),
    want: "3ae5d3f2a376d317eaea5aef0215ba54",
  },
  {
    what: "the greatest counter",
    high: 0xffff_ffff,
    low: 0xffff_ffff,
    plaintext: ascii("ab"),
    want: "5786970530e992cca3b73448927933a99496",
  },
];

function packetAead({ packet }: CryptoProvider): void {
  const key = packet.importKey(counting(0x80, 32));
  for (const { what, high, low, plaintext, want } of PACKETS) {
    // In the middle of a buffer, whose other bytes are not touched.
    const buffer = new Uint8Array(plaintext.length + 16 + 64).fill(0xee);
    const text = buffer.subarray(16, 16 + plaintext.length + 16);
    text.set(plaintext);
    packet.seal(key, high, low, text);
    assertEquals(toHex(text), toHex(fromHex(want)), what);
    assert(packet.open(key, high, low, text), what);
    assertEquals(toHex(text.subarray(0, plaintext.length)), toHex(plaintext), what);
    const around = [...buffer.subarray(0, 16), ...buffer.subarray(plaintext.length + 32)];
    assert(around.every((byte) => byte === 0xee), what);
  }
  packet.releaseKey(key);
}

function packetForgery({ packet }: CryptoProvider): void {
  const key = packet.importKey(counting(0x80, 32));
  const sealed = counting(0, 20 + 16);
  packet.seal(key, 1, 2, sealed);
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const forged = Uint8Array.from(sealed);
    forged[bit >> 3]! ^= 1 << (bit & 7);
    assertEquals(packet.open(key, 1, 2, forged), false, `bit ${bit}`);
  }
  assertEquals(packet.open(key, 2, 1, Uint8Array.from(sealed)), false, "another counter");
  for (const length of [0, 15]) {
    assertEquals(packet.open(key, 1, 2, new Uint8Array(length)), false, `${length} bytes`);
  }
  assert(packet.open(key, 1, 2, sealed), "a failure leaves the key usable");
  packet.releaseKey(key);
}

function packetKeys({ packet }: CryptoProvider): void {
  const bytes = counting(0x80, 32);
  const key = packet.importKey(bytes);
  bytes.fill(0);
  const text = new Uint8Array(16);
  packet.seal(key, 0, 0, text);
  assertHex(text, PACKETS[1]!.want);
  assertEquals(key.released, false);
  packet.releaseKey(key);
  packet.releaseKey(key);
  assertEquals(key.released, true);
  assertThrows(() => packet.seal(key, 0, 0, text), TypeError);
  assertThrows(() => packet.open(key, 0, 0, text), TypeError);
  assertThrows(() => packet.importKey(new Uint8Array(31)), RangeError);
}

function assertHex(actual: Uint8Array | undefined, want: string): void {
  assertEquals(actual && toHex(actual), toHex(fromHex(want)));
}

function flip(bytes: Uint8Array, at: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[at]! ^= 1;
  return copy;
}
