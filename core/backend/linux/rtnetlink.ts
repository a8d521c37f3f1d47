/** One network namespace's links, addresses and routes, as the kernel tells and changes them. */

import { ENODEV } from "../../../ffi/errno.ts";
import { NetlinkConnection, type NetlinkRequest, type Outcomes } from "../../../ffi/netlink.ts";
import { decodeAddress, encodeAddress, type LinkAddress } from "../../../ffi/netlink/address.ts";
import * as nl from "../../../ffi/netlink/constants.ts";
import {
  decodeLink,
  decodeLinkSummary,
  encodeLink,
  type Link,
  type LinkSummary,
} from "../../../ffi/netlink/link.ts";
import { decodeRoute, encodeRoute, type Route } from "../../../ffi/netlink/route.ts";
import { hasErrno } from "./kernel_errors.ts";

const WITHOUT_STATISTICS = { extMask: nl.RTEXT_FILTER_SKIP_STATS } as const;

function getLink(name: string): NetlinkRequest {
  const payload = encodeLink({ name, ...WITHOUT_STATISTICS });
  return { what: `get link ${name}`, type: nl.RTM_GETLINK, flags: 0, payload };
}

/** See the module. Errors are those of `ffi/`. */
export class RtNetlink implements Disposable {
  readonly #connection: NetlinkConnection;

  /** Takes the connection over. */
  constructor(connection: NetlinkConnection) {
    this.#connection = connection;
  }

  /** Opens a connection. @param options Descriptor of the namespace; default: the daemon's own. */
  static open(options: { readonly netnsFd?: number } = {}): RtNetlink {
    return new RtNetlink(NetlinkConnection.open(nl.NETLINK_ROUTE, options));
  }

  /** Runs requests in one datagram. @throws {NetlinkError} The first that failed; all were tried. */
  execute(...requests: readonly NetlinkRequest[]): void {
    this.#connection.execute(requests);
  }

  /**
   * Runs requests in one datagram and looks at links after them, in the same datagram.
   *
   * @returns Each request's outcome, and the links by the order of their names; `undefined` for those not there.
   */
  executeAndFind(
    requests: readonly NetlinkRequest[],
    names: readonly string[],
  ): { readonly outcomes: Outcomes; readonly links: readonly (LinkSummary | undefined)[] } {
    const replies = this.#connection.exchange([...requests, ...names.map((name) => getLink(name))]);
    const [done, found] = [replies.slice(0, requests.length), replies.slice(requests.length)];
    return {
      outcomes: done.map(({ error }) => error),
      links: found.map(({ error, messages }) => {
        if (error && !hasErrno(error, ENODEV)) throw error;
        return error ? undefined : decodeLinkSummary(messages[0]!.payload);
      }),
    };
  }

  /** Runs requests in one datagram and tells each outcome. */
  tryExecute(requests: readonly NetlinkRequest[]): Outcomes {
    return this.#connection.tryExecute(requests);
  }

  /** As `tryExecute`, on another thread. Nothing else may use this object meanwhile. */
  tryExecuteInBackground(requests: readonly NetlinkRequest[]): Promise<Outcomes> {
    return this.#connection.tryExecuteInBackground(requests);
  }

  /** The link of that name, if there is one. */
  findLink(name: string): Link | undefined {
    try {
      return this.link(name);
    } catch (error) {
      if (hasErrno(error, ENODEV)) return undefined;
      throw error;
    }
  }

  /** The link of that name. @throws {NetlinkError} With `ENODEV` if there is none. */
  link(name: string): Link {
    const [reply] = this.#connection.request(getLink(name));
    return decodeLink(reply!.payload);
  }

  /** All links, in short: a node may have thousands. */
  links(): LinkSummary[] {
    return this.#dump("list links", nl.RTM_GETLINK, encodeLink(WITHOUT_STATISTICS))
      .map(decodeLinkSummary);
  }

  /** All addresses, or those of one link. */
  addresses(index = 0): LinkAddress[] {
    return this.#dump("list addresses", nl.RTM_GETADDR, encodeAddress({ index })).map(decodeAddress);
  }

  /** Routes of one family, all or those by one link and one maker. */
  routes(family: number, filter: { readonly index?: number; readonly protocol?: number } = {}): Route[] {
    const payload = encodeRoute({
      family,
      protocol: filter.protocol ?? 0,
      ...filter.index === undefined ? {} : { outIndex: filter.index },
    });
    return this.#dump("list routes", nl.RTM_GETROUTE, payload).map(decodeRoute)
      // A kernel without strict checking ignores the filter.
      .filter((route) => filter.index === undefined || route.outIndex === filter.index)
      .filter((route) => filter.protocol === undefined || route.protocol === filter.protocol);
  }

  #dump(what: string, type: number, payload: Uint8Array): Uint8Array[] {
    return this.#connection.dump({ what, type, flags: 0, payload }).map((message) => message.payload);
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }
}
