/**
 * Which link the routing table sends something by, and whether that may have changed since it was last asked.
 *
 * @see rtnetlink(7) `RTM_GETROUTE`; ip-route(8) `ip route get`.
 */

import { NetlinkError } from "./errors.ts";
import { NetlinkConnection } from "./netlink.ts";
import * as nl from "./netlink/constants.ts";
import { decodeRoute, encodeRoute } from "./netlink/route.ts";
import { type NetlinkSocket, openNetlinkSocket } from "./netlink_socket.ts";

/** A deleted link takes its IPv4 routes along without a word, and addresses decide who may send at all. */
const GROUPS = [
  nl.RTNLGRP_LINK,
  nl.RTNLGRP_IPV4_IFADDR,
  nl.RTNLGRP_IPV4_ROUTE,
  nl.RTNLGRP_IPV4_RULE,
  nl.RTNLGRP_IPV6_IFADDR,
  nl.RTNLGRP_IPV6_ROUTE,
  nl.RTNLGRP_IPV6_RULE,
] as const;

/** What is asked. */
export interface RouteQuestion {
  /** 4 or 16 bytes. */
  readonly destination: Uint8Array;
  /** Of the same family. */
  readonly source: Uint8Array;
  /** u32, 0 for none. */
  readonly fwmark: number;
}

/** The routing table of a network namespace. */
export class RouteLookup implements Disposable {
  readonly #questions: NetlinkConnection;
  readonly #news: NetlinkSocket;

  private constructor(questions: NetlinkConnection, news: NetlinkSocket) {
    this.#questions = questions;
    this.#news = news;
  }

  /** Opens it in the namespace of this thread. @throws {ErrnoError} If the kernel gives no netlink socket. */
  static open(): RouteLookup {
    const news = openNetlinkSocket(nl.NETLINK_ROUTE, { groups: GROUPS });
    try {
      return new RouteLookup(NetlinkConnection.open(nl.NETLINK_ROUTE), news);
    } catch (error) {
      news[Symbol.dispose]();
      throw error;
    }
  }

  /** Index of the link; undefined if there is no way, or none from that source. */
  outIndex({ destination, source, fwmark }: RouteQuestion): number | undefined {
    const bits = destination.length * 8;
    const payload = encodeRoute({
      family: bits === 32 ? nl.AF_INET : nl.AF_INET6,
      destinationLength: bits,
      sourceLength: bits,
      destination,
      source,
      ...fwmark === 0 ? {} : { mark: fwmark },
    });
    try {
      const replies = this.#questions.request({
        what: "ask for a route",
        type: nl.RTM_GETROUTE,
        flags: 0,
        payload,
      });
      return replies.length === 0 ? undefined : decodeRoute(replies[0]!.payload).outIndex;
    } catch (error) {
      if (error instanceof NetlinkError) return undefined;
      throw error;
    }
  }

  /** Whether links, addresses, routes or rules have changed since the last time this was asked. */
  hasChanged(): boolean {
    let changed = false;
    while (this.#news.receive().kind !== "empty") changed = true;
    return changed;
  }

  /** Closes its sockets. */
  [Symbol.dispose](): void {
    this.#questions[Symbol.dispose]();
    this.#news[Symbol.dispose]();
  }
}
