/**
 * Health of peers, told as events. Every peer is told when first seen and then on each change, at once where its
 * device tells of handshakes, else after the next look; one that goes is not told. How a peer is judged:
 * `wireguard/health.ts`.
 */

import type { OverlayEvent } from "../service.ts";
import { peerKey } from "../state/state_store.ts";
import { isPeerHealthy, judgePeer } from "../wireguard/health.ts";
import type { EngineContext } from "./context.ts";
import type { HeardPeer, PeerObserver, SeenPeer } from "./peer_watch.ts";

/** What is remembered of a peer. */
interface Known {
  healthy: boolean;
  /** Unix time in seconds, 0 = never. */
  lastHandshake: number;
  /** `lastHandshake` at the time a handshake was given up; undefined for not since. */
  gaveUpAfter: number | undefined;
  /** Bytes sent by the first look that found the handshake old. */
  sentBefore: number | undefined;
  /** Whether the look before this one found that something was sent to it in vain. */
  wasSentTo: boolean;
}

/** See the module. */
export class PeerHealth implements PeerObserver {
  readonly #context: EngineContext;
  readonly #emit: (event: OverlayEvent) => void;
  #known = new Map<string, Known>();
  /** Whether a look has told of all peers: whoever connected after the start has not heard what came before. */
  #hasLooked = false;

  constructor(context: EngineContext, emit: (event: OverlayEvent) => void) {
    this.#context = context;
    this.#emit = emit;
  }

  /** Whether a peer was healthy when last heard or looked at. */
  isHealthy(service: string, key: string): boolean {
    return this.#known.get(peerKey(service, key))?.healthy === true;
  }

  onLook(peers: readonly SeenPeer[]): void {
    const known = new Map<string, Known>();
    const told: OverlayEvent[] = [];
    for (const peer of peers) {
      const id = peerKey(peer.service, peer.key);
      const before = this.#known.get(id);
      const next = this.#judgeSeen(peer, before);
      known.set(id, next);
      if (!this.#hasLooked || before?.healthy !== next.healthy) told.push(healthEvent(peer.key, next));
    }
    this.#known = known;
    this.#hasLooked = true;
    told.forEach(this.#emit);
  }

  onNews(peers: readonly HeardPeer[]): void {
    for (const { service, key, handshake, lastHandshakeUnixSecs } of peers) {
      if (handshake === undefined) continue;
      const id = peerKey(service, key);
      const before = this.#known.get(id);
      const next = this.#judge({
        lastHandshake: lastHandshakeUnixSecs,
        gaveUpAfter: handshake === "failed" ? lastHandshakeUnixSecs : undefined,
        sentBefore: undefined,
        wasSentTo: false,
      }, { before, isExpected: true });
      this.#known.set(id, next);
      if (before?.healthy !== next.healthy) this.#emit(healthEvent(key, next));
    }
  }

  #judgeSeen(peer: SeenPeer, before: Known | undefined): Known {
    const { lastHandshakeUnixSecs: lastHandshake, txBytes } = peer;
    const isOld = !isPeerHealthy(lastHandshake * 1000, this.#now);
    const sentBefore = isOld ? before?.sentBefore ?? txBytes : undefined;
    const isSame = before?.gaveUpAfter === lastHandshake;
    return this.#judge({
      lastHandshake,
      gaveUpAfter: isSame ? before?.gaveUpAfter : undefined,
      sentBefore,
      wasSentTo: sentBefore !== undefined && txBytes > sentBefore,
    }, { before, isExpected: peer.keepaliveSeconds > 0 || peer.isGuest || before?.wasSentTo === true });
  }

  #judge(
    facts: Omit<Known, "healthy">,
    { before, isExpected }: { readonly before: Known | undefined; readonly isExpected: boolean },
  ): Known {
    const { lastHandshake } = facts;
    const signs = {
      lastHandshakeAt: lastHandshake === 0 ? undefined : lastHandshake * 1000,
      hasGivenUp: facts.gaveUpAfter !== undefined,
      isExpected,
    };
    return { ...facts, healthy: judgePeer(signs, this.#now, before?.healthy) };
  }

  get #now(): number {
    return this.#context.clock.wallSeconds() * 1000;
  }
}

function healthEvent(pubkey: string, { healthy }: Known): OverlayEvent {
  return { event: "peer_health_changed", pubkey, healthy };
}
