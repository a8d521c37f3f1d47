/** The kernel's WireGuard over generic netlink: whole devices read, changes of any size written. */

import { ENOENT } from "../../../ffi/errno.ts";
import { NetlinkConnection, type NetlinkRequest } from "../../../ffi/netlink.ts";
import * as nl from "../../../ffi/netlink/constants.ts";
import {
  decodeFamily,
  decodeGenericMessage,
  encodeFamilyRequest,
  encodeGenericMessage,
} from "../../../ffi/netlink/genetlink.ts";
import {
  decodeDevice,
  encodeDevice,
  mergeDevices,
  splitDevice,
  type WireGuardDevice,
} from "../../../ffi/netlink/wireguard.ts";
import { UnsupportedError } from "../../errors.ts";
import { hasErrno } from "./kernel_errors.ts";

/** Why nothing works without the module, and what helps. */
export const NO_KERNEL_WIREGUARD =
  `kernel has no WireGuard (link type "wireguard" is unknown); load the wireguard module ` +
  `(modprobe wireguard) or install a kernel that has it`;

/** Peers per message, in bytes. */
const MESSAGE_MAX_BYTES = 32 * 1024;

/** See the module. */
export class WireGuardControl implements Disposable {
  readonly #connection: NetlinkConnection;
  #family: number | undefined;

  /** Takes over a connection of `NETLINK_GENERIC`. */
  constructor(connection: NetlinkConnection) {
    this.#connection = connection;
  }

  /** Opens a connection. @throws {ErrnoError} If the kernel refuses. */
  static open(): WireGuardControl {
    return new WireGuardControl(NetlinkConnection.open(nl.NETLINK_GENERIC));
  }

  /** Whether the kernel has WireGuard. Asking makes it load the module, if it may. */
  isAvailable(): boolean {
    this.#family ??= this.#findFamily();
    return this.#family !== undefined;
  }

  /** Reads a device with all its peers. @throws {NetlinkError} With `ENODEV` if there is none. */
  read(name: string): WireGuardDevice {
    const request = this.#request(`read WireGuard device ${name}`, nl.WG_CMD_GET_DEVICE, { name });
    const parts = this.#connection.dump(request)
      .map((message) => decodeDevice(decodeGenericMessage(message.payload).attributes));
    return mergeDevices(parts);
  }

  /** Writes a change, in as many messages as it needs. @throws {NetlinkError} If the kernel refuses one. */
  write(change: WireGuardDevice): void {
    const what = `configure WireGuard device ${change.name}`;
    for (const part of splitDevice(change, MESSAGE_MAX_BYTES)) {
      this.#connection.execute([this.#request(what, nl.WG_CMD_SET_DEVICE, part)]);
    }
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }

  #request(what: string, command: number, device: WireGuardDevice): NetlinkRequest {
    if (!this.isAvailable()) throw new UnsupportedError(NO_KERNEL_WIREGUARD);
    const message = { command, version: nl.WG_GENL_VERSION, attributes: encodeDevice(device) };
    return { what, type: this.#family!, flags: 0, payload: encodeGenericMessage(message) };
  }

  #findFamily(): number | undefined {
    const what = "find the wireguard family";
    const payload = encodeFamilyRequest(nl.WG_GENL_NAME);
    try {
      const [reply] = this.#connection.request({ what, type: nl.GENL_ID_CTRL, flags: 0, payload });
      return decodeFamily(reply!.payload).id;
    } catch (error) {
      if (hasErrno(error, ENOENT)) return undefined;
      throw error;
    }
  }
}
