/**
 * Packets of a Wintun session, copied between its rings and one memory; for the thread of the data path.
 *
 * @see wintun.h of Wintun 0.14 `WintunReceivePacket`, `WintunAllocateSendPacket`.
 */

import { lazyLibrary } from "./library.ts";
import { PinnedBuffer } from "./memory.ts";
import { Win32Error } from "./windows/win32_error.ts";
import { wintunAt, type WintunSymbols } from "./wintun.ts";

const KERNEL32 = {
  /** `DWORD (void)` */
  GetLastError: { parameters: [], result: "u32" },
  /** `void (void* to, const void* from, SIZE_T)` */
  RtlMoveMemory: { parameters: ["usize", "usize", "usize"], result: "void" },
} as const satisfies Deno.ForeignLibraryInterface;

const kernel32 = lazyLibrary(["kernel32.dll"], KERNEL32);

/** `WINTUN_MAX_IP_PACKET_SIZE`. */
const MAX_PACKET_BYTES = 0xffff;

const ERROR_INVALID_DATA = 13;
const ERROR_HANDLE_EOF = 38;
const ERROR_NO_MORE_ITEMS = 259;

/** The functions that packets go through; tests replace them. */
export interface WintunCalls {
  readonly wintun: Pick<
    WintunSymbols,
    "WintunReceivePacket" | "WintunReleaseReceivePacket" | "WintunAllocateSendPacket" | "WintunSendPacket"
  >;
  readonly kernel32: Deno.StaticForeignLibraryInterface<typeof KERNEL32>;
}

/** Opens the library of a `Wintun` on the thread of a data path. @throws {LibraryError} */
export function wintunCalls(path: string): WintunCalls {
  return { wintun: wintunAt(path).loaded, kernel32: kernel32() };
}

/** Packets of a session, in one memory. */
export class WintunPort {
  /** It takes packets as they are on a wire, no TCP that is still to be cut. */
  readonly takesLarge = false;
  /** And no trains of UDP. */
  readonly takesUdpTrains = false;
  readonly #calls: WintunCalls;
  readonly #session: bigint;
  readonly #memory: PinnedBuffer;
  readonly #headerBytes: number;
  readonly #readAddress: bigint;
  readonly #size = new PinnedBuffer(4);
  #outOffset = 0;
  #outBytes = 0;
  /**
   * False when the last {@linkcode WintunPort.read} found nothing for a reason that is not plain: then the event may
   * not be set, and it is better not to wait for long.
   */
  isDrained = true;
  /** Packets that the ring to the system had no room for. */
  full = 0;

  /**
   * @param session Handle of a `WintunSession`.
   * @param memory Where packets are; it stays reachable as long as this object is used.
   * @param options `readOffset`: where packets are read to, behind `headerBytes` bytes that stay as they are: of what
   * tells of a packet, a Wintun ring has none.
   */
  constructor(
    calls: WintunCalls,
    session: bigint,
    memory: PinnedBuffer,
    options: { readonly readOffset: number; readonly headerBytes: number },
  ) {
    this.#calls = calls;
    this.#session = session;
    this.#memory = memory;
    this.#headerBytes = options.headerBytes;
    this.#readAddress = BigInt(memory.address + options.readOffset + options.headerBytes);
  }

  /**
   * Takes a packet from the system.
   *
   * @returns Its bytes, header included; 0 when none is there.
   * @throws {Win32Error} The adapter is gone, or the ring is not what it should be: there will be no more packets.
   */
  read(): number {
    const { wintun, kernel32 } = this.#calls;
    const packet = wintun.WintunReceivePacket(this.#session, this.#size.pointer);
    if (packet === 0n) return this.#nothing(kernel32.GetLastError());
    const size = this.#size.view.getUint32(0, true);
    kernel32.RtlMoveMemory(this.#readAddress, packet, BigInt(size));
    wintun.WintunReleaseReceivePacket(this.#session, packet);
    return this.#headerBytes + size;
  }

  #nothing(code: number): 0 {
    if (code === ERROR_HANDLE_EOF) throw adapterGone("WintunReceivePacket", code);
    if (code === ERROR_INVALID_DATA) {
      throw new Win32Error("read from a Wintun ring that is damaged", "WintunReceivePacket", code);
    }
    this.isDrained = code === ERROR_NO_MORE_ITEMS;
    return 0;
  }

  /** Starts a packet to write. */
  begin(): void {
    this.#outBytes = 0;
  }

  /** Adds a piece, header first: the packet is the last one, and whole. */
  add(offset: number, length: number): void {
    this.#outOffset = offset;
    this.#outBytes = length;
  }

  /**
   * Gives the packet to the system.
   *
   * @returns False if the ring was full, and it was dropped.
   * @throws {Win32Error} If the adapter is gone.
   */
  write(): boolean {
    const bytes = this.#outBytes;
    if (bytes === 0 || bytes > MAX_PACKET_BYTES) return true;
    const { wintun, kernel32 } = this.#calls;
    const room = wintun.WintunAllocateSendPacket(this.#session, bytes);
    if (room === 0n) return this.#refused(kernel32.GetLastError());
    kernel32.RtlMoveMemory(room, BigInt(this.#memory.address + this.#outOffset), BigInt(bytes));
    // Whatever was allocated has to be sent, or all that comes after it waits.
    wintun.WintunSendPacket(this.#session, room);
    return true;
  }

  #refused(code: number): false {
    if (code === ERROR_HANDLE_EOF) throw adapterGone("WintunAllocateSendPacket", code);
    this.full++;
    return false;
  }
}

function adapterGone(call: string, code: number): Win32Error {
  return new Win32Error("exchange packets with a Wintun adapter that is gone", call, code);
}
