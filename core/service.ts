/**
 * What the daemon can be asked to do: the interface between the IPC layer and the engine.
 *
 * One method per operation of `spec/ipc.md` §3. Values arrive here with the shape checked (types, ranges);
 * meaning is checked by the engine (names, addresses, order of calls), which throws `OverlayError`s whose
 * messages go to the caller unchanged.
 */

/** How a service's overlay is carried. `auto` acts as shared. */
export type OverlayMode = "auto" | "shared" | "dedicated";

/** Which WireGuard device a peer belongs to. */
export type PeerScope =
  | { readonly scope: "global" }
  | { readonly scope: "service"; readonly service: string };

/** A container as the caller names it. */
export type AttachHandle =
  | { readonly platform: "linux_pid"; readonly pid: number }
  | { readonly platform: "windows_container"; readonly containerId: string; readonly ip?: string }
  | { readonly platform: "guest_managed"; readonly id: string };

/** Parameters of `setup_global_overlay`. CIDRs are text as received. */
export interface GlobalOverlayRequest {
  readonly deployment: string;
  readonly instanceId: string;
  readonly clusterCidr: string;
  readonly sliceCidr?: string;
  /** UDP port, 0 to 65535. */
  readonly wgPort: number;
  readonly natEnabled: boolean;
}

/** A WireGuard peer as it travels: key in base64, `host:port`, comma list of CIDRs, seconds (0 = off). */
export interface PeerSpec {
  readonly publicKey: string;
  readonly endpoint: string;
  readonly allowedIps: string;
  readonly persistentKeepaliveSecs: number;
}

/** Parameters of `attach_container`. */
export interface AttachRequest {
  readonly handle: AttachHandle;
  readonly service: string;
  readonly joinGlobal: boolean;
  readonly dnsServer?: string;
  readonly dnsDomain?: string;
}

/** What an attach gave: an address, or the configuration that the caller pushes into a VM guest. */
export type AttachReply =
  | { readonly kind: "attached"; readonly ip: string; readonly namespaceGuid?: string }
  | {
    readonly kind: "guest_config";
    readonly overlayIp: string;
    readonly prefixLen: number;
    /** Base64; travels only in this reply. */
    readonly privateKey: string;
    readonly publicKey: string;
    readonly listenPort: number;
    readonly peers: readonly PeerSpec[];
    readonly dnsServer?: string;
    readonly dnsDomain?: string;
  };

/** Reply of `setup_service_overlay`. */
export interface ServiceOverlayReply {
  readonly name: string;
  readonly mode: "shared" | "dedicated";
  /** Present for `dedicated` only. */
  readonly dedicated?: {
    readonly wgPublicKey: string;
    readonly wgPort: number;
    readonly overlayIp: string;
    readonly subnet: string;
  };
}

/** One peer in a status. */
export interface PeerStatus {
  readonly publicKey: string;
  readonly endpoint: string;
  readonly allowedIps: string;
  /** Unix time, 0 = never. */
  readonly lastHandshakeUnixSecs: number;
  readonly rxBytes: number;
  readonly txBytes: number;
  /** Only in a detailed status: the device it belongs to. */
  readonly scope: PeerScope;
}

/** One WireGuard device in a detailed status. */
export interface DeviceStatus {
  readonly interface: string;
  readonly scope: PeerScope;
  readonly kind: "kernel" | "userspace";
  /** Library that encrypts packets, of a device in user space. */
  readonly crypto?: string;
  /** Why packets and messages were dropped, and how often, the most frequent first; in user space only. */
  readonly drops: readonly { readonly reason: string; readonly count: number }[];
}

/** Life-cycle state of an object that the daemon keeps. */
export type ObjectState = "pending" | "ready" | "removing" | "degraded";

/** The contract part of `status`, plus what a detailed one adds. */
export interface OverlayStatus {
  readonly interface?: string;
  readonly nodeIp?: string;
  readonly publicKey?: string;
  readonly overlayCidr: string;
  readonly sliceCidr?: string;
  readonly peerCount: number;
  readonly serviceCount: number;
  /** Peers of the global device only. */
  readonly peers: readonly PeerStatus[];
  readonly dedicatedServices: readonly {
    readonly service: string;
    readonly interface: string;
    readonly publicKey: string;
    readonly listenPort: number;
    readonly overlayIp: string;
    readonly subnet: string;
    readonly peerCount: number;
  }[];
  readonly detail?: StatusDetail;
}

/** What an operator wants to see; only on request. */
export interface StatusDetail {
  readonly version: string;
  readonly pid: number;
  readonly startedUnixSecs: number;
  readonly dataDir: string;
  /** Implementation of WireGuard in use: `kernel`, `userspace`, `none` with a reason. */
  readonly wireguard: { readonly kind: "kernel" | "userspace" | "none"; readonly reason?: string };
  /** The service that attaches containers of Windows, and what is wrong with it; absent where there is none. */
  readonly containers?: { readonly kind: "hcn"; readonly problem?: string };
  readonly global?: {
    readonly deployment: string;
    readonly instanceId: string;
    readonly interface: string;
    readonly listenPort: number;
    readonly nodeIp: string;
    readonly state: ObjectState;
    readonly problem?: string;
  };
  readonly services: readonly {
    readonly name: string;
    readonly mode: "shared" | "dedicated";
    readonly bridge: string;
    readonly subnet: string;
    readonly gateway: string;
    readonly leases: number;
    readonly state: ObjectState;
    readonly problem?: string;
  }[];
  readonly attachments: readonly {
    /** `pid:4242`, `guest:<id>`, `container:<id>`. */
    readonly handle: string;
    readonly service: string;
    readonly ip: string;
    readonly globalIp?: string;
    /** Host ends of the veth pairs, eth0's first. */
    readonly hostLinks: readonly string[];
    /** Of a container of Windows: the GUIDs of its namespace and endpoint in HCN. */
    readonly namespace?: string;
    readonly endpoint?: string;
    readonly state: ObjectState;
    readonly problem?: string;
  }[];
  readonly leases: readonly { readonly ip: string; readonly pool: string; readonly owner: string }[];
  readonly servicePeers: readonly PeerStatus[];
  /** WireGuard devices that can be read. */
  readonly devices: readonly DeviceStatus[];
  readonly dnsRecords: readonly { readonly name: string; readonly ip: string }[];
  /** Intents not yet settled, oldest first, in words. */
  readonly pending: readonly string[];
}

/** Events pushed to every connection. */
export type OverlayEvent =
  | { readonly event: "peer_health_changed"; readonly pubkey: string; readonly healthy: boolean }
  | { readonly event: "nat_endpoint_changed"; readonly pubkey: string; readonly endpoint: string };

/**
 * The connection a request came by: one object per connection, compared by identity. `closed` turns true when
 * it ends, so that a caller that died no longer counts as one that wants the global overlay.
 */
export interface RequestContext {
  readonly connection: { readonly closed: boolean };
}

/** Everything a caller can ask. Each method may throw `OverlayError`; all are safe to call at once. */
export interface OverlayService {
  setLocalNodeId(nodeId: bigint): Promise<void>;
  setLocalWgPubkey(publicKey: string): Promise<void>;
  /** @returns The name of the global WireGuard interface. */
  setupGlobalOverlay(request: GlobalOverlayRequest, context: RequestContext): Promise<string>;
  teardownGlobalOverlay(context: RequestContext): Promise<void>;
  setupServiceOverlay(service: string, mode: OverlayMode): Promise<ServiceOverlayReply>;
  teardownServiceOverlay(service: string): Promise<void>;
  allocateIp(service: string, joinGlobal: boolean): Promise<string>;
  releaseIp(ip: string): Promise<void>;
  attachContainer(request: AttachRequest): Promise<AttachReply>;
  detachContainer(handle: AttachHandle): Promise<void>;
  addPeer(peer: PeerSpec, scope: PeerScope): Promise<void>;
  removePeer(publicKey: string, scope: PeerScope): Promise<void>;
  addAllowedIp(publicKey: string, cidr: string, scope: PeerScope): Promise<void>;
  removeAllowedIp(publicKey: string, cidr: string, scope: PeerScope): Promise<void>;
  registerDns(name: string, ip: string): Promise<void>;
  unregisterDns(name: string): Promise<void>;
  /** Never waits for another request. */
  status(detail: boolean): Promise<OverlayStatus>;
  natTick(): Promise<void>;
  /** Tears the global overlay down. The daemon ends after the reply is flushed; see `onShutdown`. */
  shutdown(context: RequestContext): Promise<void>;
  /** Registers a listener for events; the result removes it. */
  subscribe(listener: (event: OverlayEvent) => void): () => void;
}
