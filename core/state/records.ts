/** What the daemon remembers: one record type per table of the state database. Values, no behaviour. */

import type { NetnsIdentity } from "../backend/backend.ts";

/**
 * Where an object stands between the caller's word and the kernel.
 *
 * `pending`: asked for, not yet answered; undone at start. `ready`: answered, must hold. `removing`: on its
 * way out; finished at start.
 */
export type Phase = "pending" | "ready" | "removing";

/** The last accepted `setup_global_overlay`, kept through teardown since names and pools depend on it. */
export interface GlobalSettings {
  readonly deployment: string;
  readonly instanceId: string;
  readonly clusterCidr: string;
  readonly sliceCidr?: string;
  readonly wgPort: number;
  readonly natEnabled: boolean;
}

/** The global WireGuard device. */
export interface GlobalDevice {
  readonly interface: string;
  readonly tag: string;
  /** Address with the cluster's prefix length, `10.200.0.1/16`. */
  readonly address: string;
  readonly listenPort: number;
  readonly mtuBytes: number;
  readonly publicKey: string;
  readonly privateKey: string;
  readonly phase: Phase;
}

/** The WireGuard side of a dedicated service. */
export interface DedicatedDevice {
  readonly interface: string;
  readonly tag: string;
  readonly port: number;
  readonly publicKey: string;
  readonly privateKey: string;
  readonly overlayIp: string;
}

/** A service's network on this node. */
export interface ServiceRecord {
  readonly name: string;
  readonly bridge: string;
  readonly tag: string;
  /** Decimal node id that the subnet was assigned under. */
  readonly nodeId: string;
  readonly subnet: string;
  readonly gateway: string;
  readonly mtuBytes: number;
  /** Present while the service is dedicated. */
  readonly dedicated?: DedicatedDevice;
  readonly phase: Phase;
}

/** One address handed out. */
export interface LeaseRecord {
  readonly ip: string;
  /** `node`, or `service:<name>`. */
  readonly pool: string;
  /** `node`, `manual`, `pid:<n>`, `guest:<id>`, `container:<id>`. */
  readonly owner: string;
}

/** One interface of an attached container. */
export interface AttachedLink {
  readonly hostName: string;
  readonly tag: string;
  readonly containerName: string;
  /** Six bytes in hex, colons between. */
  readonly mac: string;
  /** With the length that is on the link. */
  readonly address: string;
  readonly mtuBytes: number;
  readonly uplink:
    | { readonly kind: "bridge"; readonly bridge: string; readonly gateway: string }
    | { readonly kind: "routed"; readonly gateway: string; readonly routes: readonly string[] };
}

/** A container attached by pid. */
export interface AttachmentRecord {
  /** `pid:<n>`. */
  readonly handle: string;
  readonly service: string;
  readonly netns: NetnsIdentity;
  /** eth0 first. */
  readonly links: readonly AttachedLink[];
  readonly dnsServer?: string;
  readonly dnsDomain?: string;
  readonly phase: Phase;
}

/** A container that is attached by an endpoint in a namespace of the host's making (Windows). */
export interface ContainerEndpointRecord {
  /** GUID of the endpoint, chosen before it is made. */
  readonly endpoint: string;
  /** GUID of the namespace. */
  readonly namespace: string;
  readonly containerId: string;
  /** Empty where it is not known, as for one that an earlier daemon left behind. */
  readonly service: string;
  /** The dedicated service whose network it is on; absent: the base network. */
  readonly network?: string;
  readonly ip: string;
  /** `node`, `service:<name>`, or `external`: an address of none of our pools. */
  readonly pool: string;
  /** Hardware address, as the host writes it. */
  readonly mac?: string;
  /** The resolver that it was given; absent where that is not known. */
  readonly dns?: { readonly server?: string; readonly domain?: string };
  /** Taken over from an earlier daemon, and not attached again since: nobody may ever detach it. */
  readonly isImported?: true;
  readonly phase: Phase;
}

/** A guest that runs WireGuard itself. */
export interface GuestRecord {
  readonly id: string;
  readonly service: string;
  readonly overlayIp: string;
  readonly publicKey: string;
  readonly privateKey: string;
  readonly phase: Phase;
}

/** A peer wanted on a device: `""` is the global scope, else the service's name. */
export interface PeerRecord {
  readonly service: string;
  /** Base64. */
  readonly publicKey: string;
  /** As its caller said: `ip:port`, IPv6 in brackets, or `name:port`; empty when unknown. */
  readonly endpoint: string;
  /** CIDRs as the caller wrote them, in order. */
  readonly allowedIps: readonly string[];
  readonly keepaliveSeconds: number;
}

/**
 * Where a peer or guest was last heard from, when that is not what its caller said. Kept apart from
 * {@linkcode PeerRecord}, whose endpoint is the caller's word and stays so.
 */
export interface HeardEndpointRecord {
  /** As in {@linkcode PeerRecord}. */
  readonly service: string;
  /** Base64. */
  readonly publicKey: string;
  /** `ip:port`, IPv6 in brackets. */
  readonly endpoint: string;
  /** When that was noted, Unix time in seconds. */
  readonly heardUnixSecs: number;
}

/** An overlay DNS name. */
export interface DnsRecord {
  readonly name: string;
  readonly ip: string;
}

/** The daemon's own key pair, made once. */
export interface KeyRecord {
  readonly publicKey: string;
  readonly privateKey: string;
}
