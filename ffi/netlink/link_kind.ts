/** What `IFLA_INFO_DATA` holds for the kinds of link that this project makes or finds. */

import { AttributeSchema, nested, U32, U8, type UnknownAttributes } from "./attribute.ts";
import * as nl from "./constants.ts";
import { decodeLink, encodeLink, type LinkInfo, type LinkRequest } from "./link.ts";

/** Options of a veth pair (linux/veth.h). The kernel takes them and never tells them. */
export interface VethOptions {
  /** The other end: name, namespace, MTU, hardware address. */
  readonly peer?: LinkRequest;
}

/** Options of a bridge (linux/if_link.h `IFLA_BR_*`). */
export interface BridgeOptions {
  /** Hundredths of a second. */
  readonly forwardDelay?: number;
  /** 0 = no spanning tree. */
  readonly stpState?: number;
  readonly vlanFiltering?: number;
  readonly mcastSnooping?: number;
}

/** Options of a TUN or TAP device (linux/if_link.h `IFLA_TUN_*`). Only told, by dumps. */
export interface TunOptions {
  /** Uid that may attach to a persistent device. */
  readonly owner?: number;
  readonly ownerGroup?: number;
  /** 1 = TUN, 2 = TAP. */
  readonly tunType?: number;
  readonly packetInformation?: number;
  readonly vnetHeader?: number;
  /** 1 = outlives the process that made it. */
  readonly persist?: number;
  readonly multiQueue?: number;
}

// The kernel reads the peer as a whole ifinfomsg message without flagging the attribute as nested.
const VETH = new AttributeSchema<VethOptions>({
  peer: [nl.VETH_INFO_PEER, nested<LinkRequest>({ encode: encodeLink, decode: decodeLink }, { flags: 0 })],
});

const BRIDGE = new AttributeSchema<BridgeOptions>({
  stpState: [nl.IFLA_BR_STP_STATE, U32],
  forwardDelay: [nl.IFLA_BR_FORWARD_DELAY, U32],
  vlanFiltering: [nl.IFLA_BR_VLAN_FILTERING, U8],
  mcastSnooping: [nl.IFLA_BR_MCAST_SNOOPING, U8],
});

const TUN = new AttributeSchema<TunOptions>({
  owner: [nl.IFLA_TUN_OWNER, U32],
  ownerGroup: [nl.IFLA_TUN_GROUP, U32],
  tunType: [nl.IFLA_TUN_TYPE, U8],
  packetInformation: [nl.IFLA_TUN_PI, U8],
  vnetHeader: [nl.IFLA_TUN_VNET_HDR, U8],
  persist: [nl.IFLA_TUN_PERSIST, U8],
  multiQueue: [nl.IFLA_TUN_MULTI_QUEUE, U8],
});

/** Link info of a veth pair. */
export function vethInfo(options: VethOptions): LinkInfo {
  return { kind: "veth", data: VETH.encode(options) };
}

/** Decodes the data of a request for a veth pair. @throws {CodecError} If it is cut short. */
export function decodeVethOptions(data: Uint8Array): VethOptions & UnknownAttributes {
  return VETH.decode(data);
}

/** Link info of a bridge. */
export function bridgeInfo(options: BridgeOptions & Partial<UnknownAttributes> = {}): LinkInfo {
  return { kind: "bridge", data: BRIDGE.encode(options) };
}

/** Decodes the data of a bridge. @throws {CodecError} If it is cut short. */
export function decodeBridgeOptions(data: Uint8Array): BridgeOptions & UnknownAttributes {
  return BRIDGE.decode(data);
}

/** Decodes the data of a TUN or TAP device. @throws {CodecError} If it is cut short. */
export function decodeTunOptions(data: Uint8Array): TunOptions & UnknownAttributes {
  return TUN.decode(data);
}

/** Link info of a WireGuard device, which has no options of its own; see `wireguard.ts`. */
export function wireguardInfo(): LinkInfo {
  return { kind: "wireguard" };
}
