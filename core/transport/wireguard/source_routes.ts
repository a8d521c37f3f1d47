/**
 * Whether a peer may still be answered from the address that it asked. It may as long as the routing table leads
 * from there to the peer by the link that the peer was heard on; otherwise the routing table picks the source, as
 * it does in the kernel's WireGuard. So a host that moves to another network is followed at its next packet.
 *
 * An answer of the routing table holds until something in it changes.
 */

import type { RouteQuestion } from "../../../ffi/route_lookup.ts";
import type { PeerEndpoint } from "../../wireguard/endpoint.ts";

/** The part of a `RouteLookup` that is used. */
export interface RoutingTable {
  outIndex(question: RouteQuestion): number | undefined;
  hasChanged(): boolean;
}

/** How often changes are looked for while packets are sent, in ms. */
const INTERVAL_MS = 50;

/** What is known of an endpoint. */
interface Verdict {
  readonly generation: number;
  /** The endpoint itself, or the same without a source. */
  readonly use: PeerEndpoint;
}

/** See the module. */
export class SourceRoutes {
  readonly #table: RoutingTable | undefined;
  readonly #verdicts = new WeakMap<PeerEndpoint, Verdict>();
  #generation = 0;
  #lastPoll = -Infinity;
  /** The last endpoint that may be used as it is. */
  #last: PeerEndpoint | undefined;
  #fwmark = 0;

  /** @param table Undefined where there is none to ask: then every source is good. */
  constructor(table: RoutingTable | undefined) {
    this.#table = table;
  }

  /** Mark of what is sent, u32. */
  set fwmark(fwmark: number) {
    this.#fwmark = fwmark;
    this.#forget();
  }

  /** Looks for changes, if that was not done just now. @param now Monotonic ms. */
  poll(now: number): void {
    if (now - this.#lastPoll < INTERVAL_MS) return;
    this.#lastPoll = now;
    this.#look();
  }

  /** The endpoint as it is to be sent to: itself, or without a source that is no good now. */
  resolve(endpoint: PeerEndpoint): PeerEndpoint {
    if (endpoint === this.#last) return endpoint;
    let use = this.#judge(endpoint);
    // Its source may be good again just now: the peer goes where it is answered from, so that is worth a look.
    if (use !== endpoint && this.#look()) use = this.#judge(endpoint);
    this.#last = use === endpoint ? endpoint : undefined;
    return use;
  }

  #judge(endpoint: PeerEndpoint): PeerEndpoint {
    // A link-local address leaves by its own link, which no route tells.
    if (this.#table === undefined || endpoint.local === undefined || endpoint.scopeId !== 0) return endpoint;
    const known = this.#verdicts.get(endpoint);
    if (known?.generation === this.#generation) return known.use;
    const { address, interfaceIndex } = endpoint.local;
    const question = { destination: endpoint.address, source: address, fwmark: this.#fwmark };
    try {
      const use = this.#table.outIndex(question) === interfaceIndex ? endpoint : endpoint.withoutLocal();
      this.#verdicts.set(endpoint, { generation: this.#generation, use });
      return use;
    } catch {
      // The kernel had no memory for its answer: no reason to stop, and the next packet asks again.
      return endpoint.withoutLocal();
    }
  }

  #look(): boolean {
    if (!this.#hasChanged()) return false;
    this.#forget();
    return true;
  }

  /** What cannot be told may have changed. */
  #hasChanged(): boolean {
    try {
      return this.#table?.hasChanged() === true;
    } catch {
      return true;
    }
  }

  #forget(): void {
    this.#generation++;
    this.#last = undefined;
  }
}
