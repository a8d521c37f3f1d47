/** A peer: what was configured and what the protocol remembers of it. Changed by its device only. */

import { wipe } from "./bytes.ts";
import { KEY_BYTES, TIMESTAMP_BYTES } from "./constants.ts";
import type { CryptoProvider } from "./crypto_provider.ts";
import { CookieJar } from "./cookie.ts";
import type { PeerEndpoint } from "./endpoint.ts";
import type { Initiator, PeerSecrets } from "./handshake.ts";
import { type Keypair, Keypairs } from "./keypair.ts";
import { StagedPackets, type StagingRoom } from "./staged_packets.ts";
import { PeerTimers, type TimerHooks } from "./timers.ts";

/** What a peer needs of its device. */
export interface PeerHooks extends TimerHooks {
  /** Gives a receiver index back. */
  readonly releaseIndex: (index: number) => void;
  /** Where packets wait, with those of all other peers. */
  readonly staging: StagingRoom;
}

/** A peer of a device. */
export class Peer implements PeerSecrets {
  /** Static public key, 32 bytes. */
  readonly publicKey: Uint8Array;
  /** Preshared key, 32 bytes, zeros for none. */
  readonly presharedKey: Uint8Array = new Uint8Array(KEY_BYTES);
  /** Shared secret of the static keys; undefined before the first handshake, or when the peer's is of low order. */
  staticShared: Uint8Array | undefined;
  /** Where to send to: configured, or where the last authentic message came from. */
  endpoint: PeerEndpoint | undefined;
  /** 0 for off. */
  persistentKeepaliveSeconds = 0;

  /** Bytes of authentic UDP payload received. */
  rxBytes = 0;
  /** Bytes of UDP payload sent. */
  txBytes = 0;
  /** When the last handshake was completed, monotonic ms; undefined for never. */
  lastHandshakeAt: number | undefined;
  /** The same in ms since 1970, for display. */
  lastHandshakeUnixMs: number | undefined;

  /** Deadlines. */
  readonly timers: PeerTimers;
  /** Session keys. */
  readonly keypairs: Keypairs;
  /** MACs of what is sent to it. */
  readonly cookies: CookieJar;
  /** Packets that wait for a session; an empty one is a keepalive. */
  readonly staged: StagedPackets;
  /** The handshake that we started and that is not answered yet. */
  handshake: { readonly initiator: Initiator; readonly localIndex: number } | undefined;
  /** Greatest timestamp of its initiations, 12 bytes. */
  readonly latestTimestamp: Uint8Array = new Uint8Array(TIMESTAMP_BYTES);
  /** When its last initiation was accepted, monotonic ms. */
  initiationAcceptedAt = -Infinity;
  /** When an initiation or response was last sent to it, monotonic ms. */
  handshakeSentAt = -Infinity;
  /** Whether receiving has already asked to renew the session that is about to end. */
  isRenewing = false;

  readonly #hooks: PeerHooks;

  constructor(publicKey: Uint8Array, crypto: CryptoProvider, hooks: PeerHooks) {
    this.publicKey = Uint8Array.from(publicKey);
    this.#hooks = hooks;
    this.staged = new StagedPackets(hooks.staging);
    this.timers = new PeerTimers(hooks);
    this.keypairs = new Keypairs(crypto.packet, (keypair: Keypair) => hooks.releaseIndex(keypair.localIndex));
    this.cookies = new CookieJar(crypto.handshake, this.publicKey);
  }

  /** Gives up the handshake under way, if there is one, and zeroes it. */
  dropHandshake(): void {
    if (this.handshake === undefined) return;
    this.#hooks.releaseIndex(this.handshake.localIndex);
    this.handshake.initiator.wipe();
    this.handshake = undefined;
  }

  /** Drops and zeroes all keys that expire: sessions, handshake, cookie. */
  zeroKeys(): void {
    this.dropHandshake();
    this.keypairs.clear();
    this.cookies.wipe();
  }

  /** Zeroes everything secret, on removal. */
  wipe(): void {
    this.zeroKeys();
    this.timers.clear();
    this.staged.takeAll();
    wipe(this.presharedKey);
    this.forgetStaticShared();
  }

  /** Zeroes the shared secret of the static keys; the next handshake makes it again. */
  forgetStaticShared(): void {
    wipe(this.staticShared);
    this.staticShared = undefined;
  }
}
