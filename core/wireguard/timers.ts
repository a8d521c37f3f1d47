/**
 * The timers of a peer: five deadlines and the rules that move them. No clock, no callbacks into the protocol:
 * events come in, {@linkcode PeerTimers.takeDue} says what to do.
 *
 *     retransmitHandshake   5 s + jitter after an initiation, until a response; given up 90 s after the first
 *     keepalive             10 s after data was received, if nothing is sent
 *     newHandshake          15 s + jitter after data was sent, if nothing is received
 *     zeroKeys              540 s after the last session, or after giving up
 *     persistentKeepalive   its interval after the last message in either direction
 *
 * Times are monotonic milliseconds. Moving a deadline costs a few comparisons, as it happens for every packet.
 *
 * @see WireGuard paper §6.2 to §6.5; Linux `drivers/net/wireguard/timers.c`.
 */

import {
  KEEPALIVE_TIMEOUT_MS,
  REKEY_ATTEMPT_TIME_MS,
  REKEY_TIMEOUT_MS,
  ZERO_KEYS_AFTER_MS,
} from "./constants.ts";

/** What a deadline that has passed asks for. */
export type TimerAction =
  | "retransmitHandshake"
  | "giveUpHandshake"
  | "keepalive"
  | "newHandshake"
  | "zeroKeys"
  | "persistentKeepalive";

/** Not armed. */
const NEVER = Infinity;

/** Where the timers get randomness from and whom they tell of a nearer deadline. */
export interface TimerHooks {
  /** 0 to 333 ms. */
  readonly jitterMs: () => number;
  /** Called when the earliest deadline may have come nearer. */
  readonly wakeAt: (deadline: number) => void;
}

/** Timers of one peer. */
export class PeerTimers {
  readonly #hooks: TimerHooks;
  #retransmit = NEVER;
  #keepalive = NEVER;
  #newHandshake = NEVER;
  #zeroKeys = NEVER;
  #persistent = NEVER;
  #persistentMs = 0;
  #attemptsSince = 0;

  constructor(hooks: TimerHooks) {
    this.#hooks = hooks;
  }

  /** The nearest deadline, `Infinity` when none is armed. */
  get deadline(): number {
    return Math.min(this.#retransmit, this.#keepalive, this.#newHandshake, this.#zeroKeys, this.#persistent);
  }

  /** Changes the interval of persistent keepalives and counts it from now. @param seconds 0 for off. */
  setPersistentKeepalive(seconds: number, now: number): void {
    this.#persistentMs = seconds * 1000;
    this.#persistent = NEVER;
    this.#armPersistent(now);
  }

  /** A packet was sent, not a keepalive: an answer is expected. */
  dataSent(now: number): void {
    if (this.#newHandshake !== NEVER) return;
    this.#newHandshake = now + KEEPALIVE_TIMEOUT_MS + REKEY_TIMEOUT_MS + this.#hooks.jitterMs();
    this.#hooks.wakeAt(this.#newHandshake);
  }

  /** A packet was received, not a keepalive: the peer expects an answer. */
  dataReceived(now: number): void {
    if (this.#keepalive !== NEVER) return;
    this.#keepalive = now + KEEPALIVE_TIMEOUT_MS;
    this.#hooks.wakeAt(this.#keepalive);
  }

  /** Any message was sent: packet, keepalive or handshake. */
  anySent(now: number): void {
    this.#keepalive = NEVER;
    this.#armPersistent(now);
  }

  /** Any authentic message was received: packet, keepalive or handshake. */
  anyReceived(now: number): void {
    this.#newHandshake = NEVER;
    this.#armPersistent(now);
  }

  /** Something new wants a handshake: attempts are counted from here. */
  handshakeWanted(now: number): void {
    this.#attemptsSince = now;
  }

  /** An initiation was sent. */
  handshakeInitiated(now: number): void {
    this.#retransmit = now + REKEY_TIMEOUT_MS + this.#hooks.jitterMs();
    this.#hooks.wakeAt(this.#retransmit);
  }

  /** Both sides are known to have the new keys. */
  handshakeComplete(): void {
    this.#retransmit = NEVER;
  }

  /** New keys were derived. */
  sessionDerived(now: number): void {
    this.#zeroKeys = now + ZERO_KEYS_AFTER_MS;
    this.#hooks.wakeAt(this.#zeroKeys);
  }

  /** The actions whose deadlines have passed, in the order to take them. Each deadline is disarmed. */
  takeDue(now: number): TimerAction[] {
    const due: TimerAction[] = [];
    if (this.#retransmit <= now) due.push(this.#retransmitOrGiveUp(now));
    if (this.#keepalive <= now) {
      this.#keepalive = NEVER;
      due.push("keepalive");
    }
    if (this.#newHandshake <= now) {
      this.#newHandshake = NEVER;
      due.push("newHandshake");
    }
    if (this.#zeroKeys <= now) {
      this.#zeroKeys = NEVER;
      due.push("zeroKeys");
    }
    if (this.#persistent <= now) {
      // Armed again first: a keepalive that cannot be sent must not be the last one.
      this.#armPersistent(now);
      due.push("persistentKeepalive");
    }
    return due;
  }

  /** Disarms all but persistent keepalives, which belong to the configuration. */
  clear(): void {
    this.#retransmit =
      this.#keepalive =
      this.#newHandshake =
      this.#zeroKeys =
        NEVER;
  }

  #retransmitOrGiveUp(now: number): TimerAction {
    this.#retransmit = NEVER;
    if (now - this.#attemptsSince < REKEY_ATTEMPT_TIME_MS) return "retransmitHandshake";
    this.#keepalive = NEVER;
    if (this.#zeroKeys === NEVER) this.sessionDerived(now);
    return "giveUpHandshake";
  }

  #armPersistent(now: number): void {
    if (this.#persistentMs === 0) return;
    const wasArmed = this.#persistent !== NEVER;
    this.#persistent = now + this.#persistentMs;
    // A deadline that moves away needs no wake-up of its own: the earlier one finds nothing due.
    if (!wasArmed) this.#hooks.wakeAt(this.#persistent);
  }
}
