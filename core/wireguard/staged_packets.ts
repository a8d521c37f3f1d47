/**
 * Packets that wait for handshakes. Those of a peer are bounded, and so are those of all peers of a device together:
 * a thousand peers that do not answer must not make it hold a gibibyte. The oldest is dropped first.
 */

import { MAX_DEVICE_STAGED_BYTES, MAX_STAGED_BYTES, MAX_STAGED_PACKETS } from "./constants.ts";

/** What a packet costs besides its bytes, about. */
const OVERHEAD_BYTES = 128;

interface Entry {
  readonly owner: StagedPackets;
  readonly packet: Uint8Array;
}

/** Room for the packets of all peers of a device. */
export class StagingRoom {
  /** In the order they came. */
  readonly #entries = new Set<Entry>();
  #bytes = 0;

  /** Bytes held, with what keeping them costs. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes a packet in. @returns How many old ones, of any peer, had to go. */
  add(entry: Entry): number {
    this.#entries.add(entry);
    this.#bytes += entry.packet.length + OVERHEAD_BYTES;
    let dropped = 0;
    for (const oldest of this.#entries) {
      if (this.#bytes <= MAX_DEVICE_STAGED_BYTES || oldest === entry) break;
      oldest.owner.dropOldest();
      dropped++;
    }
    return dropped;
  }

  /** Lets go of a packet. */
  remove(entry: Entry): void {
    if (this.#entries.delete(entry)) this.#bytes -= entry.packet.length + OVERHEAD_BYTES;
  }
}

/** A queue of the packets of one peer. */
export class StagedPackets {
  readonly #room: StagingRoom;
  #entries: Entry[] = [];
  #bytes = 0;

  constructor(room: StagingRoom = new StagingRoom()) {
    this.#room = room;
  }

  /** How many packets wait. */
  get size(): number {
    return this.#entries.length;
  }

  /** Copies a packet to the end. @returns How many old ones, of any peer, had to go. */
  push(packet: Uint8Array): number {
    const entry = { owner: this, packet: Uint8Array.from(packet) };
    this.#entries.push(entry);
    this.#bytes += packet.length;
    let dropped = 0;
    while (
      this.#entries.length > MAX_STAGED_PACKETS ||
      (this.#bytes > MAX_STAGED_BYTES && this.#entries.length > 1)
    ) {
      this.dropOldest();
      dropped++;
    }
    return dropped + this.#room.add(entry);
  }

  /** Drops the packet that waits longest, if there is one. */
  dropOldest(): void {
    const entry = this.#entries.shift();
    if (entry === undefined) return;
    this.#bytes -= entry.packet.length;
    this.#room.remove(entry);
  }

  /** Takes all packets, oldest first. */
  takeAll(): Uint8Array[] {
    const entries = this.#entries;
    this.#entries = [];
    this.#bytes = 0;
    for (const entry of entries) this.#room.remove(entry);
    return entries.map(({ packet }) => packet);
  }
}
