/**
 * Packets that wait for handshakes. Those of a peer are bounded, and so are those of all peers of a device together:
 * a thousand peers that do not answer must not make it hold a gibibyte. The oldest is dropped first.
 */

import { MAX_DEVICE_STAGED_BYTES, MAX_STAGED_BYTES, MAX_STAGED_PACKETS } from "./constants.ts";

/** What a packet costs besides its bytes, about. */
const OVERHEAD_BYTES = 128;

/** A packet, between the one that came before it and the one that came after. */
interface Entry {
  readonly owner: StagedPackets;
  readonly packet: Uint8Array;
  older: Entry | undefined;
  newer: Entry | undefined;
}

/**
 * Room for the packets of all peers of a device: a list in the order they came. A `Set` would have to step over all
 * that it once held at its start, for each packet.
 */
export class StagingRoom {
  #oldest: Entry | undefined;
  #newest: Entry | undefined;
  #bytes = 0;

  /** Bytes held, with what keeping them costs. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes a packet in. @returns How many old ones, of any peer, had to go. */
  add(entry: Entry): number {
    entry.older = this.#newest;
    if (this.#newest === undefined) this.#oldest = entry;
    else this.#newest.newer = entry;
    this.#newest = entry;
    this.#bytes += entry.packet.length + OVERHEAD_BYTES;
    let dropped = 0;
    for (; this.#bytes > MAX_DEVICE_STAGED_BYTES && this.#oldest !== entry; dropped++) {
      this.#oldest!.owner.dropOldest();
    }
    return dropped;
  }

  /** Lets go of a packet that it has. */
  remove(entry: Entry): void {
    const { older, newer } = entry;
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
    entry.older = entry.newer = undefined;
    this.#bytes -= entry.packet.length + OVERHEAD_BYTES;
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
    const entry: Entry = {
      owner: this,
      packet: Uint8Array.from(packet),
      older: undefined,
      newer: undefined,
    };
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
