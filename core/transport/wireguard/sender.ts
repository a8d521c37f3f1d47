/** From the TUN to the outbox: read, find the peer, cut, seal. */

import {
  MESSAGE_TRANSPORT,
  TAG_BYTES,
  TRANSPORT_HEADER_BYTES,
  TRANSPORT_OVERHEAD_BYTES,
} from "../../wireguard/constants.ts";
import type { Device } from "../../wireguard/device.ts";
import { paddedLength } from "../../wireguard/messages.ts";
import type { Peer } from "../../wireguard/peer.ts";
import { QUOTED_BYTES } from "../../wireguard/unreachable.ts";
import { SendSlot } from "../../wireguard/transport_path.ts";
import { type Arena, TUN_IN } from "./arena.ts";
import type { ArenaCipher } from "./crypto.ts";
import type { Outbox } from "./outbox.ts";
import type { PacketSource } from "./plane_system.ts";
import { TunPacket } from "./tun_packet.ts";

/** Packets read before the other direction has its turn. */
const BUDGET = 64;
/** Bytes read before it. */
const BUDGET_BYTES = 256 * 1024;

/** What a sender works with. */
export interface SenderParts {
  readonly arena: Arena;
  readonly device: Device;
  readonly cipher: ArenaCipher;
  readonly tun: PacketSource;
  readonly outbox: Outbox;
}

/** See the module. */
export class Sender {
  readonly #parts: SenderParts;
  readonly #packet = new TunPacket();
  readonly #slot = new SendSlot();
  /** Packets are not padded past it. */
  mtuBytes = 0;

  constructor(parts: SenderParts) {
    this.#parts = parts;
  }

  /** Reads and seals until nothing is left or the budget is used up. @returns Whether there was anything. */
  pump(now: number): boolean {
    const { tun } = this.#parts;
    let bytes = 0;
    for (let i = 0; i < BUDGET && bytes < BUDGET_BYTES; i++) {
      const count = tun.read();
      if (count === 0) return i > 0;
      bytes += count;
      this.#handle(count, now);
    }
    return true;
  }

  #handle(count: number, now: number): void {
    const { arena, device } = this.#parts;
    const packet = this.#packet;
    packet.read(arena.view, TUN_IN, count);
    if (packet.count === 0) return;
    const peer = device.lookupSend(arena.bytes, packet.packet, packet.length);
    if (peer === undefined) {
      const start = arena.bytes.subarray(
        packet.packet,
        packet.packet + Math.min(packet.length, QUOTED_BYTES),
      );
      device.refuse(start, now);
    } else if (device.nextSendSlot(peer, packet.count, now, this.#slot)) {
      this.#seal(now);
    } else {
      this.#stage(peer, now);
    }
  }

  #seal(now: number): void {
    const slot = this.#slot;
    const { arena, cipher, outbox } = this.#parts;
    const { view } = arena;
    let { counterHigh, counterLow } = slot;
    let total = 0;
    for (let i = 0; i < this.#packet.count; i++) {
      const length = this.#packet.pieceBytes(i);
      const padded = paddedLength(length, this.mtuBytes);
      const size = padded + TRANSPORT_OVERHEAD_BYTES;
      const at = outbox.reserve(slot.endpoint, size);
      view.setUint32(at, MESSAGE_TRANSPORT, true);
      view.setUint32(at + 4, slot.remoteIndex, true);
      view.setUint32(at + 8, counterLow, true);
      view.setUint32(at + 12, counterHigh, true);
      const text = at + TRANSPORT_HEADER_BYTES;
      this.#packet.copyPiece(i, text, arena);
      for (let at = text + length; at < text + padded; at++) view.setUint8(at, 0);
      cipher.seal(slot.key, counterHigh, counterLow, text, padded + TAG_BYTES);
      outbox.commit(size);
      total += size;
      counterLow = (counterLow + 1) >>> 0;
      if (counterLow === 0) counterHigh++;
    }
    this.#parts.device.noteSent(slot, total, now);
  }

  /** Keeps the pieces until there is a session. */
  #stage(peer: Peer, now: number): void {
    const { arena, device, outbox } = this.#parts;
    for (let i = 0; i < this.#packet.count; i++) {
      this.#packet.copyPiece(i, outbox.scratch, arena);
      const end = outbox.scratch + this.#packet.pieceBytes(i);
      device.stage(peer, arena.bytes.subarray(outbox.scratch, end), now);
    }
  }
}
