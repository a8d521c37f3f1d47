/** WireGuard devices of the kernel: link, key, peers, address and routes, changed in place. */

import { EOPNOTSUPP } from "../../../ffi/errno.ts";
import * as nl from "../../../ffi/netlink/constants.ts";
import type { Link } from "../../../ffi/netlink/link.ts";
import { wireguardInfo } from "../../../ffi/netlink/link_kind.ts";
import { NotFoundError, UnsupportedError } from "../../errors.ts";
import type { DeviceChange, DeviceSpec, DeviceState } from "../backend.ts";
import { planChange, planDevice, refuseDefaultRoute, toDeviceState } from "../device_plan.ts";
import { ensureOnlyAddress } from "./addresses.ts";
import { addRoutes, ensureRoutes, removeRoutes } from "./device_routes.ts";
import { hasErrno } from "./kernel_errors.ts";
import { foreignLink, isOwnedBy, NEWBORN_GROUP, tagOf } from "./ownership.ts";
import { createLink, LINK_UP, setLink } from "./requests.ts";
import type { RtNetlink } from "./rtnetlink.ts";
import type { HostSysctls } from "./sysctl.ts";
import { NO_KERNEL_WIREGUARD, type WireGuardControl } from "./wireguard_control.ts";

/** What devices are made with. */
export interface DeviceTools {
  readonly host: RtNetlink;
  readonly wireguard: WireGuardControl;
  readonly sysctls: HostSysctls;
}

/** Makes the device right. @throws {OverlayError} As `NetworkBackend.ensureDevice`. */
export function ensureDevice(tools: DeviceTools, spec: DeviceSpec): void {
  const { host, wireguard, sysctls } = tools;
  spec.routes.forEach(refuseDefaultRoute);
  const link = findOrCreate(host, spec);
  const target = { index: link.index };
  host.execute(setLink(spec.name, target, {
    ...tagOf(link) === spec.tag ? {} : { alias: spec.tag, group: 0 },
    ...link.mtuBytes === spec.mtuBytes ? {} : { mtuBytes: spec.mtuBytes },
    // Packets from other nodes come in here and go on to containers.
    afSpec: { inet: { conf: new Map([[nl.IPV4_DEVCONF_FORWARDING, 1]]) } },
  }));
  const change = planDevice(wireguard.read(spec.name), spec);
  if (change) wireguard.write(change);
  ensureOnlyAddress(host, link.index, spec.address);
  host.execute(setLink(spec.name, target, LINK_UP));
  if (spec.address.address.family === 6) sysctls.enableIpv6Forwarding(spec.name);
  ensureRoutes(host, link.index, spec);
}

/** Changes peers and routes. @throws {OverlayError} As `NetworkBackend.changeDevice`. */
export function changeDevice(tools: DeviceTools, name: string, change: DeviceChange): void {
  change.addRoutes.forEach(refuseDefaultRoute);
  const { index } = wireguardLink(tools.host, name);
  const added = addRoutes(tools.host, index, change.addRoutes);
  try {
    const request = planChange(name, tools.wireguard.read(name), change);
    if (request) tools.wireguard.write(request);
  } catch (error) {
    removeRoutes(tools.host, index, added);
    throw error;
  }
  removeRoutes(tools.host, index, change.removeRoutes);
}

/** Reads a device. @throws {NotFoundError} If there is none. */
export function readDevice(tools: DeviceTools, name: string): DeviceState {
  wireguardLink(tools.host, name);
  return toDeviceState(tools.wireguard.read(name), { kind: "kernel" });
}

function wireguardLink(host: RtNetlink, name: string): Link {
  const link = host.findLink(name);
  if (link?.info?.kind !== "wireguard") throw new NotFoundError("WireGuard device", name);
  return link;
}

function findOrCreate(host: RtNetlink, spec: DeviceSpec): Link {
  const present = host.findLink(spec.name);
  if (present !== undefined) {
    if (present.info?.kind !== "wireguard" || !isOwnedBy(present, spec.tag)) throw foreignLink(present);
    return present;
  }
  try {
    host.execute(createLink(spec.name, { group: NEWBORN_GROUP, info: wireguardInfo() }));
  } catch (cause) {
    if (hasErrno(cause, EOPNOTSUPP)) throw new UnsupportedError(NO_KERNEL_WIREGUARD, { cause });
    throw cause;
  }
  return host.link(spec.name);
}
