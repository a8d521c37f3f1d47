/**
 * Session keys with their counters, and the three a peer holds.
 *
 * A rekey loses nothing in flight: the initiator sends under a new keypair at once and still receives under the
 * previous one; the responder keeps sending under the current one until the first message under the next one
 * proves that the initiator has it.
 *
 * @see WireGuard paper §5.4.5, §6.1, §6.3; Linux `drivers/net/wireguard/noise.c` for the rotation.
 */

import { REJECT_AFTER_TIME_MS, REKEY_AFTER_TIME_MS, REKEY_TIMEOUT_MS } from "./constants.ts";
import type { AeadKey, PacketCrypto } from "./crypto_provider.ts";
import { ReplayWindow } from "./replay_window.ts";

const TWO_32 = 2 ** 32;
/** Upper half of {@linkcode REKEY_AFTER_MESSAGES}; its lower half is zero. */
const REKEY_HIGH = 2 ** 28;
/** {@linkcode REJECT_AFTER_MESSAGES} in halves. */
const REJECT_HIGH = 0xffff_ffff;
const REJECT_LOW = 0xffff_dfff;

/** What a keypair is made of. */
export interface KeypairFields {
  /** Index the peer addresses us by, u32. */
  readonly localIndex: number;
  /** Index we address the peer by, u32. */
  readonly remoteIndex: number;
  readonly sendKey: AeadKey;
  readonly receiveKey: AeadKey;
  /** Whether we started the handshake: only then is it ours to renew. */
  readonly isInitiator: boolean;
  /** Whether it wins over one that was made at the same time by a handshake of the other side. */
  readonly isPreferred: boolean;
  /** Monotonic time, ms. */
  readonly createdAt: number;
}

/** The keys of one session in both directions. */
export class Keypair implements KeypairFields {
  readonly localIndex: number;
  readonly remoteIndex: number;
  readonly sendKey: AeadKey;
  readonly receiveKey: AeadKey;
  readonly isInitiator: boolean;
  readonly isPreferred: boolean;
  readonly createdAt: number;
  /** Counters received under {@linkcode Keypair.receiveKey}. */
  readonly replay: ReplayWindow = new ReplayWindow();
  /** Counter of the next message sent, upper half. */
  counterHigh = 0;
  /** Counter of the next message sent, lower half. */
  counterLow = 0;
  #maySend = true;

  constructor(fields: KeypairFields) {
    this.localIndex = fields.localIndex;
    this.remoteIndex = fields.remoteIndex;
    this.sendKey = fields.sendKey;
    this.receiveKey = fields.receiveKey;
    this.isInitiator = fields.isInitiator;
    this.isPreferred = fields.isPreferred;
    this.createdAt = fields.createdAt;
  }

  /** Whether messages may be sent under it: younger than 180 s and counters left. */
  canSend(now: number): boolean {
    return this.#maySend && now - this.createdAt < REJECT_AFTER_TIME_MS && !this.#isExhausted(1);
  }

  /** Whether messages received under it are to be looked at: younger than 180 s. */
  canReceive(now: number): boolean {
    return now - this.createdAt < REJECT_AFTER_TIME_MS;
  }

  /** Whether sending now has to start a new handshake: 2^60 messages sent, or ours to renew and 120 s old. */
  needsRekey(now: number): boolean {
    return this.counterHigh >= REKEY_HIGH ||
      (this.isInitiator && now - this.createdAt >= REKEY_AFTER_TIME_MS);
  }

  /**
   * Takes counters for as many messages, from {@linkcode Keypair.counterHigh} and `counterLow` upwards as they
   * were before the call.
   *
   * @returns False, and takes none, when fewer are left.
   */
  takeCounters(count: number): boolean {
    if (this.#isExhausted(count)) return false;
    const low = this.counterLow + count;
    this.counterLow = low >>> 0;
    if (low >= TWO_32) this.counterHigh++;
    return true;
  }

  /** Ends sending under it: our identity has changed. */
  stopSending(): void {
    this.#maySend = false;
  }

  #isExhausted(count: number): boolean {
    return this.counterHigh === REJECT_HIGH && this.counterLow + count > REJECT_LOW;
  }
}

/** Previous, current and next keypair of a peer. */
export class Keypairs {
  readonly #crypto: PacketCrypto;
  readonly #dropped: (keypair: Keypair) => void;
  #previous: Keypair | undefined;
  #current: Keypair | undefined;
  #next: Keypair | undefined;

  /** @param dropped Told of each keypair that is no longer held; its keys are released already. */
  constructor(crypto: PacketCrypto, dropped: (keypair: Keypair) => void) {
    this.#crypto = crypto;
    this.#dropped = dropped;
  }

  /** Still received under. */
  get previous(): Keypair | undefined {
    return this.#previous;
  }

  /** Sent and received under. */
  get current(): Keypair | undefined {
    return this.#current;
  }

  /** Made as responder and not yet proven: received under, not sent. */
  get next(): Keypair | undefined {
    return this.#next;
  }

  /**
   * Takes a new keypair.
   *
   * One of which we are the initiator is proven by the response and becomes current. A `next` stays next, other
   * than in the kernel: when both peers initiate at once, the other one may be about to use it, while messages
   * under the keypair that was current are still on their way.
   */
  add(keypair: Keypair): void {
    if (keypair.isInitiator) {
      this.#drop(this.#previous);
      this.#previous = this.#current;
      this.#current = keypair;
    } else {
      this.#drop(this.#next);
      this.#next = keypair;
    }
  }

  /**
   * Notes that an authentic message came in under a keypair. The next one is proven by that and becomes current,
   * or previous if a better one has come up since.
   *
   * @returns Whether the next keypair was proven.
   */
  confirm(keypair: Keypair): boolean {
    if (keypair !== this.#next) return false;
    this.#next = undefined;
    this.#drop(this.#previous);
    if (this.#current !== undefined && isBetter(this.#current, keypair)) {
      this.#previous = keypair;
    } else {
      this.#previous = this.#current;
      this.#current = keypair;
    }
    return true;
  }

  /** Ends sending under all of them; what is in flight is still received. The unproven one goes. */
  stopSending(): void {
    this.#drop(this.#next);
    this.#next = undefined;
    this.#current?.stopSending();
    this.#previous?.stopSending();
  }

  /** Drops all and zeroes their keys. */
  clear(): void {
    this.#drop(this.#previous);
    this.#drop(this.#current);
    this.#drop(this.#next);
    this.#previous = this.#current = this.#next = undefined;
  }

  #drop(keypair: Keypair | undefined): void {
    if (keypair === undefined) return;
    this.#crypto.releaseKey(keypair.sendKey);
    this.#crypto.releaseKey(keypair.receiveKey);
    this.#dropped(keypair);
  }
}

/**
 * Whether a keypair is to be sent under rather than another: the newer one is.
 *
 * A side initiates every 5 s at most, so two within that time, the one by our own handshake second, were made by
 * both sides initiating at once: the initiation of the peer came before its response to ours. Then both sides
 * choose the same one, or each would send under what the other drops first at the next rekey. An initiation that
 * comes later is of a peer that has lost its keys, as by a restart.
 */
function isBetter(keypair: Keypair, other: Keypair): boolean {
  const newerBy = keypair.createdAt - other.createdAt;
  return newerBy >= 0 && (newerBy >= REKEY_TIMEOUT_MS || keypair.isPreferred);
}
