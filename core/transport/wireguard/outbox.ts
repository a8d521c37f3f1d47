/**
 * Sealed datagrams that wait for one system call: same destination, same size, the last one may be shorter.
 *
 * Bounded by what one call sends; a socket without room makes the thread wait, and with it the TUN, whose queue
 * in the kernel then tells TCP. What cannot be sent for long is dropped.
 */

import { MAX_SEGMENTS, MAX_SEND_BYTES } from "../../../ffi/udp_port.ts";
import type { PeerEndpoint } from "../../wireguard/endpoint.ts";
import { type Arena, OUTBOX } from "./arena.ts";
import type { DatagramPort } from "./plane_system.ts";
import type { SourceRoutes } from "./source_routes.ts";

/** How long a full socket is waited for before its datagrams are dropped, in ms. */
const PATIENCE_MS = 10;
const TRIES = 5;

/** See the module. */
export class Outbox {
  readonly #arena: Arena;
  readonly #sources: SourceRoutes;
  /** The socket of each family; may be replaced while nothing waits. */
  ports: { 4: DatagramPort | undefined; 6: DatagramPort | undefined } = { 4: undefined, 6: undefined };
  #to: PeerEndpoint | undefined;
  #segmentBytes = 0;
  #count = 0;
  #bytes = 0;
  #isClosed = false;

  constructor(arena: Arena, sources: SourceRoutes) {
    this.#arena = arena;
    this.#sources = sources;
  }

  /** Makes room for a datagram; those that do not go with it are sent. @returns Its offset in the arena. */
  reserve(to: PeerEndpoint, bytes: number): number {
    if (this.#count > 0 && !this.#fits(to, bytes)) this.flush();
    if (this.#count === 0) {
      this.#to = to;
      this.#segmentBytes = bytes;
      this.#bytes = 0;
      this.#isClosed = false;
    }
    return OUTBOX + this.#bytes;
  }

  /** The datagram for which room was made is complete. */
  commit(bytes: number): void {
    this.#bytes += bytes;
    this.#count++;
    if (bytes < this.#segmentBytes) this.#isClosed = true;
  }

  /** Offset of memory for one packet that is used for nothing else. */
  get scratch(): number {
    return OUTBOX + MAX_SEND_BYTES;
  }

  /** Adds a datagram that lies elsewhere. */
  push(to: PeerEndpoint, datagram: Uint8Array): void {
    this.#arena.bytes.set(datagram, this.reserve(to, datagram.length));
    this.commit(datagram.length);
  }

  /** Sends what waits. */
  flush(): void {
    if (this.#count === 0) return;
    this.#count = 0;
    const to = this.#sources.resolve(this.#to!);
    const port = this.ports[to.family];
    if (port === undefined) return;
    let done = 0;
    for (let i = 0; i < TRIES; i++) {
      done += port.send(to, OUTBOX + done, this.#bytes - done, this.#segmentBytes);
      if (done >= this.#bytes) return;
      port.waitWritable(PATIENCE_MS);
    }
  }

  #fits(to: PeerEndpoint, bytes: number): boolean {
    return to === this.#to && !this.#isClosed && bytes <= this.#segmentBytes &&
      this.#count < MAX_SEGMENTS && this.#bytes + bytes <= MAX_SEND_BYTES;
  }
}
