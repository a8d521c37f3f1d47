/**
 * Which adapter of the host belongs to a container network of ours. Pure.
 *
 * The host's adapter of a network owns the network's gateway. Windows calls it `vEthernet (…)` after its network, but
 * what stands in the parentheses is cut to 15 characters, is `HNS Internal NIC` in older versions, has a number behind
 * it when it was taken, and people rename adapters. HNS tells the adapter's GUID only in answers of the first version,
 * in members that no schema has, and asking it may take as long as it hangs. So an adapter is known by its address,
 * and by its name as far as it has one of Windows' making, else by what kind of adapter it is.
 */

import { bytesEqual } from "../../../ffi/bytes.ts";
import { ipToBytes } from "../../ip/address.ts";
import { parsePrefix } from "../../ip/prefix.ts";
import { isHcnEntry, type MarkerEntry } from "../../marker.ts";
import type { AddressHolder } from "./device_address.ts";
import { gatewayOf } from "./documents.ts";

/** What Windows describes such adapters as; a number may follow. That of a virtual machine's own is another. */
const VNIC_DESCRIPTION = /^Hyper-V Virtual Ethernet Adapter\b/i;
/** What it calls them; with the name of the network, as far as that goes. */
const VNIC_NAME = /^vEthernet \((.*)\)(?: \d+)?$/i;
/** Names are cut to so many characters. */
const NAME_LENGTH = 15;
/** What stands there in versions that do not name the network. */
const NO_NAME = "HNS Internal NIC";

/**
 * Whether the holder of an address is the host's adapter of a network of ours.
 *
 * @param networks Those of the marker.
 * @param description Of the adapter; empty where it is not known.
 */
export function isOwnVnic(
  { alias, address }: Pick<AddressHolder, "alias" | "address">,
  networks: readonly MarkerEntry[],
  description: string,
): boolean {
  const ours = networks.filter(isHcnEntry);
  if (ours.some(({ name }) => alias === `vEthernet (${name})`)) return true;
  const [, named] = VNIC_NAME.exec(alias) ?? [];
  return ours.some(({ name, subnet }) =>
    isGatewayOf(subnet, address) &&
    (named === undefined ? VNIC_DESCRIPTION.test(description) : isNameOf(named, name))
  );
}

function isNameOf(text: string, network: string): boolean {
  return text === NO_NAME || text === network || text === network.slice(0, NAME_LENGTH);
}

function isGatewayOf(subnet: string, address: Uint8Array): boolean {
  const prefix = parsePrefix(subnet);
  return prefix !== undefined && bytesEqual(ipToBytes(gatewayOf(prefix)), address);
}
