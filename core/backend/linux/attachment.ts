/**
 * Connecting a container: one veth pair per link, its far end born in the container's namespace.
 *
 * Two conversations a link: in the host's namespace the pair is made (nothing is moved or renamed) and the host
 * end tagged, joined and brought up; on a socket opened inside the container's namespace the container's end is
 * given its address and routes.
 */

import { EEXIST } from "../../../ffi/errno.ts";
import type { NetlinkRequest, Outcomes } from "../../../ffi/netlink.ts";
import * as nl from "../../../ffi/netlink/constants.ts";
import type { LinkRequest, LinkSummary } from "../../../ffi/netlink/link.ts";
import { vethInfo } from "../../../ffi/netlink/link_kind.ts";
import { AlreadyExistsError, NotFoundError, type OverlayError, TeardownError } from "../../errors.ts";
import type { IpPrefix } from "../../ip/prefix.ts";
import { hostPrefix } from "../../ip/prefix.ts";
import type { ContainerLinkSpec, ContainerSpec } from "../backend.ts";
import { hasErrno, translate } from "./kernel_errors.ts";
import type { LinkRemover } from "./link_remover.ts";
import { foreignLink, isOwnedBy, NEWBORN_GROUP, tagOf } from "./ownership.ts";
import { openNetns, stillRuns } from "./process.ts";
import { addAddress, addRoute, createLink, LINK_UP, pinNeighbour, setLink } from "./requests.ts";
import { RtNetlink } from "./rtnetlink.ts";
import type { HostSysctls } from "./sysctl.ts";

/** What attaching works with. */
export interface AttachmentTools {
  /** The host's namespace. */
  readonly host: RtNetlink;
  readonly remover: LinkRemover;
  readonly sysctls: HostSysctls;
}

/** Index of `lo` in every namespace (`LOOPBACK_IFINDEX`). */
const LOOPBACK_INDEX = 1;

/** Connects a container, or leaves nothing behind. @throws {OverlayError} As `NetworkBackend.attachContainer`. */
export async function attachContainer(tools: AttachmentTools, spec: ContainerSpec): Promise<void> {
  const doing = `attach process ${spec.netns.pid}`;
  const begun: ContainerLinkSpec[] = [];
  try {
    using netns = openNetns(spec.netns);
    using inside = RtNetlink.open({ netnsFd: netns.fd });
    for (const link of spec.links) {
      // Before it is made: if the kernel's answer is lost, it may be there all the same.
      begun.push(link);
      // What is in the way is looked at, and waited for, only when the kernel says so: it rarely is.
      let place = tryCreatePair(tools.host, link, netns.fd);
      if (place === undefined) {
        await clearTheWay(tools, link, { inside, pid: spec.netns.pid });
        place = createPair(tools.host, link, netns.fd);
      }
      configureHostEnd(tools, link, place);
      configureInside(inside, link, place.hostEnd);
    }
    if (!stillRuns(spec.netns)) throw new NotFoundError("process", String(spec.netns.pid));
  } catch (error) {
    await undo(tools, begun, translate(doing, error));
  }
}

/** Removes what was made of links, then throws why; if that fails too, both. */
async function undo(
  tools: AttachmentTools,
  begun: readonly ContainerLinkSpec[],
  why: OverlayError,
): Promise<never> {
  try {
    await tools.remover.remove(begun.map(({ hostName, tag }) => ({ name: hostName, tag })));
  } catch (error) {
    throw new TeardownError(`${why.message}; and undoing it failed`, [error]);
  }
  throw why;
}

/**
 * Puts the host end of a live link right.
 *
 * @returns False if it is not there.
 */
export function mendContainerLink(tools: AttachmentTools, link: ContainerLinkSpec): boolean {
  const { place } = executeAndLook(tools.host, [], link);
  if (place === undefined || !isOwnedBy(place.hostEnd, link.tag)) return false;
  configureHostEnd(tools, link, place);
  return true;
}

/** Where a link is on the host. */
interface Place {
  readonly hostEnd: LinkSummary;
  /** What it is a port of, or to become one; absent: it is routed, or there is no such bridge. */
  readonly bridge?: LinkSummary;
}

/** Runs requests and, in the same datagram, looks where the link is. */
function executeAndLook(
  host: RtNetlink,
  requests: readonly NetlinkRequest[],
  { hostName, uplink }: ContainerLinkSpec,
): { readonly outcomes: Outcomes; readonly place: Place | undefined } {
  const names = uplink.kind === "bridge" ? [hostName, uplink.bridge] : [hostName];
  const { outcomes, links: [hostEnd, bridge] } = host.executeAndFind(requests, names);
  return { outcomes, place: hostEnd && { hostEnd, ...bridge === undefined ? {} : { bridge } } };
}

/** Makes the pair. @throws {NetlinkError} With `EEXIST` if one of the names is taken. */
function createPair(host: RtNetlink, link: ContainerLinkSpec, netnsFd: number): Place {
  const { outcomes: [error], place } = executeAndLook(host, [pairRequest(link, netnsFd)], link);
  if (error) throw error;
  if (place) return place;
  throw new NotFoundError("link", link.hostName);
}

/** @returns `undefined` if one of the names is taken. */
function tryCreatePair(host: RtNetlink, link: ContainerLinkSpec, netnsFd: number): Place | undefined {
  try {
    return createPair(host, link, netnsFd);
  } catch (error) {
    if (hasErrno(error, EEXIST)) return undefined;
    throw error;
  }
}

/**
 * A queue costs the kernel memory and several files in sysfs, and it makes one for each processor unless told how
 * many. Veth sends without a queue's lock, so more than one serve nothing here.
 */
const ONE_QUEUE = { numTxQueues: 1, numRxQueues: 1 } as const;

function pairRequest(link: ContainerLinkSpec, netnsFd: number): NetlinkRequest {
  const both: LinkRequest = { mtuBytes: link.mtuBytes, ...ONE_QUEUE };
  const peer: LinkRequest = { name: link.containerName, address: link.mac, netNsFd: netnsFd, ...both };
  return createLink(link.hostName, { group: NEWBORN_GROUP, ...both, info: vethInfo({ peer }) });
}

/** The container, as far as what is in the way there matters. */
interface FarEnd {
  readonly inside: RtNetlink;
  readonly pid: number;
}

/** Removes a link of ours that was left by an attach that never ended; anything else in the way is refused. */
async function clearTheWay(tools: AttachmentTools, link: ContainerLinkSpec, far: FarEnd): Promise<void> {
  const present = tools.host.findLink(link.hostName);
  if (present !== undefined) {
    if (!isOwnedBy(present, link.tag)) throw foreignLink(present);
    await tools.remover.remove([{ name: link.hostName, tag: link.tag }]);
  }
  if (far.inside.findLink(link.containerName) === undefined) return;
  throw new AlreadyExistsError(
    `cannot attach process ${far.pid} by ${link.hostName}: its namespace already has an interface ` +
      link.containerName,
  );
}

/** Tag, MTU, place and state of the host end. @param place As it is so far. */
function configureHostEnd(tools: AttachmentTools, link: ContainerLinkSpec, { hostEnd, bridge }: Place): void {
  const { host, sysctls } = tools;
  const target = { index: hostEnd.index };
  const set = (change: LinkRequest): NetlinkRequest => setLink(link.hostName, target, change);
  const identity: LinkRequest = {
    ...tagOf(hostEnd) === link.tag ? {} : { alias: link.tag, group: 0 },
    ...hostEnd.mtuBytes === link.mtuBytes ? {} : { mtuBytes: link.mtuBytes },
    afSpec: familyOptions(link, sysctls.hasIpv6),
  };
  if (link.uplink.kind === "bridge") {
    if (bridge?.info?.kind !== "bridge") throw new NotFoundError("bridge", link.uplink.bridge);
    const master = hostEnd.master === bridge.index ? {} : { master: bridge.index };
    host.execute(set(identity), set({ ...master, ...LINK_UP }));
  } else {
    const route = { destination: hostPrefix(link.address.address), index: hostEnd.index };
    host.execute(
      set(identity),
      set(LINK_UP),
      addRoute(route, { replace: true }),
      pinNeighbour(hostEnd.index, link.address.address, link.mac),
    );
    if (link.address.address.family === 6) sysctls.enableIpv6Forwarding(link.hostName);
  }
}

/** A host end needs no IPv6 link-local address; a routed one forwards. */
function familyOptions(link: ContainerLinkSpec, hasIpv6: boolean): NonNullable<LinkRequest["afSpec"]> {
  return {
    ...link.uplink.kind === "routed" ? { inet: { conf: new Map([[nl.IPV4_DEVCONF_FORWARDING, 1]]) } } : {},
    ...hasIpv6 ? { inet6: { addressGenerationMode: nl.IN6_ADDR_GEN_MODE_NONE } } : {},
  };
}

/** Address and routes of the container's end, and `lo` up. */
function configureInside(inside: RtNetlink, link: ContainerLinkSpec, hostEnd: LinkSummary): void {
  // Each end of a pair tells the other's index.
  const index = hostEnd.link ?? inside.link(link.containerName).index;
  inside.execute(
    setLink("lo", { index: LOOPBACK_INDEX }, LINK_UP),
    setLink(link.containerName, { index }, LINK_UP),
    ...link.uplink.kind === "bridge"
      ? bridgedRequests(index, link.address, link.uplink)
      : routedRequests(index, link.address, link.uplink, hostEnd.address!),
  );
}

type Uplink<K> = Extract<ContainerLinkSpec["uplink"], { kind: K }>;

function bridgedRequests(index: number, address: IpPrefix, uplink: Uplink<"bridge">): NetlinkRequest[] {
  const { gateway } = uplink;
  const everything = { address: { family: gateway.family, value: 0n }, length: 0 };
  return [addAddress(index, address), addRoute({ destination: everything, index, gateway })];
}

/**
 * The gateway is an address that the host has elsewhere; it is behind the host end, whose hardware address is
 * known. Pinning that spares ARP, which `arp_ignore` may forbid, and NDP, which would not answer at all.
 */
function routedRequests(
  index: number,
  address: IpPrefix,
  uplink: Uplink<"routed">,
  hostMac: Uint8Array,
): NetlinkRequest[] {
  const { gateway, routes } = uplink;
  const source = address.address;
  return [
    addAddress(index, address, { withoutRoute: true }),
    pinNeighbour(index, gateway, hostMac),
    addRoute({ destination: hostPrefix(gateway), index, source }),
    ...routes.map((destination) => addRoute({ destination, index, gateway, source })),
  ];
}
