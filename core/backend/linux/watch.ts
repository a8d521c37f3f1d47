/** Telling when something of ours was changed from outside: notifications of links, addresses and routes. */

import { CodecError } from "../../../ffi/bytes.ts";
import { type NetlinkListener, NetlinkSubscription } from "../../../ffi/netlink.ts";
import { decodeAddress } from "../../../ffi/netlink/address.ts";
import * as nl from "../../../ffi/netlink/constants.ts";
import { decodeLinkIdentity, type LinkIdentity, type LinkSummary } from "../../../ffi/netlink/link.ts";
import type { NetlinkMessage } from "../../../ffi/netlink/message.ts";
import { decodeRoute } from "../../../ffi/netlink/route.ts";
import { openNetlinkSocket } from "../../../ffi/netlink_socket.ts";
import { isOfInterest } from "./inventory.ts";
import { tagOf } from "./ownership.ts";

/** Groups that a watcher joins. */
export const WATCHED_GROUPS = [
  nl.RTNLGRP_LINK,
  nl.RTNLGRP_IPV4_IFADDR,
  nl.RTNLGRP_IPV6_IFADDR,
  nl.RTNLGRP_IPV4_ROUTE,
  nl.RTNLGRP_IPV6_ROUTE,
] as const;

/** Every change of our own comes back as some nine notifications: read them in bulk. */
const GATHER_MS = 50;

/** Calls back with names of links of interest. Keeps which index is whose, as addresses and routes name no link. */
export class LinkWatcher implements NetlinkListener {
  readonly #onChange: (name: string) => void;
  readonly #readLinks: () => readonly LinkSummary[];
  /** Links of interest by index. */
  #names: Map<number, string>;

  /** @param readLinks Lists all links; called at once, and again when notifications were lost. */
  constructor(onChange: (name: string) => void, readLinks: () => readonly LinkSummary[]) {
    this.#onChange = onChange;
    this.#readLinks = readLinks;
    this.#names = this.#readNames();
  }

  onMessage(message: NetlinkMessage): void {
    try {
      const name = this.#changedLink(message);
      if (name !== undefined) this.#onChange(name);
    } catch (error) {
      if (!(error instanceof CodecError)) throw error;
      this.onLost();
    }
  }

  /** Everything of interest, before and now, may have changed. */
  onLost(): void {
    const before = this.#names;
    this.#names = this.#readNames();
    for (const name of new Set([...before.values(), ...this.#names.values()])) this.#onChange(name);
  }

  #changedLink(message: NetlinkMessage): string | undefined {
    switch (message.type) {
      case nl.RTM_NEWLINK:
      case nl.RTM_DELLINK:
        return this.#noteLink(decodeLinkIdentity(message.payload), message.type === nl.RTM_DELLINK);
      case nl.RTM_NEWADDR:
      case nl.RTM_DELADDR:
        return this.#names.get(decodeAddress(message.payload).index);
      case nl.RTM_NEWROUTE:
      case nl.RTM_DELROUTE:
        return this.#names.get(decodeRoute(message.payload).outIndex ?? 0);
      default:
        return undefined;
    }
  }

  #noteLink(link: LinkIdentity, deleted: boolean): string | undefined {
    const former = this.#names.get(link.index);
    // A bridge tells of its ports in the family AF_BRIDGE; such a deletion only means that a port left.
    if (deleted && link.family === nl.AF_BRIDGE) return former;
    const name = link.name ?? "";
    const interesting = isOfInterest(name, tagOf(link));
    if (deleted || !interesting) this.#names.delete(link.index);
    else this.#names.set(link.index, name);
    return interesting ? name : former;
  }

  #readNames(): Map<number, string> {
    return new Map(
      this.#readLinks().filter((link) => isOfInterest(link.name ?? "", tagOf(link)))
        .map((link) => [link.index, link.name!]),
    );
  }
}

/** Starts watching. @param readLinks As {@linkcode LinkWatcher} wants it. */
export function watchLinks(
  onChange: (name: string) => void,
  readLinks: () => readonly LinkSummary[],
): NetlinkSubscription {
  // Joined to the groups before the links are read, so that no change falls between.
  const socket = openNetlinkSocket(nl.NETLINK_ROUTE, { groups: WATCHED_GROUPS });
  try {
    return new NetlinkSubscription(socket, new LinkWatcher(onChange, readLinks), { gatherMs: GATHER_MS });
  } catch (error) {
    socket[Symbol.dispose]();
    throw error;
  }
}
