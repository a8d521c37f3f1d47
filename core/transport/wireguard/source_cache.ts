/** Endpoints that datagrams came from: the same object for the same source, so that roaming is seen at a glance. */

import { PeerEndpoint } from "../../wireguard/endpoint.ts";

/** Sources remembered besides the last one; strangers may send from as many as they like. */
const MAX_SOURCES = 4096;

/** The part of a port that says where its last receipt came from. */
export interface SourcePort {
  /** `sockaddr_in` up to the address, or `sockaddr_in6`. */
  readonly source: Uint8Array;
  /** Our own address that it came to, 4 or 16 bytes; empty where it is not known. */
  readonly local: Uint8Array;
  /** Interface that it came in on, 0 where it is not known. */
  readonly interfaceIndex: number;
}

/** Sources of one family. */
export class SourceCache {
  readonly #addressAt: number;
  readonly #addressBytes: number;
  readonly #last: Uint8Array;
  #lastInterface = 0;
  #lastEndpoint: PeerEndpoint | undefined;
  readonly #endpoints = new Map<string, PeerEndpoint>();

  constructor(family: 4 | 6) {
    this.#addressAt = family === 4 ? 4 : 8;
    this.#addressBytes = family === 4 ? 4 : 16;
    this.#last = new Uint8Array((family === 4 ? 8 : 28) + this.#addressBytes);
  }

  /** The endpoint of the last receipt of a port. */
  endpointOf(port: SourcePort): PeerEndpoint {
    if (this.#lastEndpoint !== undefined && this.#isLast(port)) return this.#lastEndpoint;
    this.#last.set(port.source);
    this.#last.set(port.local, port.source.length);
    this.#lastInterface = port.interfaceIndex;
    const key = String.fromCharCode(...this.#last, port.interfaceIndex & 0xffff, port.interfaceIndex >>> 16);
    let endpoint = this.#endpoints.get(key);
    if (endpoint === undefined) {
      if (this.#endpoints.size >= MAX_SOURCES) this.#endpoints.clear();
      this.#endpoints.set(key, endpoint = this.#read(port));
    }
    return this.#lastEndpoint = endpoint;
  }

  #isLast({ source, local, interfaceIndex }: SourcePort): boolean {
    if (interfaceIndex !== this.#lastInterface) return false;
    for (let i = 0; i < source.length; i++) if (source[i] !== this.#last[i]) return false;
    for (let i = 0; i < local.length; i++) if (local[i] !== this.#last[source.length + i]) return false;
    return true;
  }

  #read({ source, local, interfaceIndex }: SourcePort): PeerEndpoint {
    const view = new DataView(source.buffer, source.byteOffset, source.length);
    const address = source.slice(this.#addressAt, this.#addressAt + this.#addressBytes);
    const scopeId = this.#addressBytes === 16 ? view.getUint32(24, true) : 0;
    return new PeerEndpoint(address, view.getUint16(2), {
      scopeId,
      // Without one, as on Windows, the routing table decides.
      local: local.length === 0 ? undefined : { address: local.slice(), interfaceIndex },
    });
  }
}
