/**
 * WireGuard keys: X25519 pairs, and their text form of 44 base64 characters.
 *
 * No message here ever holds a key, not even a broken one.
 *
 * @see WireGuard paper §5.4.4; RFC 7748 §5, §6.1; RFC 8410 §7 (the DER forms).
 */

import { Buffer } from "node:buffer";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { InvalidConfigError } from "../errors.ts";

/** Bytes of a private or public key. */
export const KEY_BYTES = 32;

/** PKCS#8 `PrivateKeyInfo` of an X25519 key up to the 32 bytes of the key itself. */
const PKCS8_HEADER = Uint8Array.from([
  ...[0x30, 0x2e, 0x02, 0x01, 0x00], // SEQUENCE of 46 bytes, version 0
  ...[0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e], // algorithm 1.3.101.110
  ...[0x04, 0x22, 0x04, 0x20], // OCTET STRING holding an OCTET STRING of 32
]);

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** A private key, clamped, and its public key: 32 bytes each. */
export interface KeyPair {
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
}

/**
 * Makes a key pair.
 *
 * @param random Fills an array from a cryptographically secure source, such as `crypto.getRandomValues`.
 */
export function generateKeyPair(random: (bytes: Uint8Array<ArrayBuffer>) => void): KeyPair {
  const privateKey = new Uint8Array(KEY_BYTES);
  random(privateKey);
  // Clamped as `wg genkey` does, so that the kernel, which clamps what it is given, reports the same bytes.
  privateKey[0]! &= 0xf8;
  privateKey[31] = (privateKey[31]! & 0x7f) | 0x40;
  return { privateKey, publicKey: derivePublicKey(privateKey) };
}

/**
 * The public key of a private one, clamped or not.
 *
 * @throws {InvalidConfigError} If the key has not 32 bytes.
 */
export function derivePublicKey(privateKey: Uint8Array): Uint8Array {
  checkKeyLength(privateKey);
  const key = createPrivateKey({
    key: Buffer.concat([PKCS8_HEADER, privateKey]),
    format: "der",
    type: "pkcs8",
  });
  const spki = createPublicKey(key).export({ format: "der", type: "spki" });
  return Uint8Array.from(spki.subarray(spki.length - KEY_BYTES));
}

/** A key as base64: standard alphabet, padded, 44 characters for 32 bytes. */
export function encodeKey(key: Uint8Array): string {
  return btoa(String.fromCharCode(...key));
}

/**
 * Reads a key from base64.
 *
 * @returns 32 bytes.
 * @throws {InvalidConfigError} If the text is not the one base64 form of 32 bytes.
 */
export function decodeKey(text: string): Uint8Array {
  if (!BASE64.test(text)) {
    throw new InvalidConfigError("Invalid key: not base64 with the standard alphabet and padding");
  }
  const characters = atob(text);
  const key = new Uint8Array(characters.length);
  for (let i = 0; i < key.length; i++) key[i] = characters.charCodeAt(i);
  checkKeyLength(key);
  // Two texts for one key would make two peers of one.
  if (encodeKey(key) !== text) {
    throw new InvalidConfigError("Invalid key: the last base64 digit has stray bits");
  }
  return key;
}

/**
 * Reads a key pair and checks that the halves belong together.
 *
 * @throws {InvalidConfigError} If a key is malformed, or the public key is not the private one's.
 */
export function decodeKeyPair(privateText: string, publicText: string): KeyPair {
  const privateKey = decodeKey(privateText);
  const publicKey = decodeKey(publicText);
  if (encodeKey(derivePublicKey(privateKey)) !== publicText) {
    throw new InvalidConfigError("Invalid key pair: the public key does not derive from the private key");
  }
  return { privateKey, publicKey };
}

function checkKeyLength(key: Uint8Array): void {
  if (key.length === KEY_BYTES) return;
  throw new InvalidConfigError(`Invalid key length: expected ${KEY_BYTES} bytes, got ${key.length}`);
}
