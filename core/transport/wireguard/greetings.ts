/**
 * Peers that are to be greeted after a restart, one after another: a thousand handshakes at once would stop the
 * data path for a second, and the answers would put the device under load. Who has traffic does not wait for its
 * turn: a packet to a peer asks for a handshake by itself, and one from a peer, of a session that is no more, has
 * that peer greeted next. Pure.
 */

import type { PeerEndpoint } from "../../wireguard/endpoint.ts";
import type { Peer } from "../../wireguard/peer.ts";

/** See the module. Times are monotonic ms. */
export class Greetings {
  readonly #intervalMs: number;
  /** The next one last. */
  #waiting: Peer[] = [];
  /** Who waits, by place. */
  #places = new Map<string, Peer>();
  #notBefore = -Infinity;

  /** @param intervalMs Time between two greetings. */
  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  /** Greets these, in their order, instead of those that wait. */
  start(peers: readonly Peer[]): void {
    this.#waiting = peers.toReversed();
    this.#places = new Map(
      peers.filter(({ endpoint }) => endpoint).map((peer) => [placeOf(peer.endpoint!), peer]),
    );
  }

  /** Something came from there: a peer at that place is next, once. */
  hasten(source: PeerEndpoint): void {
    if (this.#waiting.length === 0) return;
    const place = placeOf(source);
    const peer = this.#places.get(place);
    if (peer === undefined) return;
    this.#places.delete(place);
    this.#waiting.push(peer);
  }

  /** When the next one is to be greeted; `Infinity` when nobody waits. */
  get deadline(): number {
    return this.#waiting.length === 0 ? Infinity : this.#notBefore;
  }

  /**
   * Takes the peer whose turn it is; undefined if it is nobody's now.
   *
   * @param isWanted Whether a greeting still makes sense; those for whom it does not are passed over at once.
   */
  take(now: number, isWanted: (peer: Peer) => boolean): Peer | undefined {
    if (now < this.deadline) return undefined;
    let peer = this.#waiting.pop();
    while (peer !== undefined && !isWanted(peer)) peer = this.#waiting.pop();
    if (peer !== undefined) this.#notBefore = now + this.#intervalMs;
    return peer;
  }
}

/** Where a peer is, whatever our own address there. */
function placeOf(endpoint: PeerEndpoint): string {
  return `${endpoint} ${endpoint.scopeId}`;
}
