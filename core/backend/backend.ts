/**
 * The one seam between the domain and the operating system.
 *
 * Every method is a statement of the wanted end state and may be repeated: "ensure" adopts what is there and
 * matches, mends what differs, makes what is missing; "remove" of what is gone is success. Nothing here
 * decides names, addresses or ownership: those come in, complete. Errors are `OverlayError`s; nobody above
 * sees an errno or an HRESULT.
 *
 * Implementations: `fake.ts` (any OS), `linux.ts`, `windows.ts`. All pass `tests/contract/backend_contract.ts`.
 */

import type { IpAddress } from "../ip/address.ts";
import type { IpPrefix } from "../ip/prefix.ts";
import type { ContainerNetworks } from "./containers.ts";

/**
 * Owner tag of a kernel object, kept in the object itself (`IFLA_IFALIAS` on Linux):
 * `zlayer-overlayd/<deployment>/<installation>:<object>`. `installation` is 16 hex digits made of the data
 * directory, so that two daemons on one host never take each other's links.
 */
export type OwnerTag = string;

/** The network of a service on this node: a bridge on Linux, an HCN network on Windows. */
export interface ServiceNetworkSpec {
  /** Interface name, at most 15 bytes. */
  readonly name: string;
  readonly tag: OwnerTag;
  /** The gateway's address with the subnet's length. */
  readonly gateway: IpPrefix;
  readonly mtuBytes: number;
}

/** A WireGuard device. Keys are 32 bytes; the backend copies and never logs them. */
export interface DeviceSpec {
  /** Interface name, at most 15 bytes. */
  readonly name: string;
  readonly tag: OwnerTag;
  readonly privateKey: Uint8Array;
  readonly listenPort: number;
  /** Address with the prefix that is on the link: the cluster's for the global device, /32 or /128 for a dedicated one. */
  readonly address: IpPrefix;
  readonly mtuBytes: number;
  /** Peers wanted: complete, others are removed. */
  readonly peers: readonly DevicePeer[];
  /** Routes wanted through the device besides the one of `address`: complete, others of ours are removed. */
  readonly routes: readonly IpPrefix[];
}

/** A change to a live device; peers not named keep everything, sessions included. */
export interface DeviceChange {
  /**
   * Peers to add, or to bring to exactly this state (allowed IPs replaced). One without an endpoint keeps the one
   * that it has.
   */
  readonly set: readonly DevicePeer[];
  /** A peer that has been heard from says itself where it is: the endpoints in `set` are for the others. */
  readonly keepRoamed?: boolean;
  /** Public keys, 32 bytes each; unknown ones are no error. */
  readonly remove: readonly Uint8Array[];
  readonly addRoutes: readonly IpPrefix[];
  readonly removeRoutes: readonly IpPrefix[];
}

/** A peer as the device has it. */
export interface DevicePeer {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** Absent: none is known, the peer has to speak first. */
  readonly endpoint?: { readonly ip: IpAddress; readonly port: number };
  readonly allowedIps: readonly IpPrefix[];
  /** 0 = off, up to 65535. */
  readonly keepaliveSeconds: number;
}

/** A peer as a device reports it. */
export interface DevicePeerState extends DevicePeer {
  /** Unix time in seconds, 0 = never. */
  readonly lastHandshakeUnixSecs: number;
  readonly rxBytes: number;
  readonly txBytes: number;
}

/** A device as it reports itself. */
export interface DeviceState {
  readonly kind: "kernel" | "userspace";
  /** Library that encrypts packets, of a device in user space. */
  readonly crypto?: string;
  /** How often something was dropped, by reason, of a device in user space; reasons that never came up left out. */
  readonly drops?: Readonly<Record<string, number>>;
  readonly listenPort: number;
  readonly publicKey: Uint8Array;
  readonly peers: readonly DevicePeerState[];
}

/** What a device has learnt of a peer by itself: how things stand, not each step on the way there. */
export interface PeerNews {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** How the newest handshake went, if one ended: `failed` is one that was tried for 90 s without answer. */
  readonly handshake?: "completed" | "failed";
  /** Unix time in seconds, 0 = never. */
  readonly lastHandshakeUnixSecs: number;
  /** Where the peer is now, as far as is known. */
  readonly endpoint?: { readonly ip: IpAddress; readonly port: number };
}

/** What makes a container's network namespace the same one after a restart. */
export interface NetnsIdentity {
  readonly pid: number;
  /** Start time of the process in clock ticks since boot (field 22 of /proc/<pid>/stat). */
  readonly startTicks: bigint;
  /** Device and inode of /proc/<pid>/ns/net. */
  readonly device: bigint;
  readonly inode: bigint;
  /** `/proc/sys/kernel/random/boot_id`: pids, ticks and inodes repeat after a reboot. */
  readonly bootId: string;
}

/** One interface of a container. */
export interface ContainerLinkSpec {
  /** Host end, at most 15 bytes. */
  readonly hostName: string;
  readonly tag: OwnerTag;
  /** Name inside the container: `eth0`, `eth1`. */
  readonly containerName: string;
  /** Hardware address of the container's end, 6 bytes. */
  readonly mac: Uint8Array;
  readonly address: IpPrefix;
  readonly mtuBytes: number;
  /**
   * `bridge`: the host end is a port of this bridge and the container's default route goes by `gateway`.
   * `routed`: the host routes the address to the host end; the container reaches `via` through it.
   */
  readonly uplink:
    | { readonly kind: "bridge"; readonly bridge: string; readonly gateway: IpAddress }
    | { readonly kind: "routed"; readonly gateway: IpAddress; readonly routes: readonly IpPrefix[] };
}

/** A container's place in the overlay. */
export interface ContainerSpec {
  readonly netns: NetnsIdentity;
  /** eth0 first. */
  readonly links: readonly ContainerLinkSpec[];
}

/** A kernel object that carries an owner tag, or looks like one of ours by name. */
export interface InventoryEntry {
  readonly kind: "bridge" | "veth" | "wireguard" | "tun" | "other";
  readonly name: string;
  /** Empty when the object has no alias. */
  readonly tag: OwnerTag;
  readonly up: boolean;
  /** Of a device that this process would have to move the packets of, and does not. */
  readonly isDead?: boolean;
  /** Of a device that packets of others do not pass any more, because somebody has switched that off. */
  readonly isBarred?: boolean;
  /** Bridge that the link is a port of. */
  readonly master?: string;
  readonly mtuBytes: number;
  readonly addresses: readonly IpPrefix[];
  /** Routes by this link that the backend has made. */
  readonly routes: readonly IpPrefix[];
}

/** The way out of this host, for WireGuard's endpoint and MTU. */
export interface Egress {
  /** Empty when only the address is known. */
  readonly interface: string;
  readonly ip: IpAddress;
  /** 1500 when unknown. */
  readonly mtuBytes: number;
}

/** What this host offers. */
export interface BackendCapabilities {
  readonly wireguard: { readonly kind: "kernel" | "userspace" | "none"; readonly reason?: string };
}

/** Host-wide settings changed on the way, so that purge can put them back: path or name to former value. */
export type HostSettings = Readonly<Record<string, string>>;

/** Linux, Windows or the fake. */
export interface NetworkBackend {
  readonly kind: "linux" | "windows" | "fake";
  /** Where containers join by endpoints and namespaces of the host's making, as on Windows. */
  readonly containers?: ContainerNetworks;

  capabilities(): Promise<BackendCapabilities>;

  /** Makes the service's network right: present, tagged, addressed, up, forwarding. */
  ensureServiceNetwork(spec: ServiceNetworkSpec): Promise<void>;
  /**
   * Removes it. A link of that name with another tag is left alone.
   * @throws {AlreadyExistsError} never; a foreign link is simply not ours to remove.
   */
  removeServiceNetwork(name: string, tag: OwnerTag): Promise<void>;

  /**
   * Makes the device, its key, port, address, peers and routes right.
   * A live device is changed in place: no peer that stays loses its session, or the place it was heard from.
   * @throws {AlreadyExistsError} `Kernel link '<name>' already exists` when a link that is not ours has the name.
   * @throws {UnsupportedError} Where this host has no WireGuard.
   */
  ensureDevice(spec: DeviceSpec): Promise<void>;
  /**
   * Changes peers of a live device in one go.
   * @throws {NotFoundError} If there is no such device.
   */
  changeDevice(name: string, change: DeviceChange): Promise<void>;
  removeDevice(name: string, tag: OwnerTag): Promise<void>;
  /** @throws {NotFoundError} If there is no such device. */
  readDevice(name: string): Promise<DeviceState>;
  /**
   * Calls back with news of peers: a few times a second for a device at most, with each of its peers once. Devices
   * of the kernel give none; whoever wants to know looks at them. The result stops it.
   */
  watchPeers(onNews: (device: string, news: readonly PeerNews[]) => void): () => void;

  /**
   * Finds the namespace of a process.
   * @throws {NotFoundError} If the process is gone.
   * @throws {InvalidConfigError} If it lives in the daemon's own namespace.
   * @throws {PermissionError} If it may not be looked at; names the capability.
   */
  identify(pid: number): Promise<NetnsIdentity>;
  /** Whether the same process still lives in the same namespace. */
  isAlive(netns: NetnsIdentity): Promise<boolean>;

  /** Connects a container. All or nothing: what was made is undone before it throws. */
  attachContainer(spec: ContainerSpec): Promise<void>;
  /**
   * Puts the host end of a live container link right: tag, up, MTU, bridge or route. The container's end and
   * its flows are not touched.
   * @returns Whether the link was there; a missing one has to be attached anew.
   */
  mendContainerLink(link: ContainerLinkSpec): Promise<boolean>;
  /** Removes the host ends (and with them the container's). Many at once are gathered into one deletion. */
  removeContainerLinks(
    links: readonly { readonly hostName: string; readonly tag: OwnerTag }[],
  ): Promise<void>;

  /** Everything on this host that is tagged `zlayer-overlayd/…` or named `zl-*` or `veth-*`. */
  inventory(): Promise<readonly InventoryEntry[]>;
  /** Removes one found object by name, if it still carries the tag. */
  removeEntry(entry: InventoryEntry): Promise<void>;

  egress(): Promise<Egress>;
  /** Whether the UDP port can be bound now on the wildcard addresses. */
  isUdpPortFree(port: number): Promise<boolean>;
  /** Settings changed since start, and putting them back. */
  changedHostSettings(): HostSettings;
  restoreHostSettings(settings: HostSettings): Promise<void>;

  /** Calls back with the name of a link of interest when it, its addresses or routes changed. The result stops it. */
  watch(onChange: (name: string) => void): Promise<() => void>;
  /** Lets go of the host. A promise, where devices go with it and take a moment, is settled when they are gone. */
  close(): void | Promise<void>;
}
