/**
 * The one memory of a data path, and what lies where in it. Packets stay in it from system call to system call.
 *
 *     vnet header of what is written to the TUN
 *     one packet read from the TUN, with its vnet header
 *     datagrams sealed and not sent yet, one behind the other
 *     datagrams received and not passed on yet
 */

import { PinnedBuffer } from "../../../ffi/memory.ts";
import { VNET_HEADER_BYTES } from "../../../ffi/linux_tun.ts";
import { type CopyMemory, type CopySum, openCopyMemory } from "./copy_memory.ts";

/** Header of a packet written to the TUN. */
export const VNET_OUT = 0;
/** A packet read from the TUN; behind its header at a multiple of 4. */
export const TUN_IN = 16;
/** Room for it: 64 KiB and the header. */
export const TUN_IN_BYTES = VNET_HEADER_BYTES + 65_536 + 4;
/** Datagrams to send. */
export const OUTBOX = 72 * 1024;
/** Room for them: what one call sends, and one datagram more of the greatest size. */
export const OUTBOX_BYTES = 136 * 1024;
/** Datagrams received. */
export const INBOX = OUTBOX + OUTBOX_BYTES;
/** Room for them. */
export const INBOX_BYTES = 512 * 1024;
/** What one receipt may need. */
export const RECEIPT_BYTES = 65_536;

/** The memory and its views. */
export class Arena extends PinnedBuffer {
  /** Moves bytes within it and sums them. */
  readonly copySum: CopySum;

  /** A new one, zeroed. */
  constructor(memory: CopyMemory = openCopyMemory(INBOX + INBOX_BYTES)) {
    super(memory.bytes);
    this.copySum = memory.copySum;
  }
}
