/** What the parts of a device share: its identity, tables, sources and the list of outputs. */

import { AllowedIps } from "./allowed_ips.ts";
import { wipe } from "./bytes.ts";
import { CookieChecker, type RandomSource } from "./cookie.ts";
import type { CryptoProvider } from "./crypto_provider.ts";
import { DeadlineHeap } from "./deadline_heap.ts";
import type { PeerEndpoint } from "./endpoint.ts";
import type { StaticKeys } from "./handshake.ts";
import { IndexTable } from "./index_table.ts";
import { jitterSource } from "./jitter.ts";
import type { Keypair } from "./keypair.ts";
import { LoadMeter } from "./load_meter.ts";
import { type DeviceOutput, type DropCounters, type DropReason, newDropCounters } from "./output.ts";
import type { Peer } from "./peer.ts";
import { RateLimiter } from "./rate_limiter.ts";
import { StagingRoom } from "./staged_packets.ts";
import { TimestampSource } from "./tai64n.ts";

/** Everything a device takes from outside. */
export interface DeviceEnvironment {
  readonly crypto: CryptoProvider;
  /** Fills an array from a cryptographically secure source. */
  readonly random: RandomSource;
  /** Milliseconds since 1970 (UTC): for timestamps in handshakes and for display only. */
  readonly wallClockMs: () => number;
}

/** What a receiver index stands for: a session, or a handshake that waits for its response. */
export interface Receiver {
  readonly peer: Peer;
  /** Undefined for a handshake. */
  readonly keypair: Keypair | undefined;
}

/** The static keys of a device and the MACs that depend on them. */
export interface Identity extends StaticKeys {
  readonly cookies: CookieChecker;
}

/** Shared state of a device. */
export class DeviceContext {
  readonly crypto: CryptoProvider;
  readonly random: RandomSource;
  readonly wallClockMs: () => number;
  readonly timestamps: TimestampSource;
  readonly jitterMs: () => number;
  /** By public key in hex. */
  readonly peers: Map<string, Peer> = new Map();
  readonly receivers: IndexTable<Receiver>;
  readonly allowedIps: AllowedIps<Peer> = new AllowedIps();
  readonly wakeups: DeadlineHeap<Peer> = new DeadlineHeap();
  readonly load: LoadMeter;
  readonly limiter: RateLimiter = new RateLimiter();
  readonly drops: DropCounters = newDropCounters();
  readonly staging: StagingRoom = new StagingRoom();
  identity: Identity | undefined;
  mtuBytes: number;
  #outputs: DeviceOutput[] = [];

  constructor(
    environment: DeviceEnvironment,
    options: { readonly mtuBytes: number; readonly handshakesPerSecond: number },
  ) {
    this.crypto = environment.crypto;
    this.random = environment.random;
    this.wallClockMs = environment.wallClockMs;
    this.timestamps = new TimestampSource(environment.wallClockMs);
    this.jitterMs = jitterSource(this.randomU32());
    this.receivers = new IndexTable(() => this.randomU32());
    this.mtuBytes = options.mtuBytes;
    this.load = new LoadMeter(options.handshakesPerSecond);
  }

  /** An unpredictable number, 0 to 2^32-1. */
  randomU32(): number {
    const bytes = new Uint8Array(4);
    this.random(bytes);
    return new DataView(bytes.buffer).getUint32(0, true);
  }

  /** Fresh random bytes. */
  randomBytes(count: number): Uint8Array {
    const bytes = new Uint8Array(count);
    this.random(bytes);
    return bytes;
  }

  /** Replaces the identity. @param privateKey 32 bytes, copied; undefined for none. */
  setIdentity(privateKey: Uint8Array | undefined): void {
    this.identity?.cookies.wipe();
    wipe(this.identity?.privateKey);
    this.identity = undefined;
    if (privateKey === undefined) return;
    const publicKey = this.crypto.handshake.x25519PublicKey(privateKey);
    const cookies = new CookieChecker(this.crypto.handshake, publicKey, { random: this.random });
    this.identity = { privateKey: Uint8Array.from(privateKey), publicKey, cookies };
  }

  /** Adds something for the caller to do. */
  emit(output: DeviceOutput): void {
    this.#outputs.push(output);
  }

  /** Whether anything waits for the caller. */
  get hasOutputs(): boolean {
    return this.#outputs.length > 0;
  }

  /** Hands over what waits for the caller. */
  takeOutputs(): DeviceOutput[] {
    const outputs = this.#outputs;
    if (outputs.length > 0) this.#outputs = [];
    return outputs;
  }

  /** Counts something dropped. */
  drop(reason: DropReason, count = 1): void {
    this.drops[reason] += count;
  }

  /** Follows a peer to where it was heard from. */
  roam(peer: Peer, source: PeerEndpoint): void {
    if (peer.endpoint === source) return;
    if (peer.endpoint?.equals(source) === true) return;
    peer.endpoint = source;
    this.emit({ kind: "roamed", peer });
  }
}
