/**
 * The symmetric state of Noise_IKpsk2 as WireGuard uses it, with its key derivation.
 *
 * `Hash` is BLAKE2s-256, `Mac` keyed BLAKE2s-128, `Hmac` HMAC over BLAKE2s-256; `KdfN(key, input)` is HKDF with
 * `key` as salt, no info, and N outputs of 32 bytes.
 *
 * @see WireGuard paper §5.4; Noise protocol framework rev. 34 §5.2; RFC 2104; RFC 5869.
 */

import { ascii, EMPTY, wipe } from "./bytes.ts";
import { CONSTRUCTION, IDENTIFIER, KEY_BYTES } from "./constants.ts";
import type { HandshakeCrypto } from "./crypto_provider.ts";

/** Block of BLAKE2s, which HMAC pads its key to. */
const BLOCK_BYTES = 64;

/** HMAC-BLAKE2s-256 of the concatenation. The key has up to 64 bytes. */
export function hmac(
  crypto: HandshakeCrypto,
  key: Uint8Array,
  ...parts: readonly Uint8Array[]
): Uint8Array {
  const inner = padKey(key, 0x36);
  const outer = padKey(key, 0x5c);
  const digest = crypto.hash(inner, ...parts);
  const result = crypto.hash(outer, digest);
  wipe(inner, outer, digest);
  return result;
}

function padKey(key: Uint8Array, pad: number): Uint8Array {
  const block = new Uint8Array(BLOCK_BYTES).fill(pad);
  for (let i = 0; i < key.length; i++) block[i]! ^= key[i]!;
  return block;
}

/** One derived key of 32 bytes. */
export function kdf1(crypto: HandshakeCrypto, key: Uint8Array, input: Uint8Array): Uint8Array {
  return derive(crypto, key, input, 1)[0]!;
}

/** Two derived keys of 32 bytes. */
export function kdf2(
  crypto: HandshakeCrypto,
  key: Uint8Array,
  input: Uint8Array,
): [Uint8Array, Uint8Array] {
  return derive(crypto, key, input, 2) as [Uint8Array, Uint8Array];
}

/** Three derived keys of 32 bytes. */
export function kdf3(
  crypto: HandshakeCrypto,
  key: Uint8Array,
  input: Uint8Array,
): [Uint8Array, Uint8Array, Uint8Array] {
  return derive(crypto, key, input, 3) as [Uint8Array, Uint8Array, Uint8Array];
}

function derive(crypto: HandshakeCrypto, key: Uint8Array, input: Uint8Array, count: number): Uint8Array[] {
  const secret = hmac(crypto, key, input);
  const outputs: Uint8Array[] = [];
  let last = EMPTY;
  for (let i = 1; i <= count; i++) {
    last = hmac(crypto, secret, last, Uint8Array.of(i));
    outputs.push(last);
  }
  wipe(secret);
  return outputs;
}

/**
 * Chaining key `C`, hash `H` and the key `k` of the step at hand. Every step is one line of the paper.
 *
 * Owns its memory; {@linkcode SymmetricState.wipe} zeroes it.
 */
export class SymmetricState {
  readonly #crypto: HandshakeCrypto;
  readonly #chainingKey: Uint8Array;
  readonly #hash: Uint8Array;
  readonly #key = new Uint8Array(KEY_BYTES);

  private constructor(crypto: HandshakeCrypto, chainingKey: Uint8Array, hash: Uint8Array) {
    this.#crypto = crypto;
    this.#chainingKey = chainingKey;
    this.#hash = hash;
  }

  /** The state before the first message to the owner of the static key. */
  static start(crypto: HandshakeCrypto, responderStatic: Uint8Array): SymmetricState {
    const chainingKey = crypto.hash(ascii(CONSTRUCTION));
    const state = new SymmetricState(crypto, chainingKey, crypto.hash(chainingKey, ascii(IDENTIFIER)));
    state.mixHash(responderStatic);
    return state;
  }

  /** A copy that goes its own way, so that a forged message does not spoil a handshake. */
  clone(): SymmetricState {
    const copy = new SymmetricState(
      this.#crypto,
      Uint8Array.from(this.#chainingKey),
      Uint8Array.from(this.#hash),
    );
    copy.#key.set(this.#key);
    return copy;
  }

  /** `H := Hash(H || data)`. */
  mixHash(data: Uint8Array): void {
    this.#hash.set(this.#crypto.hash(this.#hash, data));
  }

  /** An ephemeral public key: `C := Kdf1(C, key)`, `H := Hash(H || key)`. */
  mixEphemeral(publicKey: Uint8Array): void {
    this.#take(this.#chainingKey, kdf1(this.#crypto, this.#chainingKey, publicKey));
    this.mixHash(publicKey);
  }

  /** A shared secret before something is encrypted: `(C, k) := Kdf2(C, secret)`. */
  mixKey(secret: Uint8Array): void {
    const [chainingKey, key] = kdf2(this.#crypto, this.#chainingKey, secret);
    this.#take(this.#chainingKey, chainingKey);
    this.#take(this.#key, key);
  }

  /** A shared secret that nothing is encrypted with: `C := Kdf1(C, secret)`. */
  mixChainingKey(secret: Uint8Array): void {
    this.#take(this.#chainingKey, kdf1(this.#crypto, this.#chainingKey, secret));
  }

  /** The preshared key: `(C, t, k) := Kdf3(C, psk)`, `H := Hash(H || t)`. */
  mixPresharedKey(presharedKey: Uint8Array): void {
    const [chainingKey, hashed, key] = kdf3(this.#crypto, this.#chainingKey, presharedKey);
    this.#take(this.#chainingKey, chainingKey);
    this.mixHash(hashed);
    this.#take(this.#key, key);
    wipe(hashed);
  }

  /** Encrypts under `k` with `H` as associated data; `H := Hash(H || ciphertext)`. */
  encryptAndHash(plaintext: Uint8Array): Uint8Array {
    const ciphertext = this.#crypto.seal(this.#key, plaintext, this.#hash);
    this.mixHash(ciphertext);
    return ciphertext;
  }

  /** Undoes {@linkcode SymmetricState.encryptAndHash}; undefined, and the state unchanged, when the tag is wrong. */
  decryptAndHash(ciphertext: Uint8Array): Uint8Array | undefined {
    const plaintext = this.#crypto.open(this.#key, ciphertext, this.#hash);
    if (plaintext !== undefined) this.mixHash(ciphertext);
    return plaintext;
  }

  /** `Kdf2(C, nothing)`: the keys from initiator to responder and back. */
  split(): { readonly fromInitiator: Uint8Array; readonly fromResponder: Uint8Array } {
    const [fromInitiator, fromResponder] = kdf2(this.#crypto, this.#chainingKey, EMPTY);
    return { fromInitiator, fromResponder };
  }

  /** Zeroes all secrets; the state is of no use afterwards. */
  wipe(): void {
    wipe(this.#chainingKey, this.#hash, this.#key);
  }

  /** Moves a fresh secret into the state. */
  #take(target: Uint8Array, secret: Uint8Array): void {
    target.set(secret);
    wipe(secret);
  }
}
