/**
 * The address of a device.
 *
 * Windows has each address once in a compartment. That of the node is also the gateway of its container network,
 * whose virtual adapter on the host takes it: then it stays there, and both interfaces take packets for it.
 */

import { bytesEqual } from "../../../ffi/bytes.ts";
import { ERROR_OBJECT_ALREADY_EXISTS } from "../../../ffi/iphlpapi.ts";
import { AF_INET, AF_INET6 } from "../../../ffi/windows/sockaddr.ts";
import {
  decodeUnicastTable,
  encodeUnicastAddress,
  type UnicastAddress,
} from "../../../ffi/windows/unicast_address_row.ts";
import { Win32Error } from "../../../ffi/windows/win32_error.ts";
import { AlreadyExistsError } from "../../errors.ts";
import { formatIp, type IpAddress, ipFromBytes, ipToBytes } from "../../ip/address.ts";
import type { IpPrefix } from "../../ip/prefix.ts";
import { type InterfaceTools, readInterface, setInterface } from "./interfaces.ts";
import { isGoneCode } from "./win32_errors.ts";

/** An interface that has an address. */
export interface AddressHolder {
  readonly luid: bigint;
  /** Name for people, such as `vEthernet (nat)`; empty when it has none. */
  readonly alias: string;
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
}

/** What addresses are set with. */
export interface AddressTools extends InterfaceTools {
  /** Whether that is the host's virtual adapter of a container network of ours. */
  readonly isOwnVnic: (holder: AddressHolder) => boolean | Promise<boolean>;
}

/** Addresses come and go beside us; more often than this is no coincidence. */
const TRIES = 3;

/**
 * Makes the address the only one of a device, link-local ones aside.
 *
 * @returns LUID of who has it: the device, or the virtual adapter of our container network.
 * @throws {AlreadyExistsError} If another interface has it that is up; it is named.
 */
export async function ensureOnlyAddress(
  tools: AddressTools,
  luid: bigint,
  wanted: IpPrefix,
): Promise<bigint> {
  const address = ipToBytes(wanted.address);
  const row = { luid, address, prefixLength: wanted.length };
  removeOthers(tools, row);
  for (let tries = 0; tries < TRIES; tries++) {
    const code = tools.ipHelper.createAddress(encodeUnicastAddress(row));
    if (code === 0) return luid;
    if (code !== ERROR_OBJECT_ALREADY_EXISTS) throw refused(wanted.address, code);
    const holder = addresses(tools, wanted.address.family)
      .find((one) => bytesEqual(one.address, address));
    if (holder === undefined) continue;
    if (holder.luid === luid && holder.prefixLength === wanted.length) return luid;
    if (holder.luid !== luid && await settle(tools, row, holder)) return holder.luid;
    deleteAddress(tools, holder);
  }
  throw refused(wanted.address, ERROR_OBJECT_ALREADY_EXISTS);
}

/**
 * Decides about another interface that has the address.
 *
 * @returns True if it may keep it; false if it is down, and to lose it.
 */
async function settle(tools: AddressTools, own: UnicastAddress, holder: UnicastAddress): Promise<boolean> {
  const { ipHelper } = tools;
  const family = own.address.length === 4 ? 4 : 6;
  const alias = ipHelper.aliasOf(holder.luid) ?? "";
  if (await tools.isOwnVnic({ luid: holder.luid, alias, address: holder.address })) {
    setInterface(ipHelper, { luid: own.luid, family }, { weakHost: true });
    setInterface(ipHelper, { luid: holder.luid, family }, { weakHost: true, forwarding: true });
    return true;
  }
  if (readInterface(ipHelper, { luid: holder.luid, family })?.isConnected !== true) return false;
  const text = formatIp(ipFromBytes(own.address));
  throw new AlreadyExistsError(
    `address ${text} already exists on interface '${alias}' of this host; remove it there`,
  );
}

/** Takes an address off an interface; one that is not there is fine. */
export function dropAddress(
  tools: Pick<AddressTools, "ipHelper">,
  luid: bigint,
  { address, length }: IpPrefix,
): void {
  deleteAddress(tools, { luid, address: ipToBytes(address), prefixLength: length });
}

function removeOthers(tools: AddressTools, { luid, address }: UnicastAddress): void {
  for (const present of [...addresses(tools, 4), ...addresses(tools, 6)]) {
    if (present.luid !== luid || isLinkLocal(present.address)) continue;
    if (!bytesEqual(present.address, address)) deleteAddress(tools, present);
  }
}

/** Windows gives every IPv6 interface one. */
function isLinkLocal(address: Uint8Array): boolean {
  return address.length === 16 && address[0] === 0xfe && (address[1]! & 0xc0) === 0x80;
}

function addresses({ ipHelper }: AddressTools, family: 4 | 6): UnicastAddress[] {
  return decodeUnicastTable(ipHelper.addressTable(family === 4 ? AF_INET : AF_INET6));
}

function deleteAddress({ ipHelper }: Pick<AddressTools, "ipHelper">, address: UnicastAddress): void {
  const code = ipHelper.deleteAddress(encodeUnicastAddress(address));
  if (code !== 0 && !isGoneCode(code)) {
    throw new Win32Error(
      `remove an address from interface ${address.luid}`,
      "DeleteUnicastIpAddressEntry",
      code,
    );
  }
}

function refused(address: IpAddress, code: number): Win32Error {
  return new Win32Error(`set address ${formatIp(address)}`, "CreateUnicastIpAddressEntry", code);
}
