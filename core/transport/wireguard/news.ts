/**
 * What the protocol learns of peers, gathered for whoever is not on the data path.
 *
 * Any number of handshakes and moves may come between two looks of the reader, also from somebody who wants to
 * keep it busy. So what is kept is how each peer stands, once, and it is handed over a few times a second at
 * most: memory and messages are bounded by the peers that the caller has configured. Pure.
 */

import type { SocketAddress } from "../../../ffi/sockaddr.ts";
import type { DeviceOutput } from "../../wireguard/output.ts";
import type { Peer } from "../../wireguard/peer.ts";

/** News as the protocol core calls them. */
export type NewsKind = Extract<DeviceOutput["kind"], "session" | "roamed" | "unreachable">;

/** How a peer stands. */
export interface NewsItem {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** How the newest handshake went, if one ended since the last news. */
  readonly handshake?: "completed" | "failed";
  /** ms since 1970, undefined for never. */
  readonly lastHandshakeUnixMs: number | undefined;
  readonly endpoint: SocketAddress | undefined;
}

/** Time between two hand-overs, the first of which is at once. */
const INTERVAL_MS = 250;

/** See the module. */
export class PeerNewsBoard {
  readonly #kinds = new Map<Peer, NewsItem["handshake"]>();
  #notBefore = -Infinity;

  /** Keeps one piece of news; of two handshakes of a peer the newer counts. */
  note(peer: Peer, kind: NewsKind): void {
    const before = this.#kinds.get(peer);
    this.#kinds.set(peer, kind === "session" ? "completed" : kind === "unreachable" ? "failed" : before);
  }

  /** When there will be something to take, monotonic ms; `Infinity` while there is no news. */
  get deadline(): number {
    return this.#kinds.size === 0 ? Infinity : this.#notBefore;
  }

  /** Hands all of it over, each peer as it stands now. */
  take(now: number): NewsItem[] {
    this.#notBefore = now + INTERVAL_MS;
    const news = [...this.#kinds].map(([peer, handshake]) => describeNews(peer, handshake));
    this.#kinds.clear();
    return news;
  }
}

function describeNews(peer: Peer, handshake: NewsItem["handshake"]): NewsItem {
  const { publicKey, lastHandshakeUnixMs, endpoint } = peer;
  return {
    publicKey,
    ...handshake === undefined ? {} : { handshake },
    lastHandshakeUnixMs,
    endpoint: endpoint && { address: endpoint.address, port: endpoint.port, scopeId: endpoint.scopeId },
  };
}
