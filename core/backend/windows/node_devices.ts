/**
 * What a Windows node's backend asks of its WireGuard devices, apart from containers. It is the seam between HCN,
 * which is there on every node that runs containers, and Wintun, which has to be brought along.
 */

import type { IpAddress } from "../../ip/address.ts";
import { NotFoundError, UnsupportedError } from "../../errors.ts";
import type { BackendCapabilities, DeviceState, Egress, NetworkBackend } from "../backend.ts";

/** The part of {@linkcode NetworkBackend} that has to do with devices; `inventory` lists those only. */
export interface NodeDevices extends
  Pick<
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
  > {
  /**
   * Gives up an address, because the host's adapter on a container network is about to have it: one address cannot
   * be on two interfaces.
   */
  yieldAddress?(address: IpAddress): Promise<void>;
  /** Lets packets pass between the devices and the host's adapter on a container network, which has this address. */
  admitAdapter?(address: IpAddress): Promise<void>;
}

const NO_DEVICES = "this release has no WireGuard for Windows: the overlay cannot come up";

/** Of a node without a library for devices: containers on its own network are all there is. */
export class NoDevices implements NodeDevices {
  capabilities(): Promise<BackendCapabilities> {
    return Promise.resolve({ wireguard: { kind: "none", reason: NO_DEVICES } });
  }

  ensureDevice(): Promise<void> {
    return Promise.reject(new UnsupportedError(NO_DEVICES));
  }

  changeDevice(name: string): Promise<void> {
    return Promise.reject(new NotFoundError("WireGuard device", name));
  }

  readDevice(name: string): Promise<DeviceState> {
    return Promise.reject(new NotFoundError("WireGuard device", name));
  }

  removeDevice(): Promise<void> {
    return Promise.resolve();
  }

  watchPeers(): () => void {
    return () => {};
  }

  inventory(): Promise<[]> {
    return Promise.resolve([]);
  }

  egress(): Promise<Egress> {
    return Promise.reject(new UnsupportedError("the way out of this host is not looked up: " + NO_DEVICES));
  }

  isUdpPortFree(): Promise<boolean> {
    return Promise.resolve(true);
  }

  watch(): Promise<() => void> {
    return Promise.resolve(() => {});
  }

  close(): void {}
}
