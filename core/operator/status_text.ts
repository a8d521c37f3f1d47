/** `status` as aligned text for people. Scripts use `--json`; this form may change at any time. Pure. */
import type { DeviceView, PeerView, StatusView } from "./status_view.ts";
import { byteCount, cell, duration, facts, table } from "./text.ts";

/**
 * Renders the view.
 *
 * @param nowUnixSecs Unix time that ages are counted from.
 */
export function statusText(view: StatusView, nowUnixSecs: number): string {
  const sections = [
    daemonSection(view, nowUnixSecs),
    globalSection(view),
    servicesSection(view),
    attachmentsSection(view),
    devicesSection(view.devices),
    peersSection(view.peers, nowUnixSecs),
    listSection("DNS records", view.dns_records.map((record) => `${cell(record.name)}  ${cell(record.ip)}`)),
    listSection("Pending", view.pending.map(cell)),
    problemsSection(view),
  ];
  return sections.filter((lines) => lines.length > 0).map((lines) => lines.join("\n") + "\n").join("\n");
}

function daemonSection({ daemon }: StatusView, now: number): string[] {
  const title = ["zlayer-overlayd"];
  if (daemon.version !== null) title.push(cell(daemon.version));
  const age = daemon.started_unix_secs === null ? null : duration(now - daemon.started_unix_secs);
  const { kind, reason } = daemon.wireguard;
  return [
    title.join(" "),
    ...facts([
      ["pid", daemon.pid],
      ["running for", age],
      ["data dir", daemon.data_dir],
      ["socket", daemon.socket],
      ["wireguard", reason === null ? kind : `${kind} (${reason})`],
      ["containers", daemon.containers.kind],
    ]),
    ...(daemon.detailed ? [] : ["  This daemon gives no details; what it does not say is not shown."]),
  ];
}

function globalSection({ global, peer_count: peers }: StatusView): string[] {
  if (global.interface === null) return ["Global overlay: not set up"];
  return [
    `Global overlay: ${cell(global.state ?? "up")}`,
    ...facts([
      ["interface", global.interface],
      ["node address", global.node_ip],
      ["cluster", global.overlay_cidr],
      ["slice", global.slice_cidr],
      ["port", global.listen_port],
      ["public key", global.public_key],
      ["deployment", global.deployment],
      ["peers", peers],
    ]),
  ];
}

function servicesSection({ services, service_count: count }: StatusView): string[] {
  if (services.length === 0) return [`Services: ${count ?? 0}`];
  const head = ["NAME", "MODE", "INTERFACE", "SUBNET", "GATEWAY", "LEASES", "PORT", "STATE"];
  const rows = services.map((service) => [
    cell(service.name),
    cell(service.mode),
    cell(service.interface),
    cell(service.subnet),
    cell(service.gateway),
    cell(service.leases),
    cell(service.dedicated?.listen_port ?? null),
    cell(service.state),
  ]);
  return [`Services: ${services.length}`, ...table(head, rows)];
}

function attachmentsSection({ attachments }: StatusView): string[] {
  if (attachments.length === 0) return [];
  const head = ["HANDLE", "SERVICE", "ADDRESS", "GLOBAL", "HOST LINKS", "STATE"];
  // On Windows a container has no link on the host, and is known there by its namespace.
  const isWindows = attachments.some((one) => one.namespace !== null);
  if (isWindows) head.splice(3, 2, "HCN NAMESPACE");
  const rows = attachments.map((one) => [
    cell(one.handle),
    cell(one.service),
    cell(one.ip),
    ...(isWindows ? [cell(one.namespace)] : [cell(one.global_ip), cell(one.host_links.join(","))]),
    cell(one.state),
  ]);
  return [`Attachments: ${attachments.length}`, ...table(head, rows)];
}

function devicesSection(devices: readonly DeviceView[]): string[] {
  if (devices.length === 0) return [];
  const head = ["INTERFACE", "SCOPE", "WIREGUARD", "CRYPTO", "DROPPED"];
  const rows = devices.map((device) => [
    cell(device.interface),
    device.service === null ? "global" : cell(device.service),
    cell(device.kind),
    cell(device.crypto),
    cell(device.drops.map(({ reason, count }) => `${count} ${reason}`).join(", ")),
  ]);
  return [`Devices: ${devices.length}`, ...table(head, rows)];
}

function peersSection(peers: readonly PeerView[], now: number): string[] {
  if (peers.length === 0) return [];
  const head = ["PUBLIC KEY", "SCOPE", "ENDPOINT", "ALLOWED IPS", "HANDSHAKE", "RECEIVED", "SENT"];
  const rows = peers.map((peer) => [
    cell(peer.public_key),
    peer.service === null ? "global" : cell(peer.service),
    cell(peer.endpoint),
    cell(peer.allowed_ips.join(",")),
    handshake(peer.last_handshake_unix_secs, now),
    cell(peer.rx_bytes === null ? null : byteCount(peer.rx_bytes)),
    cell(peer.tx_bytes === null ? null : byteCount(peer.tx_bytes)),
  ]);
  return [`Peers: ${peers.length}`, ...table(head, rows)];
}

function handshake(unixSecs: number | null, now: number): string {
  if (unixSecs === null) return cell(null);
  return unixSecs === 0 ? "never" : `${duration(now - unixSecs)} ago`;
}

/** What is wrong, in words, after the tables that name where. */
function problemsSection(view: StatusView): string[] {
  const problems = [
    ...(view.daemon.containers.problem === null ? [] : [cell(view.daemon.containers.problem)]),
    ...(view.global.problem === null ? [] : [`global overlay: ${cell(view.global.problem)}`]),
    ...view.services.flatMap(({ name, problem }) =>
      problem === null ? [] : [`service ${cell(name)}: ${cell(problem)}`]
    ),
    ...view.attachments.flatMap(({ handle, problem }) =>
      problem === null ? [] : [`${cell(handle)}: ${cell(problem)}`]
    ),
  ];
  return listSection("Problems", problems);
}

function listSection(title: string, items: readonly string[]): string[] {
  return items.length === 0 ? [] : [`${title}: ${items.length}`, ...items.map((item) => `  ${item}`)];
}
