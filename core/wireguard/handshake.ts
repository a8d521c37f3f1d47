/**
 * The two sides of a handshake: what goes into the two messages, what comes out as session keys.
 *
 *     initiator                                          responder
 *     Initiator.start() ------- initiation -------->     Responder.open()
 *                                                        Responder.finish(), then .respond()
 *     .complete()       <------ response -----------
 *
 * The responder answers at once and keeps no state between messages, so a peer that initiates while it is itself
 * being initiated to loses neither handshake. Who the peer is, whether the timestamp is newer and whether the
 * MACs are right is for the caller.
 *
 * @see WireGuard paper §5.4.2, §5.4.3, §5.4.5.
 */

import { EMPTY, wipe } from "./bytes.ts";
import type { HandshakeCrypto } from "./crypto_provider.ts";
import { encodeInitiation, encodeResponse, type Initiation, type Response } from "./messages.ts";
import { SymmetricState } from "./noise.ts";

/** A static key pair, 32 bytes each. */
export interface StaticKeys {
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
}

/** What a device knows about a peer before a handshake. */
export interface PeerSecrets {
  /** Static public key, 32 bytes. */
  readonly publicKey: Uint8Array;
  /** X25519 of our static private key and the peer's public one; undefined if the public one is of low order. */
  readonly staticShared: Uint8Array | undefined;
  /** 32 bytes, zeros for none. */
  readonly presharedKey: Uint8Array;
}

/** Keys of a session, 32 bytes each. The caller zeroes them when they are imported. */
export interface SessionKeys {
  readonly send: Uint8Array;
  readonly receive: Uint8Array;
}

/** What a message is made of besides keys. */
export interface InitiationInputs {
  /** Fresh randomness, 32 bytes; the handshake owns it from here on and zeroes it. */
  readonly ephemeralPrivate: Uint8Array;
  /** TAI64N, 12 bytes. */
  readonly timestamp: Uint8Array;
  /** Index we want to be addressed by. */
  readonly sender: number;
}

/** A handshake that we started and that waits for its response. */
export class Initiator {
  readonly #crypto: HandshakeCrypto;
  readonly #state: SymmetricState;
  readonly #ephemeralPrivate: Uint8Array;

  private constructor(crypto: HandshakeCrypto, state: SymmetricState, ephemeralPrivate: Uint8Array) {
    this.#crypto = crypto;
    this.#state = state;
    this.#ephemeralPrivate = ephemeralPrivate;
  }

  /**
   * Starts a handshake.
   *
   * @returns The message, with zeros for its MACs, and what is needed to understand the response; undefined when
   * the peer's key is of low order.
   */
  static start(
    crypto: HandshakeCrypto,
    keys: { readonly own: StaticKeys; readonly peer: PeerSecrets },
    inputs: InitiationInputs,
  ): { readonly message: Uint8Array; readonly handshake: Initiator } | undefined {
    const { own, peer } = keys;
    const ephemeral = crypto.x25519PublicKey(inputs.ephemeralPrivate);
    const shared = crypto.x25519(inputs.ephemeralPrivate, peer.publicKey);
    if (shared === undefined || peer.staticShared === undefined) {
      wipe(shared, inputs.ephemeralPrivate);
      return undefined;
    }
    const state = SymmetricState.start(crypto, peer.publicKey);
    state.mixEphemeral(ephemeral);
    state.mixKey(shared);
    const encryptedStatic = state.encryptAndHash(own.publicKey);
    state.mixKey(peer.staticShared);
    const encryptedTimestamp = state.encryptAndHash(inputs.timestamp);
    wipe(shared);
    return {
      message: encodeInitiation({ sender: inputs.sender, ephemeral, encryptedStatic, encryptedTimestamp }),
      handshake: new Initiator(crypto, state, inputs.ephemeralPrivate),
    };
  }

  /**
   * Reads the response.
   *
   * @returns Session keys, or undefined when the response is not genuine; the handshake then goes on waiting.
   */
  complete(
    response: Response,
    keys: { readonly own: StaticKeys; readonly peer: PeerSecrets },
  ): SessionKeys | undefined {
    const ephemeralShared = this.#crypto.x25519(this.#ephemeralPrivate, response.ephemeral);
    const staticShared = this.#crypto.x25519(keys.own.privateKey, response.ephemeral);
    const state = this.#state.clone();
    try {
      if (ephemeralShared === undefined || staticShared === undefined) return undefined;
      state.mixEphemeral(response.ephemeral);
      state.mixChainingKey(ephemeralShared);
      state.mixChainingKey(staticShared);
      state.mixPresharedKey(keys.peer.presharedKey);
      if (state.decryptAndHash(response.encryptedNothing) === undefined) return undefined;
      const { fromInitiator, fromResponder } = state.split();
      return { send: fromInitiator, receive: fromResponder };
    } finally {
      state.wipe();
      wipe(ephemeralShared, staticShared);
    }
  }

  /** Zeroes the secrets: completed, replaced or given up. */
  wipe(): void {
    this.#state.wipe();
    wipe(this.#ephemeralPrivate);
  }
}

/** An initiation that we are about to answer. Lives for the handling of one datagram. */
export class Responder {
  readonly #crypto: HandshakeCrypto;
  readonly #state: SymmetricState;
  readonly #initiation: Initiation;
  /** Static public key of the initiator, not proven to be its own before {@linkcode Responder.finish}. */
  readonly claimedStatic: Uint8Array;

  private constructor(
    crypto: HandshakeCrypto,
    state: SymmetricState,
    initiation: Initiation,
    claimedStatic: Uint8Array,
  ) {
    this.#crypto = crypto;
    this.#state = state;
    this.#initiation = initiation;
    this.claimedStatic = claimedStatic;
  }

  /** Decrypts who the initiator says it is; undefined when the message was not made for our static key. */
  static open(crypto: HandshakeCrypto, own: StaticKeys, initiation: Initiation): Responder | undefined {
    const shared = crypto.x25519(own.privateKey, initiation.ephemeral);
    if (shared === undefined) return undefined;
    const state = SymmetricState.start(crypto, own.publicKey);
    state.mixEphemeral(initiation.ephemeral);
    state.mixKey(shared);
    wipe(shared);
    const claimed = state.decryptAndHash(initiation.encryptedStatic);
    if (claimed !== undefined) return new Responder(crypto, state, initiation, claimed);
    state.wipe();
    return undefined;
  }

  /**
   * Checks that the initiator owns the key it claims.
   *
   * @param staticShared X25519 of our static private key and the claimed public one.
   * @returns Its TAI64N timestamp, 12 bytes, or undefined.
   */
  finish(staticShared: Uint8Array): Uint8Array | undefined {
    this.#state.mixKey(staticShared);
    return this.#state.decryptAndHash(this.#initiation.encryptedTimestamp);
  }

  /**
   * Makes the response.
   *
   * @param inputs `ephemeralPrivate` is fresh randomness of 32 bytes, zeroed here; `sender` is our index.
   * @returns The message, with zeros for its MACs, and the session keys; undefined when a key is of low order.
   */
  respond(
    peer: PeerSecrets,
    inputs: Omit<InitiationInputs, "timestamp">,
  ): { readonly message: Uint8Array; readonly keys: SessionKeys } | undefined {
    const ephemeral = this.#crypto.x25519PublicKey(inputs.ephemeralPrivate);
    const ephemeralShared = this.#crypto.x25519(inputs.ephemeralPrivate, this.#initiation.ephemeral);
    const staticShared = this.#crypto.x25519(inputs.ephemeralPrivate, peer.publicKey);
    wipe(inputs.ephemeralPrivate);
    if (ephemeralShared === undefined || staticShared === undefined) {
      wipe(ephemeralShared, staticShared);
      return undefined;
    }
    this.#state.mixEphemeral(ephemeral);
    this.#state.mixChainingKey(ephemeralShared);
    this.#state.mixChainingKey(staticShared);
    wipe(ephemeralShared, staticShared);
    this.#state.mixPresharedKey(peer.presharedKey);
    const encryptedNothing = this.#state.encryptAndHash(EMPTY);
    const { fromInitiator, fromResponder } = this.#state.split();
    const receiver = this.#initiation.sender;
    return {
      message: encodeResponse({ sender: inputs.sender, receiver, ephemeral, encryptedNothing }),
      keys: { send: fromResponder, receive: fromInitiator },
    };
  }

  /** Zeroes the secrets. */
  wipe(): void {
    this.#state.wipe();
  }
}
