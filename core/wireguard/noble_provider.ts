/** The primitives by `@noble/*`: audited JavaScript, present everywhere, about 0.4 Gbit/s. */

import { chacha20poly1305, xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { x25519 } from "@noble/curves/ed25519.js";
import { blake2s } from "@noble/hashes/blake2.js";
import { KEY_BYTES, MAC_BYTES, TAG_BYTES } from "./constants.ts";
import type { AeadKey, CookieBox, CryptoProvider, HandshakeCrypto, PacketCrypto } from "./crypto_provider.ts";
import { isZero } from "./bytes.ts";

const ZERO_NONCE = new Uint8Array(12);

/** Makes a provider that needs nothing of the operating system. */
export function nobleProvider(): CryptoProvider {
  return { name: "noble", handshake: NOBLE_HANDSHAKE, packet: new NoblePacketCrypto() };
}

/** Handshake primitives by noble, for providers that bring their own packet encryption. */
export const NOBLE_HANDSHAKE: HandshakeCrypto = {
  x25519PublicKey: (privateKey) => x25519.getPublicKey(privateKey),

  x25519(privateKey, publicKey): Uint8Array | undefined {
    try {
      const shared = x25519.getSharedSecret(privateKey, publicKey);
      return isZero(shared) ? undefined : shared;
    } catch {
      // Noble throws where the result would be zero; lengths are checked by the decoders.
      return undefined;
    }
  },

  hash: (...parts) => hashParts(undefined, KEY_BYTES, parts),
  mac: (key, ...parts) => hashParts(key, MAC_BYTES, parts),

  seal: (key, plaintext, associatedData) =>
    chacha20poly1305(key, ZERO_NONCE, associatedData).encrypt(plaintext),
  open: (key, ciphertext, associatedData) =>
    orUndefined(() => chacha20poly1305(key, ZERO_NONCE, associatedData).decrypt(ciphertext)),

  sealCookie: (box, plaintext) => cookieCipher(box).encrypt(plaintext),
  openCookie: (box, ciphertext) => orUndefined(() => cookieCipher(box).decrypt(ciphertext)),
};

function hashParts(
  key: Uint8Array | undefined,
  outputBytes: number,
  parts: readonly Uint8Array[],
): Uint8Array {
  const hash = blake2s.create(key === undefined ? { dkLen: outputBytes } : { dkLen: outputBytes, key });
  for (const part of parts) hash.update(part);
  return hash.digest();
}

function cookieCipher(box: CookieBox): ReturnType<typeof xchacha20poly1305> {
  return xchacha20poly1305(box.key, box.nonce, box.associatedData);
}

/** Noble throws on a wrong tag, which is an expected outcome here. */
function orUndefined(decrypt: () => Uint8Array): Uint8Array | undefined {
  try {
    return decrypt();
  } catch {
    return undefined;
  }
}

class NobleKey implements AeadKey {
  readonly bytes: Uint8Array;
  released = false;

  constructor(key: Uint8Array) {
    this.bytes = Uint8Array.from(key);
  }
}

class NoblePacketCrypto implements PacketCrypto {
  readonly #nonce = new Uint8Array(12);
  readonly #nonceView = new DataView(this.#nonce.buffer);

  importKey(key: Uint8Array): AeadKey {
    if (key.length !== KEY_BYTES) {
      throw new RangeError(`an AEAD key has ${KEY_BYTES} bytes, got ${key.length}`);
    }
    return new NobleKey(key);
  }

  releaseKey(key: AeadKey): void {
    if (!(key instanceof NobleKey)) throw foreignKey();
    key.bytes.fill(0);
    key.released = true;
  }

  seal(key: AeadKey, counterHigh: number, counterLow: number, text: Uint8Array): void {
    const plaintext = text.subarray(0, text.length - TAG_BYTES);
    this.#cipher(key, counterHigh, counterLow).encrypt(plaintext, text);
  }

  open(key: AeadKey, counterHigh: number, counterLow: number, text: Uint8Array): boolean {
    if (text.length < TAG_BYTES) return false;
    const cipher = this.#cipher(key, counterHigh, counterLow);
    return orUndefined(() => cipher.decrypt(text, text.subarray(0, text.length - TAG_BYTES))) !== undefined;
  }

  #cipher(
    key: AeadKey,
    counterHigh: number,
    counterLow: number,
  ): ReturnType<typeof chacha20poly1305> {
    if (!(key instanceof NobleKey) || key.released) throw foreignKey();
    this.#nonceView.setUint32(4, counterLow, true);
    this.#nonceView.setUint32(8, counterHigh, true);
    return chacha20poly1305(key.bytes, this.#nonce);
  }
}

function foreignKey(): TypeError {
  return new TypeError("the AEAD key is another provider's, or was released");
}
