/**
 * `MIB_IPINTERFACE_ROW`: an interface as the IP stack has it, once for each family. It is read, changed and written
 * back. Pure.
 *
 *     0  u16 family                       56  u32 probes for duplicates of an address
 *     8  u64 interface LUID              144  u32 site prefix length
 *    41  u8  forwarding                  152  u32 MTU
 *    42  u8  weak host, sending          156  u8  connected
 *    43  u8  weak host, receiving
 *    52  i32 looks for routers           and others, which are left as they are
 *
 * @see netioapi.h; `SetIpInterfaceEntry` for what it refuses.
 */

import type { AF_INET, AF_INET6 } from "./sockaddr.ts";

/** `sizeof(MIB_IPINTERFACE_ROW)`. */
export const INTERFACE_ROW_BYTES = 168;
/** `RouterDiscoveryDisabled`. */
const NO_ROUTER_DISCOVERY = 0;

/** A row that names interface and family, to be filled. */
export function encodeInterfaceKey(
  luid: bigint,
  family: typeof AF_INET | typeof AF_INET6,
): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(INTERFACE_ROW_BYTES));
  view.setUint16(0, family, true);
  view.setBigUint64(8, luid, true);
  return new Uint8Array(view.buffer);
}

/** What is changed of an interface; what is left out stays. */
export interface InterfaceChange {
  /** At least 576 for IPv4 and 1280 for IPv6. */
  readonly mtuBytes?: number;
  /** Passes packets of others on. */
  readonly forwarding?: boolean;
  /** Takes and sends packets with addresses that other interfaces have. */
  readonly weakHost?: boolean;
  /** Neither probes for duplicates of its addresses nor looks for routers: there is nobody on the link. */
  readonly isTunnel?: boolean;
}

/** Changes a row that was read, in place. */
export function changeInterface(row: Uint8Array, change: InterfaceChange): void {
  const view = new DataView(row.buffer, row.byteOffset, row.byteLength);
  // As it is read it is refused for IPv4.
  view.setUint32(144, 0, true);
  if (change.mtuBytes !== undefined) view.setUint32(152, change.mtuBytes, true);
  if (change.forwarding !== undefined) view.setUint8(41, change.forwarding ? 1 : 0);
  if (change.weakHost !== undefined) {
    view.setUint8(42, change.weakHost ? 1 : 0);
    view.setUint8(43, change.weakHost ? 1 : 0);
  }
  if (change.isTunnel === true) {
    view.setUint32(56, 0, true);
    view.setInt32(52, NO_ROUTER_DISCOVERY, true);
  }
}

/** What a row that was read says. */
export interface InterfaceState {
  readonly mtuBytes: number;
  readonly forwarding: boolean;
  /** Both when sending and when receiving. */
  readonly weakHost: boolean;
  /** To anything. */
  readonly isConnected: boolean;
}

/** Reads a row. */
export function decodeInterface(row: Uint8Array): InterfaceState {
  return {
    mtuBytes: new DataView(row.buffer, row.byteOffset, row.byteLength).getUint32(152, true),
    forwarding: row[41] !== 0,
    weakHost: row[42] !== 0 && row[43] !== 0,
    isConnected: row[156] !== 0,
  };
}
