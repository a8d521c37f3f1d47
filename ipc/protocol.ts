/**
 * The messages of the IPC protocol as schemas; every type here is inferred from one.
 *
 * Names are those of the wire (snake case). Requests are checked to the letter: they come from strangers.
 * Responses and events are read by our client from a daemon that may be another implementation or another
 * version, so they are checked only as far as the client relies on them. Unknown keys are dropped on both
 * sides. CIDRs, keys and endpoints stay text: what they mean is the engine's to judge.
 *
 * Source: spec/ipc.md §2 to §5.
 */

import { z } from "zod";
import { bool, ipText, optional, tagged, text, u16, u32, u64, u64Rounded } from "./fields.ts";
import { dedicatedStatus, peerStatus, statusDetail } from "./status_schema.ts";

const overlayMode = z.enum(["auto", "shared", "dedicated"], 'must be "auto", "shared" or "dedicated"');

const attachHandle = tagged("platform", [
  z.object({ platform: z.literal("linux_pid"), pid: u32 }),
  z.object({ platform: z.literal("windows_container"), container_id: text, ip: optional(ipText) }),
  z.object({ platform: z.literal("guest_managed"), id: text }),
]);

const peerScope = tagged("scope", [
  z.object({ scope: z.literal("global") }),
  z.object({ scope: z.literal("service"), service: text }),
]);

const peerFields = {
  public_key: text,
  endpoint: text,
  allowed_ips: text,
  persistent_keepalive_secs: u64Rounded,
};

/** Schema of every request. */
export const requestSchema = tagged("op", [
  z.object({ op: z.literal("set_local_node_id"), node_id: u64 }),
  z.object({ op: z.literal("set_local_wg_pubkey"), pubkey: text }),
  z.object({
    op: z.literal("setup_global_overlay"),
    deployment: text,
    instance_id: text,
    cluster_cidr: text,
    slice_cidr: optional(text),
    wg_port: u16,
    nat_enabled: bool,
  }),
  z.object({ op: z.literal("teardown_global_overlay") }),
  z.object({ op: z.literal("setup_service_overlay"), service: text, mode: overlayMode }),
  z.object({ op: z.literal("teardown_service_overlay"), service: text }),
  z.object({ op: z.literal("allocate_ip"), service: text, join_global: bool }),
  z.object({ op: z.literal("release_ip"), ip: ipText }),
  z.object({
    op: z.literal("attach_container"),
    handle: attachHandle,
    service: text,
    join_global: bool,
    dns_server: optional(ipText),
    dns_domain: optional(text),
  }),
  z.object({ op: z.literal("detach_container"), handle: attachHandle }),
  z.object({ op: z.literal("add_peer"), ...peerFields, scope: optional(peerScope) }),
  z.object({ op: z.literal("remove_peer"), pubkey: text, scope: optional(peerScope) }),
  z.object({ op: z.literal("add_allowed_ip"), pubkey: text, cidr: text, scope: optional(peerScope) }),
  z.object({ op: z.literal("remove_allowed_ip"), pubkey: text, cidr: text, scope: optional(peerScope) }),
  z.object({ op: z.literal("register_dns"), name: text, ip: ipText }),
  z.object({ op: z.literal("unregister_dns"), name: text }),
  // `detail` is ours: the reply then carries `detail` too.
  z.object({ op: z.literal("status"), detail: optional(bool) }),
  z.object({ op: z.literal("nat_tick") }),
  z.object({ op: z.literal("shutdown") }),
], "is not an operation of this daemon");

/** A request, as decoded and as given to the client. */
export type OverlaydRequest = z.infer<typeof requestSchema>;

/** A container's name on the wire. */
export type WireAttachHandle = z.infer<typeof attachHandle>;

/** A peer on the wire. */
export type WirePeerSpec = z.infer<typeof wirePeer>;

const string = z.string();
const number = z.number();

const wirePeer = z.object({ ...peerFields, persistent_keepalive_secs: number });

/** Schema of every response. */
export const responseSchema = tagged("result", [
  z.object({ result: z.literal("ok") }),
  z.object({ result: z.literal("ip"), ip: string }),
  z.object({ result: z.literal("attached"), ip: string, namespace_guid: optional(string) }),
  z.object({
    result: z.literal("guest_config"),
    overlay_ip: string,
    prefix_len: number,
    private_key: string,
    public_key: string,
    listen_port: number,
    peers: z.array(wirePeer),
    dns_server: optional(string),
    dns_domain: optional(string),
  }),
  z.object({ result: z.literal("bridge_name"), name: string }),
  z.object({
    result: z.literal("service_overlay"),
    name: string,
    mode: overlayMode,
    wg_public_key: optional(string),
    wg_port: optional(number),
    overlay_ip: optional(string),
    subnet: optional(string),
  }),
  z.object({
    result: z.literal("status"),
    interface: optional(string),
    node_ip: optional(string),
    public_key: optional(string),
    overlay_cidr: optional(string),
    slice_cidr: optional(string),
    peer_count: number,
    service_count: number,
    peers: optional(z.array(peerStatus)),
    dedicated_services: optional(z.array(dedicatedStatus)),
    // Ours, when asked for.
    detail: optional(statusDetail),
  }),
  // `code` is ours: an `ErrorCode` of core/errors.ts.
  z.object({ result: z.literal("err"), message: string, code: optional(string) }),
]);

/** A response, as decoded and as sent. */
export type OverlaydResponse = z.infer<typeof responseSchema>;

/** Schema of every event. */
export const eventSchema = tagged("event", [
  z.object({ event: z.literal("peer_health_changed"), pubkey: string, healthy: z.boolean() }),
  z.object({ event: z.literal("nat_endpoint_changed"), pubkey: string, endpoint: string }),
]);

/** An event, as decoded and as sent. */
export type OverlaydEvent = z.infer<typeof eventSchema>;
