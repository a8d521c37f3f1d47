/** Packets of a peer that wait for a handshake: bounded, the oldest is dropped first. */

import { MAX_STAGED_BYTES, MAX_STAGED_PACKETS } from "./constants.ts";

/** A queue of packets. */
export class StagedPackets {
  #packets: Uint8Array[] = [];
  #bytes = 0;

  /** How many packets wait. */
  get size(): number {
    return this.#packets.length;
  }

  /** Copies a packet to the end. @returns How many old ones had to go. */
  push(packet: Uint8Array): number {
    this.#packets.push(Uint8Array.from(packet));
    this.#bytes += packet.length;
    let dropped = 0;
    while (
      this.#packets.length > MAX_STAGED_PACKETS ||
      (this.#bytes > MAX_STAGED_BYTES && this.#packets.length > 1)
    ) {
      this.#bytes -= this.#packets.shift()!.length;
      dropped++;
    }
    return dropped;
  }

  /** Takes all packets, oldest first. */
  takeAll(): Uint8Array[] {
    const packets = this.#packets;
    this.#packets = [];
    this.#bytes = 0;
    return packets;
  }
}
