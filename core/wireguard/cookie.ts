/**
 * MAC1, MAC2 and cookies: who may make a busy responder compute.
 *
 * MAC1 shows that the sender knows the responder's public key. Under load a responder also wants MAC2, whose key
 * is a cookie: a MAC of the sender's address under a secret that the responder changes every two minutes. It
 * sends the cookie encrypted, so that only who sees the traffic to that address learns it.
 *
 * @see WireGuard paper §5.3, §5.4.4, §5.4.7, §6.6.
 */

import { ascii, equalBytes, wipe } from "./bytes.ts";
import {
  COOKIE_LATENCY_MS,
  COOKIE_LIFETIME_MS,
  COOKIE_NONCE_BYTES,
  KEY_BYTES,
  LABEL_COOKIE,
  LABEL_MAC1,
} from "./constants.ts";
import type { HandshakeCrypto } from "./crypto_provider.ts";
import type { PeerEndpoint } from "./endpoint.ts";
import {
  beforeMac1,
  beforeMac2,
  type CookieReply,
  encodeCookieReply,
  mac1Of,
  mac2Of,
  senderOf,
} from "./messages.ts";

/** Fills an array from a cryptographically secure source. */
export type RandomSource = (bytes: Uint8Array) => void;

/** The responder's side: checks both MACs and hands out cookies. One for a device. */
export class CookieChecker {
  readonly #crypto: HandshakeCrypto;
  readonly #random: RandomSource;
  readonly #mac1Key: Uint8Array;
  readonly #cookieKey: Uint8Array;
  readonly #secret = new Uint8Array(KEY_BYTES);
  #secretMadeAt = -Infinity;

  /** @param publicKey Static public key of the device. */
  constructor(crypto: HandshakeCrypto, publicKey: Uint8Array, options: { readonly random: RandomSource }) {
    this.#crypto = crypto;
    this.#random = options.random;
    this.#mac1Key = crypto.hash(ascii(LABEL_MAC1), publicKey);
    this.#cookieKey = crypto.hash(ascii(LABEL_COOKIE), publicKey);
  }

  /** Whether the sender of a handshake message knows our public key. */
  hasValidMac1(datagram: Uint8Array): boolean {
    return equalBytes(this.#crypto.mac(this.#mac1Key, beforeMac1(datagram)), mac1Of(datagram));
  }

  /** Whether the sender of a handshake message holds a cookie for the address it sends from. */
  hasValidMac2(datagram: Uint8Array, source: PeerEndpoint, now: number): boolean {
    const cookie = this.#cookieOf(source, now);
    const valid = equalBytes(this.#crypto.mac(cookie, beforeMac2(datagram)), mac2Of(datagram));
    wipe(cookie);
    return valid;
  }

  /** The cookie reply to a handshake message whose MAC1 was valid. */
  reply(datagram: Uint8Array, source: PeerEndpoint, now: number): Uint8Array {
    const nonce = new Uint8Array(COOKIE_NONCE_BYTES);
    this.#random(nonce);
    const cookie = this.#cookieOf(source, now);
    const box = { key: this.#cookieKey, nonce, associatedData: mac1Of(datagram) };
    const encryptedCookie = this.#crypto.sealCookie(box, cookie);
    wipe(cookie);
    return encodeCookieReply({ receiver: senderOf(datagram), nonce, encryptedCookie });
  }

  /** Zeroes the secret. The next use makes a new one. */
  wipe(): void {
    wipe(this.#secret);
    this.#secretMadeAt = -Infinity;
  }

  #cookieOf(source: PeerEndpoint, now: number): Uint8Array {
    if (now - this.#secretMadeAt >= COOKIE_LIFETIME_MS) {
      this.#random(this.#secret);
      this.#secretMadeAt = now;
    }
    return this.#crypto.mac(this.#secret, source.toBytes());
  }
}

/** The sender's side: writes both MACs and keeps the cookie a peer sent. One for each peer. */
export class CookieJar {
  readonly #crypto: HandshakeCrypto;
  readonly #mac1Key: Uint8Array;
  readonly #cookieKey: Uint8Array;
  #lastMac1: Uint8Array | undefined;
  #cookie: { readonly bytes: Uint8Array; readonly receivedAt: number } | undefined;

  /** @param publicKey Static public key of the peer. */
  constructor(crypto: HandshakeCrypto, publicKey: Uint8Array) {
    this.#crypto = crypto;
    this.#mac1Key = crypto.hash(ascii(LABEL_MAC1), publicKey);
    this.#cookieKey = crypto.hash(ascii(LABEL_COOKIE), publicKey);
  }

  /** Writes MAC1, and MAC2 if there is a cookie that is fresh enough, into a handshake message. */
  addMacs(datagram: Uint8Array, now: number): void {
    const mac1 = this.#crypto.mac(this.#mac1Key, beforeMac1(datagram));
    mac1Of(datagram).set(mac1);
    this.#lastMac1 = mac1;
    const cookie = this.#cookie;
    if (cookie === undefined) return;
    if (now - cookie.receivedAt >= COOKIE_LIFETIME_MS - COOKIE_LATENCY_MS) return this.wipe();
    mac2Of(datagram).set(this.#crypto.mac(cookie.bytes, beforeMac2(datagram)));
  }

  /**
   * Keeps the cookie of a reply for the next message; none is sent because of it.
   *
   * @returns Whether the reply answers the last message we sent. One reply is taken per message.
   */
  consume(reply: CookieReply, now: number): boolean {
    if (this.#lastMac1 === undefined) return false;
    const box = { key: this.#cookieKey, nonce: reply.nonce, associatedData: this.#lastMac1 };
    const bytes = this.#crypto.openCookie(box, reply.encryptedCookie);
    if (bytes === undefined) return false;
    this.wipe();
    this.#lastMac1 = undefined;
    this.#cookie = { bytes, receivedAt: now };
    return true;
  }

  /** Zeroes the cookie. */
  wipe(): void {
    wipe(this.#cookie?.bytes);
    this.#cookie = undefined;
  }
}
