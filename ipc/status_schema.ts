/**
 * The parts of a `status` response: the peers and dedicated services of the contract, and `detail`, which is
 * ours and whose fields keep their names and meanings from version to version (fields may be added).
 *
 * Meanings are documented at the types of the same names in core/service.ts; here is the shape on the wire.
 */

import { z } from "zod";
import { optional } from "./fields.ts";

const string = z.string();
const number = z.number();

/** A peer of the global device. The byte counts are ours. */
export const peerStatus = z.object({
  public_key: string,
  endpoint: string,
  allowed_ips: string,
  last_handshake_unix_secs: number,
  rx_bytes: optional(number),
  tx_bytes: optional(number),
});

/** A dedicated service. */
export const dedicatedStatus = z.object({
  service: string,
  interface: string,
  public_key: string,
  listen_port: number,
  overlay_ip: string,
  subnet: string,
  peer_count: number,
});

const scope = z.discriminatedUnion("scope", [
  z.object({ scope: z.literal("global") }),
  z.object({ scope: z.literal("service"), service: string }),
]);

const state = z.enum(["pending", "ready", "removing", "degraded"]);

const globalDetail = z.object({
  deployment: string,
  instance_id: string,
  interface: string,
  listen_port: number,
  node_ip: string,
  state,
  problem: optional(string),
});

const serviceDetail = z.object({
  name: string,
  mode: z.enum(["shared", "dedicated"]),
  bridge: string,
  subnet: string,
  gateway: string,
  leases: number,
  state,
  problem: optional(string),
});

const attachmentDetail = z.object({
  handle: string,
  service: string,
  ip: string,
  global_ip: optional(string),
  host_links: z.array(string),
  namespace: optional(string),
  endpoint: optional(string),
  state,
  problem: optional(string),
});

const deviceDetail = z.object({
  interface: string,
  scope,
  kind: z.enum(["kernel", "userspace"]),
  crypto: optional(string),
  drops: z.array(z.object({ reason: string, count: number })),
});

/** What an operator sees with `status --json`; only in the reply to `{"op":"status","detail":true}`. */
export const statusDetail = z.object({
  version: string,
  pid: number,
  started_unix_secs: number,
  data_dir: string,
  wireguard: z.object({ kind: z.enum(["kernel", "userspace", "none"]), reason: optional(string) }),
  containers: optional(z.object({ kind: z.literal("hcn"), problem: optional(string) })),
  global: optional(globalDetail),
  services: z.array(serviceDetail),
  attachments: z.array(attachmentDetail),
  leases: z.array(z.object({ ip: string, pool: string, owner: string })),
  service_peers: z.array(peerStatus.extend({ rx_bytes: number, tx_bytes: number, scope })),
  // An older daemon does not tell them.
  devices: z.array(deviceDetail).default([]),
  dns_records: z.array(z.object({ name: string, ip: string })),
  pending: z.array(string),
});
