/**
 * Routes through a device. An adapter comes with its device and goes with it, so all its routes are of this process,
 * which knows which they are.
 */

import { ERROR_OBJECT_ALREADY_EXISTS, type IpHelper } from "../../../ffi/iphlpapi.ts";
import { encodeOnLinkRoute } from "../../../ffi/windows/forward_row.ts";
import { Win32Error } from "../../../ffi/windows/win32_error.ts";
import { ipToBytes } from "../../ip/address.ts";
import { canonicalPrefix, formatPrefix, type IpPrefix, prefixEquals } from "../../ip/prefix.ts";
import { isGoneCode } from "./win32_errors.ts";

/** Containers' own networks have longer prefixes, and so come first whatever this is. */
const METRIC = 256;

/** The routes of one device. */
export class DeviceRoutes {
  readonly #ipHelper: IpHelper;
  readonly #luid: bigint;
  #present: readonly IpPrefix[] = [];

  /** For a new adapter. */
  constructor(ipHelper: IpHelper, luid: bigint) {
    this.#ipHelper = ipHelper;
    this.#luid = luid;
  }

  /** Those that were made and not removed, without host bits. */
  get present(): readonly IpPrefix[] {
    return this.#present;
  }

  /** Makes the routes exactly these; somebody may have removed some meanwhile. @throws {Win32Error} */
  ensure(routes: readonly IpPrefix[]): void {
    const wanted = routes.map(canonicalPrefix);
    this.remove(this.#present.filter((route) => !wanted.some((one) => prefixEquals(one, route))));
    this.add(wanted);
  }

  /**
   * Adds routes; those that are there already are passed over.
   *
   * @returns Those added; all of them are undone if one fails.
   * @throws {Win32Error} If Windows refuses one.
   */
  add(routes: readonly IpPrefix[]): IpPrefix[] {
    const added: IpPrefix[] = [];
    for (const route of routes.map(canonicalPrefix)) {
      const code = this.#ipHelper.createRoute(this.#row(route));
      if (code === 0) added.push(route);
      if (code === 0 || code === ERROR_OBJECT_ALREADY_EXISTS) this.#note(route);
      else {
        this.remove(added);
        throw new Win32Error(`add route ${formatPrefix(route)}`, "CreateIpForwardEntry2", code);
      }
    }
    return added;
  }

  /** Removes routes; those that are gone are passed over. @throws {Win32Error} If Windows refuses one. */
  remove(routes: readonly IpPrefix[]): void {
    for (const route of routes.map(canonicalPrefix)) {
      const code = this.#ipHelper.deleteRoute(this.#row(route));
      if (code !== 0 && !isGoneCode(code)) {
        throw new Win32Error(`remove route ${formatPrefix(route)}`, "DeleteIpForwardEntry2", code);
      }
      this.#present = this.#present.filter((one) => !prefixEquals(one, route));
    }
  }

  #note(route: IpPrefix): void {
    if (!this.#present.some((one) => prefixEquals(one, route))) this.#present = [...this.#present, route];
  }

  #row(route: IpPrefix): Uint8Array<ArrayBuffer> {
    return encodeOnLinkRoute({
      luid: this.#luid,
      destination: ipToBytes(route.address),
      prefixLength: route.length,
      metric: METRIC,
    });
  }
}
