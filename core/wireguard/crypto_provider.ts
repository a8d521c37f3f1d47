/**
 * The cryptographic primitives of the protocol, as the core asks for them.
 *
 * Two halves, so that they can come from different libraries: {@linkcode HandshakeCrypto} runs a few times a
 * minute per peer and works on values, {@linkcode PacketCrypto} runs for every packet and works in place on
 * memory of the caller. A provider has no state but its keys and draws no randomness.
 *
 * @see WireGuard paper §5.4.
 */

/** A key of {@linkcode PacketCrypto}: opaque to the core, made and released by the provider that uses it. */
export interface AeadKey {
  /** Whether its memory was zeroed and given back. */
  readonly released: boolean;
}

/** ChaCha20-Poly1305 of transport data messages: nonce 0^32 and the 64-bit counter, no associated data. */
export interface PacketCrypto {
  /** Prepares a key. The 32 bytes are copied; the caller zeroes its own. */
  importKey(key: Uint8Array): AeadKey;

  /** Zeroes a key and gives its memory back. Twice is fine; any other use of it afterwards is a `TypeError`. */
  releaseKey(key: AeadKey): void;

  /**
   * Encrypts `text.length - 16` bytes in place and writes the tag behind them.
   *
   * @param counterHigh Upper half of the counter, 0 to 2^32-1.
   * @param counterLow Lower half of the counter, 0 to 2^32-1.
   * @param text Plaintext and 16 spare bytes; ciphertext and tag afterwards.
   */
  seal(key: AeadKey, counterHigh: number, counterLow: number, text: Uint8Array): void;

  /**
   * Checks the tag and decrypts in place.
   *
   * @param text Ciphertext and tag; on success plaintext and 16 bytes without meaning. On failure its contents
   * are not defined.
   * @returns Whether the tag was right.
   */
  open(key: AeadKey, counterHigh: number, counterLow: number, text: Uint8Array): boolean;
}

/** The primitives of handshakes and cookies. Results are new arrays. */
export interface HandshakeCrypto {
  /** The public key of a private one; clamps as RFC 7748 §5 says. */
  x25519PublicKey(privateKey: Uint8Array): Uint8Array;

  /** The shared secret, or undefined when it would be zero: the other side sent a point of low order. */
  x25519(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined;

  /** BLAKE2s of the concatenation, 32 bytes. */
  hash(...parts: readonly Uint8Array[]): Uint8Array;

  /** Keyed BLAKE2s of the concatenation with 16 bytes of output. The key has up to 32 bytes. */
  mac(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array;

  /** ChaCha20-Poly1305 with an all-zero nonce. @returns Ciphertext and tag. */
  seal(key: Uint8Array, plaintext: Uint8Array, associatedData: Uint8Array): Uint8Array;

  /** Undoes {@linkcode HandshakeCrypto.seal}. @returns The plaintext, or undefined when the tag is wrong. */
  open(key: Uint8Array, ciphertext: Uint8Array, associatedData: Uint8Array): Uint8Array | undefined;

  /** XChaCha20-Poly1305 with a nonce of 24 bytes. @returns Ciphertext and tag. */
  sealCookie(box: CookieBox, plaintext: Uint8Array): Uint8Array;

  /** Undoes {@linkcode HandshakeCrypto.sealCookie}. @returns The plaintext, or undefined when the tag is wrong. */
  openCookie(box: CookieBox, ciphertext: Uint8Array): Uint8Array | undefined;
}

/** Parameters of the encryption of a cookie. */
export interface CookieBox {
  /** 32 bytes. */
  readonly key: Uint8Array;
  /** 24 bytes. */
  readonly nonce: Uint8Array;
  /** MAC1 of the message that the cookie answers, 16 bytes. */
  readonly associatedData: Uint8Array;
}

/** All primitives. */
export interface CryptoProvider {
  /** Shown in `status`: `noble`, `libcrypto`, … */
  readonly name: string;
  readonly handshake: HandshakeCrypto;
  readonly packet: PacketCrypto;
}
