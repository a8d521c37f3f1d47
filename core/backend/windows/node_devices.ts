/**
 * What containers and WireGuard devices of a Windows node have to do with each other: the seam between HCN, which is
 * there on every node that runs containers, and Wintun, which has to be brought along.
 */

import type { IpAddress } from "../../ip/address.ts";
import type { NetworkBackend } from "../backend.ts";

/** What the networks of containers need of the devices. */
export interface AddressSharing {
  /**
   * Gives up an address, because the host's adapter on a container network is about to have it: one address cannot
   * be on two interfaces. No device takes it back until one of the two below.
   */
  yieldAddress(address: IpAddress): Promise<void>;
  /** Lets the devices have an address after all: there will be no such adapter. */
  reclaimAddress(address: IpAddress): void;
  /**
   * Lets packets pass between the devices and the host's adapter on a container network, which has this address or
   * is about to get it.
   */
  admitAdapter(address: IpAddress): Promise<void>;
}

/** The part of {@linkcode NetworkBackend} that has to do with devices; `inventory` lists those only. */
export type NodeDevices = Pick<
  NetworkBackend,
  | "capabilities"
  | "ensureDevice"
  | "changeDevice"
  | "removeDevice"
  | "readDevice"
  | "watchPeers"
  | "inventory"
  | "egress"
  | "isUdpPortFree"
  | "watch"
  | "close"
>;
