/**
 * Events waiting for one connection: bounded, newest state per peer.
 *
 * A client reads only while it waits for a response, so events may wait for hours. Of two events of a kind
 * about one peer only the newer is worth keeping; when there are too many, the oldest go.
 *
 * Source: spec/ipc.md §1.
 */

import type { OverlayEvent } from "../core/service.ts";

/** A first-in first-out queue that coalesces by kind and peer. */
export class EventQueue {
  readonly #capacity: number;
  readonly #events = new Map<string, OverlayEvent>();
  #dropped = 0;

  /** @param capacity Most events kept, at least 1. */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Events waiting. */
  get size(): number {
    return this.#events.size;
  }

  /** Events given up for want of room, not counting those that a newer one replaced. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Adds an event; it goes to the end even when it replaces an older one. */
  push(event: OverlayEvent): void {
    const key = `${event.event} ${event.pubkey}`;
    this.#events.delete(key);
    if (this.#events.size >= this.#capacity) {
      this.#events.delete(this.#events.keys().next().value!);
      this.#dropped++;
    }
    this.#events.set(key, event);
  }

  /** Takes the oldest event. */
  shift(): OverlayEvent | undefined {
    const first = this.#events.entries().next();
    if (first.done) return undefined;
    this.#events.delete(first.value[0]);
    return first.value[1];
  }
}
