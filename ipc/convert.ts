/**
 * Between what travels (protocol.ts) and what the core speaks (core/service.ts).
 *
 * Mostly a change of spelling, done by `case.ts`; what differs in shape is here. On the way out, optional
 * members and empty lists are left out (spec/ipc.md §4).
 */

import type {
  AttachHandle,
  AttachReply,
  OverlayStatus,
  PeerScope,
  PeerStatus,
  ServiceOverlayReply,
} from "../core/service.ts";
import { toCamelKeys, toSnakeKeys } from "./case.ts";
import type { OverlaydResponse, WireAttachHandle } from "./protocol.ts";

/** The response of one kind. */
export type ResponseOf<R extends OverlaydResponse["result"]> = Extract<OverlaydResponse, { result: R }>;

/** The scope of a peer when a request names none. */
export const GLOBAL_SCOPE: PeerScope = { scope: "global" };

/** A container's name for the core. */
export function attachHandleFromWire(handle: WireAttachHandle): AttachHandle {
  return toCamelKeys(handle);
}

/** A container's name for the wire. */
export function attachHandleToWire(handle: AttachHandle): WireAttachHandle {
  return toSnakeKeys(handle);
}

/** The reply to an attach. */
export function attachReplyToWire(reply: AttachReply): ResponseOf<"attached" | "guest_config"> {
  const { kind, ...fields } = reply;
  return { result: kind, ...toSnakeKeys(fields) } as ResponseOf<"attached" | "guest_config">;
}

/** The reply to an attach as the core has it. */
export function attachReplyFromWire(response: ResponseOf<"attached" | "guest_config">): AttachReply {
  const { result, ...fields } = response;
  return { kind: result, ...toCamelKeys(fields) } as AttachReply;
}

/** The reply to a service's set-up: on the wire the dedicated part lies flat. */
export function serviceOverlayToWire(reply: ServiceOverlayReply): ResponseOf<"service_overlay"> {
  const { name, mode, dedicated } = reply;
  return { result: "service_overlay", name, mode, ...(dedicated ? toSnakeKeys(dedicated) : {}) };
}

/** The reply to a service's set-up as the core has it; mode `auto` acts as shared. */
export function serviceOverlayFromWire(response: ResponseOf<"service_overlay">): ServiceOverlayReply {
  const { name, mode, wg_public_key: wgPublicKey, wg_port: wgPort, overlay_ip: overlayIp, subnet } = response;
  if (mode !== "dedicated") return { name, mode: "shared" };
  if (
    wgPublicKey === undefined || wgPort === undefined || overlayIp === undefined || subnet === undefined
  ) {
    return { name, mode };
  }
  return { name, mode, dedicated: { wgPublicKey, wgPort, overlayIp, subnet } };
}

/** A status with nothing empty in it. */
export function statusToWire(status: OverlayStatus): ResponseOf<"status"> {
  const { peers, dedicatedServices, detail, ...scalars } = status;
  const wire: ResponseOf<"status"> = { result: "status", ...toSnakeKeys(scalars) };
  if (peers.length > 0) wire.peers = toSnakeKeys(peers.map(withoutScope));
  if (dedicatedServices.length > 0) wire.dedicated_services = toSnakeKeys(dedicatedServices);
  if (detail !== undefined) wire.detail = toSnakeKeys(detail);
  return wire;
}

function withoutScope(peer: PeerStatus): Omit<PeerStatus, "scope"> {
  const { scope: _, ...fields } = peer;
  return fields;
}

/** A status as the core has it. What the other daemon does not count reads 0; no CIDR reads empty. */
export function statusFromWire(response: ResponseOf<"status">): OverlayStatus {
  const { result: _, peers, dedicated_services, detail, ...scalars } = response;
  return {
    ...toCamelKeys(scalars),
    overlayCidr: response.overlay_cidr ?? "",
    peers: (peers ?? []).map((peer) => ({
      rxBytes: 0,
      txBytes: 0,
      ...toCamelKeys(peer),
      scope: GLOBAL_SCOPE,
    })),
    dedicatedServices: toCamelKeys(dedicated_services ?? []),
    ...(detail ? { detail: toCamelKeys(detail) } : {}),
  };
}
