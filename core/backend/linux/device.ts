/** WireGuard devices of the kernel: link, key, peers, address and routes, changed in place. */

import { EEXIST, EOPNOTSUPP } from "../../../ffi/errno.ts";
import * as nl from "../../../ffi/netlink/constants.ts";
import type { Link } from "../../../ffi/netlink/link.ts";
import { wireguardInfo } from "../../../ffi/netlink/link_kind.ts";
import { AlreadyExistsError, InvalidConfigError, NotFoundError, UnsupportedError } from "../../errors.ts";
import { canonicalPrefix, formatPrefix, type IpPrefix, prefixEquals } from "../../ip/prefix.ts";
import type { DeviceChange, DeviceSpec, DeviceState } from "../backend.ts";
import { ensureOnlyAddress } from "./addresses.ts";
import { planChange, planDevice, toDeviceState } from "./device_plan.ts";
import { hasErrno, isGone, translate } from "./kernel_errors.ts";
import { foreignLink, isOwnedBy, NEWBORN_GROUP, tagOf } from "./ownership.ts";
import { addRoute, createLink, deleteRoute, LINK_UP, setLink } from "./requests.ts";
import { destinationOf, ourRoutes } from "./routes.ts";
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
  return toDeviceState(tools.wireguard.read(name));
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

function refuseDefaultRoute(route: IpPrefix): void {
  if (route.length > 0) return;
  throw new InvalidConfigError(`route ${formatPrefix(route)} would take over the host's default route`);
}

/** Makes the routes of ours by this device exactly those specified. */
function ensureRoutes(host: RtNetlink, index: number, spec: DeviceSpec): void {
  const present = routesOf(host, index);
  // The kernel made the one of the address. One within it is none too many: it may be a host that a bridge claims.
  const wanted = spec.routes.filter((route) => !prefixEquals(canonicalPrefix(spec.address), route));
  removeRoutes(host, index, present.filter((route) => !wanted.some((one) => prefixEquals(one, route))));
  addRoutes(host, index, wanted.filter((route) => !present.some((one) => prefixEquals(one, route))));
}

function routesOf(host: RtNetlink, index: number): IpPrefix[] {
  return ourRoutes(host, { index }).map(destinationOf).filter((prefix) => prefix !== undefined);
}

/** @returns Those added; all of them are undone if one fails. */
function addRoutes(host: RtNetlink, index: number, routes: readonly IpPrefix[]): IpPrefix[] {
  const present = routes.length === 0 ? [] : routesOf(host, index);
  const missing = routes.filter((route) => !present.some((one) => prefixEquals(one, route)));
  const outcomes = host.tryExecute(missing.map((destination) => addRoute({ destination, index })));
  const failed = outcomes.findIndex((error) => error !== undefined);
  if (failed < 0) return missing;
  removeRoutes(host, index, missing.filter((_, i) => outcomes[i] === undefined));
  const what = formatPrefix(missing[failed]!);
  if (hasErrno(outcomes[failed], EEXIST)) {
    throw new AlreadyExistsError(`route ${what} already exists by another interface; remove it first`, {
      cause: outcomes[failed],
    });
  }
  throw translate(`add route ${what}`, outcomes[failed]);
}

function removeRoutes(host: RtNetlink, index: number, routes: readonly IpPrefix[]): void {
  const outcomes = host.tryExecute(routes.map((destination) => deleteRoute({ destination, index })));
  const failed = outcomes.find((error) => error !== undefined && !isGone(error));
  if (failed) throw translate("remove routes", failed);
}
