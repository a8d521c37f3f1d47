/** Routes through a WireGuard device: those that the domain asks for, and no others of ours. */

import { EEXIST } from "../../../ffi/errno.ts";
import { AlreadyExistsError, InvalidConfigError } from "../../errors.ts";
import { canonicalPrefix, formatPrefix, type IpPrefix, prefixEquals } from "../../ip/prefix.ts";
import type { DeviceSpec } from "../backend.ts";
import { hasErrno, isGone, translate } from "./kernel_errors.ts";
import { addRoute, deleteRoute } from "./requests.ts";
import { destinationOf, ourRoutes } from "./routes.ts";
import type { RtNetlink } from "./rtnetlink.ts";

/** A default route through a device is never ours to make. @throws {InvalidConfigError} */
export function refuseDefaultRoute(route: IpPrefix): void {
  if (route.length > 0) return;
  throw new InvalidConfigError(`route ${formatPrefix(route)} would take over the host's default route`);
}

/** Makes the routes of ours by this device exactly those specified. */
export function ensureRoutes(host: RtNetlink, index: number, spec: DeviceSpec): void {
  const present = routesOf(host, index);
  // The kernel made the one of the address. One within it is none too many: it may be a host that a bridge claims.
  const wanted = spec.routes.filter((route) => !prefixEquals(canonicalPrefix(spec.address), route));
  removeRoutes(host, index, present.filter((route) => !wanted.some((one) => prefixEquals(one, route))));
  addRoutes(host, index, wanted.filter((route) => !present.some((one) => prefixEquals(one, route))));
}

function routesOf(host: RtNetlink, index: number): IpPrefix[] {
  return ourRoutes(host, { index }).map(destinationOf).filter((prefix) => prefix !== undefined);
}

/** Adds routes that are missing. @returns Those added; all of them are undone if one fails. */
export function addRoutes(host: RtNetlink, index: number, routes: readonly IpPrefix[]): IpPrefix[] {
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

/** Removes routes; those that are gone are passed over. */
export function removeRoutes(host: RtNetlink, index: number, routes: readonly IpPrefix[]): void {
  const outcomes = host.tryExecute(routes.map((destination) => deleteRoute({ destination, index })));
  const failed = outcomes.find((error) => error !== undefined && !isGone(error));
  if (failed) throw translate("remove routes", failed);
}
