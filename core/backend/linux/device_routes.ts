/** Routes through a WireGuard device: those that the domain asks for, and no others of ours. */

import { EEXIST } from "../../../ffi/errno.ts";
import { AlreadyExistsError } from "../../errors.ts";
import { canonicalPrefix, formatPrefix, type IpPrefix, prefixEquals } from "../../ip/prefix.ts";
import type { DeviceSpec } from "../backend.ts";
import { hasErrno, isGone, translate } from "./kernel_errors.ts";
import { addRoute, deleteRoute } from "./requests.ts";
import { destinationOf, ourRoutes } from "./routes.ts";
import type { RtNetlink } from "./rtnetlink.ts";

/** Makes the routes of ours by this device exactly those specified. */
export function ensureRoutes(host: RtNetlink, index: number, spec: DeviceSpec): void {
  const present = routesOf(host, index);
  // The kernel made the one of the address. One within it is none too many: it may be a host that a bridge claims.
  const wanted = spec.routes.filter((route) => !prefixEquals(canonicalPrefix(spec.address), route));
  const [had, wants] = [present, wanted].map((routes) => new Set(routes.map(textOf)));
  removeRoutes(host, index, present.filter((route) => !wants!.has(textOf(route))));
  addRoutes(host, index, wanted.filter((route) => !had!.has(textOf(route))));
}

function routesOf(host: RtNetlink, index: number): IpPrefix[] {
  return ourRoutes(host, { index }).map(destinationOf).filter((prefix) => prefix !== undefined);
}

/**
 * Adds routes that are missing. The kernel says which are there; all are read only when it does, as a device may
 * have thousands.
 *
 * @returns Those added; all of them are undone if one fails.
 */
export function addRoutes(host: RtNetlink, index: number, routes: readonly IpPrefix[]): IpPrefix[] {
  const outcomes = host.tryExecute(routes.map((destination) => addRoute({ destination, index })));
  const added = routes.filter((_, i) => outcomes[i] === undefined);
  const failed = firstFailure(host, index, { routes, outcomes });
  if (failed === undefined) return added;
  removeRoutes(host, index, added);
  const what = formatPrefix(routes[failed]!);
  if (hasErrno(outcomes[failed], EEXIST)) {
    throw new AlreadyExistsError(`route ${what} already exists by another interface; remove it first`, {
      cause: outcomes[failed],
    });
  }
  throw translate(`add route ${what}`, outcomes[failed]);
}

/** Position of the first route that could not be had; one that the device has already is no failure. */
function firstFailure(
  host: RtNetlink,
  index: number,
  { routes, outcomes }: {
    readonly routes: readonly IpPrefix[];
    readonly outcomes: ReturnType<RtNetlink["tryExecute"]>;
  },
): number | undefined {
  const exists = outcomes.some((error) => hasErrno(error, EEXIST));
  const present = new Set(exists ? routesOf(host, index).map(textOf) : []);
  const failed = outcomes.findIndex((error, i) =>
    error !== undefined && !(hasErrno(error, EEXIST) && present.has(textOf(routes[i]!)))
  );
  return failed < 0 ? undefined : failed;
}

function textOf(route: IpPrefix): string {
  return formatPrefix(canonicalPrefix(route));
}

/** Removes routes; those that are gone are passed over. */
export function removeRoutes(host: RtNetlink, index: number, routes: readonly IpPrefix[]): void {
  const outcomes = host.tryExecute(routes.map((destination) => deleteRoute({ destination, index })));
  const failed = outcomes.find((error) => error !== undefined && !isGone(error));
  if (failed) throw translate("remove routes", failed);
}
