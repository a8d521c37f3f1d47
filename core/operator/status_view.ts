/**
 * The daemon's `status` reply as `status --json` shows it: the schema of `docs/status.md`.
 *
 * Every member is always there, `null` when the daemon did not say, so that scripts need no existence checks.
 * The Rust daemon answers without `detail`: then `daemon.detailed` is false and what it cannot say is empty.
 * Pure.
 */
import { type Members, readNumber, readObject, readObjects, readText, readTexts } from "./read.ts";

/** Raised when a member changes its meaning or goes; additions leave it. */
export const STATUS_SCHEMA = 1;

/** One WireGuard peer. */
export interface PeerView {
  /** `null` for the global device, else the service's name. */
  readonly service: string | null;
  readonly public_key: string | null;
  readonly endpoint: string | null;
  /** One CIDR each. */
  readonly allowed_ips: readonly string[];
  /** Unix time, 0 = never. */
  readonly last_handshake_unix_secs: number | null;
  readonly rx_bytes: number | null;
  readonly tx_bytes: number | null;
}

/** One WireGuard device. */
export interface DeviceView {
  readonly interface: string | null;
  /** `null` for the global device, else the service's name. */
  readonly service: string | null;
  /** `kernel` or `userspace`. */
  readonly kind: string | null;
  readonly crypto: string | null;
  /** Why something was dropped, the most frequent first. */
  readonly drops: readonly { readonly reason: string | null; readonly count: number | null }[];
}

/** One service on this node. */
export interface ServiceView {
  readonly name: string | null;
  readonly mode: string | null;
  /** Bridge, or the WireGuard interface when that is all the daemon says. */
  readonly interface: string | null;
  readonly subnet: string | null;
  readonly gateway: string | null;
  readonly leases: number | null;
  readonly state: string | null;
  readonly problem: string | null;
  /** The WireGuard side of a dedicated service. */
  readonly dedicated: {
    readonly interface: string | null;
    readonly public_key: string | null;
    readonly listen_port: number | null;
    readonly overlay_ip: string | null;
    readonly peer_count: number | null;
  } | null;
}

/** One attached container. */
export interface AttachmentView {
  readonly handle: string | null;
  readonly service: string | null;
  readonly ip: string | null;
  readonly global_ip: string | null;
  readonly host_links: readonly string[];
  /** Of a container of Windows: GUIDs in HCN. */
  readonly namespace: string | null;
  readonly endpoint: string | null;
  readonly state: string | null;
  readonly problem: string | null;
}

/** All of `status --json`. */
export interface StatusView {
  readonly schema: number;
  readonly daemon: {
    readonly version: string | null;
    readonly pid: number | null;
    readonly started_unix_secs: number | null;
    readonly data_dir: string | null;
    readonly socket: string;
    readonly wireguard: { readonly kind: string | null; readonly reason: string | null };
    /** What attaches containers of Windows; all `null` elsewhere. */
    readonly containers: { readonly kind: string | null; readonly problem: string | null };
    readonly detailed: boolean;
  };
  readonly global: {
    readonly interface: string | null;
    readonly node_ip: string | null;
    readonly public_key: string | null;
    readonly overlay_cidr: string | null;
    readonly slice_cidr: string | null;
    readonly listen_port: number | null;
    readonly deployment: string | null;
    readonly instance_id: string | null;
    readonly state: string | null;
    readonly problem: string | null;
  };
  readonly peer_count: number | null;
  readonly service_count: number | null;
  readonly services: readonly ServiceView[];
  readonly attachments: readonly AttachmentView[];
  readonly leases: readonly {
    readonly ip: string | null;
    readonly pool: string | null;
    readonly owner: string | null;
  }[];
  readonly peers: readonly PeerView[];
  readonly devices: readonly DeviceView[];
  readonly dns_records: readonly { readonly name: string | null; readonly ip: string | null }[];
  readonly pending: readonly string[];
}

/** Makes the view from a reply. */
export function statusView(reply: Members, socket: string): StatusView {
  const detail = readObject(reply, "detail");
  const known = detail ?? {};
  return {
    schema: STATUS_SCHEMA,
    daemon: daemonView(known, socket, detail !== null),
    global: globalView(reply, readObject(known, "global") ?? {}),
    peer_count: readNumber(reply, "peer_count"),
    service_count: readNumber(reply, "service_count"),
    services: serviceViews(readObjects(known, "services"), readObjects(reply, "dedicated_services")),
    attachments: readObjects(known, "attachments").map(attachmentView),
    leases: readObjects(known, "leases").map((lease) => ({
      ip: readText(lease, "ip"),
      pool: readText(lease, "pool"),
      owner: readText(lease, "owner"),
    })),
    peers: [...readObjects(reply, "peers"), ...readObjects(known, "service_peers")].map(peerView),
    devices: readObjects(known, "devices").map(deviceView),
    dns_records: readObjects(known, "dns_records").map((record) => ({
      name: readText(record, "name"),
      ip: readText(record, "ip"),
    })),
    pending: readTexts(known, "pending"),
  };
}

function daemonView(detail: Members, socket: string, detailed: boolean): StatusView["daemon"] {
  const wireguard = readObject(detail, "wireguard") ?? {};
  const containers = readObject(detail, "containers") ?? {};
  return {
    version: readText(detail, "version"),
    pid: readNumber(detail, "pid"),
    started_unix_secs: readNumber(detail, "started_unix_secs"),
    data_dir: readText(detail, "data_dir"),
    socket,
    wireguard: { kind: readText(wireguard, "kind"), reason: readText(wireguard, "reason") },
    containers: { kind: readText(containers, "kind"), problem: readText(containers, "problem") },
    detailed,
  };
}

function globalView(reply: Members, detail: Members): StatusView["global"] {
  return {
    interface: readText(reply, "interface") ?? readText(detail, "interface"),
    node_ip: readText(reply, "node_ip") ?? readText(detail, "node_ip"),
    public_key: readText(reply, "public_key"),
    overlay_cidr: readText(reply, "overlay_cidr"),
    slice_cidr: readText(reply, "slice_cidr"),
    listen_port: readNumber(detail, "listen_port"),
    deployment: readText(detail, "deployment"),
    instance_id: readText(detail, "instance_id"),
    state: readText(detail, "state"),
    problem: readText(detail, "problem"),
  };
}

/** Services of the detail joined with the dedicated ones by name; those only the latter knows come last. */
function serviceViews(services: readonly Members[], dedicated: readonly Members[]): ServiceView[] {
  const byName = new Map(dedicated.map((one) => [readText(one, "service"), one]));
  const views = services.map((service) => {
    const device = byName.get(readText(service, "name"));
    byName.delete(readText(service, "name"));
    return serviceView(service, device);
  });
  return [...views, ...[...byName.values()].map((device) => serviceView(null, device))];
}

function serviceView(service: Members | null, device: Members | undefined): ServiceView {
  const known = service ?? {};
  return {
    name: readText(known, "name") ?? readText(device ?? {}, "service"),
    mode: readText(known, "mode") ?? (device ? "dedicated" : null),
    interface: readText(known, "bridge") ?? readText(device ?? {}, "interface"),
    subnet: readText(known, "subnet") ?? readText(device ?? {}, "subnet"),
    gateway: readText(known, "gateway"),
    leases: readNumber(known, "leases"),
    state: readText(known, "state"),
    problem: readText(known, "problem"),
    dedicated: device
      ? {
        interface: readText(device, "interface"),
        public_key: readText(device, "public_key"),
        listen_port: readNumber(device, "listen_port"),
        overlay_ip: readText(device, "overlay_ip"),
        peer_count: readNumber(device, "peer_count"),
      }
      : null,
  };
}

function attachmentView(attachment: Members): AttachmentView {
  return {
    handle: readText(attachment, "handle"),
    service: readText(attachment, "service"),
    ip: readText(attachment, "ip"),
    global_ip: readText(attachment, "global_ip"),
    host_links: readTexts(attachment, "host_links"),
    namespace: readText(attachment, "namespace"),
    endpoint: readText(attachment, "endpoint"),
    state: readText(attachment, "state"),
    problem: readText(attachment, "problem"),
  };
}

function deviceView(device: Members): DeviceView {
  return {
    interface: readText(device, "interface"),
    service: readText(readObject(device, "scope") ?? {}, "service"),
    kind: readText(device, "kind"),
    crypto: readText(device, "crypto"),
    drops: readObjects(device, "drops").map((drop) => ({
      reason: readText(drop, "reason"),
      count: readNumber(drop, "count"),
    })),
  };
}

function peerView(peer: Members): PeerView {
  const allowedIps = readText(peer, "allowed_ips") ?? "";
  return {
    service: readText(readObject(peer, "scope") ?? {}, "service"),
    public_key: readText(peer, "public_key"),
    endpoint: readText(peer, "endpoint"),
    allowed_ips: allowedIps.split(",").map((cidr) => cidr.trim()).filter((cidr) => cidr !== ""),
    last_handshake_unix_secs: readNumber(peer, "last_handshake_unix_secs"),
    rx_bytes: readNumber(peer, "rx_bytes"),
    tx_bytes: readNumber(peer, "tx_bytes"),
  };
}
