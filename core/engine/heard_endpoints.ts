/**
 * Where peers and guests were last heard from, kept so that the next process looks for them there: a device in
 * user space ends with its process, and a guest, or a peer behind a NAT, can be found in no other way.
 *
 * Peers may move with every packet. What is written is where they are after a while, all in one transaction.
 */

import type { PeerEndpoint } from "../network/peer_spec.ts";
import { formatPeerEndpoint, samePeerEndpoint } from "../network/peer_spec.ts";
import { peerKey } from "../state/state_store.ts";
import type { EngineContext } from "./context.ts";
import { bootUnixSecs, toDevicePeer } from "./devices.ts";
import type { HeardPeer, PeerObserver, SeenPeer } from "./peer_watch.ts";

/** Time that moves are gathered for. */
const GATHER_MS = 1_000;

/** See the module. */
export class HeardEndpoints implements PeerObserver {
  readonly #context: EngineContext;
  /** Where peers are that are not so recorded yet. */
  readonly #moved = new Map<string, SeenPeer | HeardPeer>();
  #cancel: (() => void) | undefined;
  #stopped = false;

  constructor(context: EngineContext) {
    this.#context = context;
  }

  onLook(peers: readonly SeenPeer[]): void {
    this.#note(peers);
  }

  onNews(peers: readonly HeardPeer[]): void {
    this.#note(peers);
  }

  /** Writes what is not written yet and ends. */
  stop(): void {
    this.#stopped = true;
    this.#write();
  }

  #note(peers: readonly (SeenPeer | HeardPeer)[]): void {
    for (const peer of peers) {
      if (this.#isNew(peer)) this.#moved.set(peerKey(peer.service, peer.key), peer);
    }
    if (this.#moved.size === 0 || this.#stopped) return;
    this.#cancel ??= this.#context.clock.after(GATHER_MS, () => this.#write());
  }

  /** Forgets a move that is not written yet. */
  forget(service: string, key: string): void {
    this.#moved.delete(peerKey(service, key));
  }

  /** Whether the records do not say yet where a peer is that has been heard from. */
  #isNew({ service, key, endpoint, lastHandshakeUnixSecs, isGuest }: SeenPeer | HeardPeer): boolean {
    if (endpoint === undefined || lastHandshakeUnixSecs === 0 || isLinkLocal(endpoint)) return false;
    const { store } = this.#context;
    const id = peerKey(service, key);
    if (!isGuest && !store.peers.has(id)) return false;
    const heard = store.heard.get(id);
    if (this.#moved.has(id)) return true;
    if (this.#isWhereSaid(id, endpoint)) return heard !== undefined;
    return heard?.endpoint !== formatPeerEndpoint(endpoint) ||
      heard.heardUnixSecs < bootUnixSecs(this.#context);
  }

  #isWhereSaid(id: string, endpoint: PeerEndpoint): boolean {
    const record = this.#context.store.peers.get(id);
    return record !== undefined && samePeerEndpoint(toDevicePeer(record).endpoint, endpoint);
  }

  #write(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    const moved = [...this.#moved];
    this.#moved.clear();
    if (moved.length === 0) return;
    const { store, clock, log } = this.#context;
    const guests = new Set([...store.guests.values()].map((guest) => guest.publicKey));
    try {
      store.record("peers heard from", (write) => {
        for (const [id, { service, key, endpoint }] of moved) {
          const isThere = store.peers.has(id) || (service === "" && guests.has(key));
          if (!isThere || this.#isWhereSaid(id, endpoint!)) {
            write.deleteHeard(service, key);
            continue;
          }
          const heardUnixSecs = clock.wallSeconds();
          write.putHeard({
            service,
            publicKey: key,
            endpoint: formatPeerEndpoint(endpoint!),
            heardUnixSecs,
          });
        }
      });
    } catch (err) {
      // The next look finds them again.
      log.warn("cannot record where peers were heard from", { err });
    }
  }
}

/** Such an address is one only together with a link (RFC 4291 §2.5.6), whose number may be another's next time. */
function isLinkLocal({ ip }: PeerEndpoint): boolean {
  return ip.family === 6 && ip.value >> 118n === 0x3fan;
}
