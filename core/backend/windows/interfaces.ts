/** Settings of interfaces of the IP stack: MTU, forwarding, weak host. */

import type { IpHelper } from "../../../ffi/iphlpapi.ts";
import {
  changeInterface,
  decodeInterface,
  encodeInterfaceKey,
  type InterfaceChange,
  type InterfaceState,
} from "../../../ffi/windows/interface_row.ts";
import { AF_INET, AF_INET6 } from "../../../ffi/windows/sockaddr.ts";
import { Win32Error } from "../../../ffi/windows/win32_error.ts";
import { isGoneCode } from "./win32_errors.ts";

/** What interfaces are set up with. */
export interface InterfaceTools {
  readonly ipHelper: IpHelper;
  /** Waits so many ms. */
  readonly pause: (ms: number) => Promise<void>;
}

/** An interface in one family. */
export interface InterfaceRef {
  readonly luid: bigint;
  readonly family: 4 | 6;
}

/** The stack takes a moment to know a new adapter. */
const BIND_PAUSE_MS = 100;
const BIND_TRIES = 50;
/** Below it Windows refuses an MTU for IPv6. */
const MIN_MTU_V6 = 1280;

/**
 * Prepares a tunnel's interface.
 *
 * @param options `family`: of the device's address. The other one may be switched off on this host.
 * @throws {Win32Error} If the stack does not know the interface within 5 s, or refuses.
 */
export async function setUpTunnel(
  tools: InterfaceTools,
  luid: bigint,
  { mtuBytes, family }: { readonly mtuBytes: number; readonly family: 4 | 6 },
): Promise<void> {
  // Packets from other nodes come in here and go on to containers.
  const own = { isTunnel: true, mtuBytes, forwarding: true };
  for (let tries = 1; !setInterface(tools.ipHelper, { luid, family }, own); tries++) {
    if (tries === BIND_TRIES) throw unknownInterface({ luid, family });
    await tools.pause(BIND_PAUSE_MS);
  }
  const other = family === 4 ? 6 : 4;
  const fits = other === 4 || mtuBytes >= MIN_MTU_V6;
  setInterface(tools.ipHelper, { luid, family: other }, { isTunnel: true, ...fits ? { mtuBytes } : {} });
}

/** Changes an interface. @returns False if the stack does not know it, or not in that family. */
export function setInterface(
  ipHelper: IpHelper,
  { luid, family }: InterfaceRef,
  change: InterfaceChange,
): boolean {
  const row = encodeInterfaceKey(luid, family === 4 ? AF_INET : AF_INET6);
  const read = ipHelper.getInterface(row);
  if (isGoneCode(read)) return false;
  if (read !== 0) throw new Win32Error(`read interface ${luid}`, "GetIpInterfaceEntry", read);
  changeInterface(row, change);
  const written = ipHelper.setInterface(row);
  if (isGoneCode(written)) return false;
  if (written !== 0) throw new Win32Error(`change interface ${luid}`, "SetIpInterfaceEntry", written);
  return true;
}

/** An interface as the stack has it; undefined if the stack does not know it, or not in that family. */
export function readInterface(
  ipHelper: IpHelper,
  { luid, family }: InterfaceRef,
): InterfaceState | undefined {
  const row = encodeInterfaceKey(luid, family === 4 ? AF_INET : AF_INET6);
  return ipHelper.getInterface(row) === 0 ? decodeInterface(row) : undefined;
}

function unknownInterface({ luid, family }: InterfaceRef): Win32Error {
  return new Win32Error(`find IPv${family} on interface ${luid}`, "GetIpInterfaceEntry", 1168);
}
