/**
 * One request to one response: calls the service, turns whatever it throws into an `err`.
 *
 * Source: spec/ipc.md §3, §4, §6.
 */

import { OverlayError } from "../core/errors.ts";
import type { OverlayService, RequestContext } from "../core/service.ts";
import { toCamelKeys } from "./case.ts";
import {
  attachHandleFromWire,
  attachReplyToWire,
  GLOBAL_SCOPE,
  type ResponseOf,
  serviceOverlayToWire,
  statusToWire,
} from "./convert.ts";
import type { IpcLog } from "./log.ts";
import type { OverlaydRequest, OverlaydResponse } from "./protocol.ts";

/** Longest `message` of an `err`, in UTF-16 units: messages quote names, and names may be long. */
const MAX_MESSAGE = 4096;

const OK: OverlaydResponse = { result: "ok" };

/**
 * Runs a request.
 *
 * @returns The good response.
 * @throws What the service throws.
 */
export async function dispatch(
  request: OverlaydRequest,
  service: OverlayService,
  context: RequestContext,
): Promise<OverlaydResponse> {
  switch (request.op) {
    case "status":
      return statusToWire(await service.status(request.detail ?? false));
    case "setup_global_overlay": {
      const { op: _, ...fields } = request;
      return { result: "bridge_name", name: await service.setupGlobalOverlay(toCamelKeys(fields), context) };
    }
    case "setup_service_overlay":
      return serviceOverlayToWire(await service.setupServiceOverlay(request.service, request.mode));
    case "allocate_ip":
      return { result: "ip", ip: await service.allocateIp(request.service, request.join_global) };
    case "attach_container": {
      const { op: _, handle, ...fields } = request;
      const attach = { handle: attachHandleFromWire(handle), ...toCamelKeys(fields) };
      return attachReplyToWire(await service.attachContainer(attach));
    }
    default:
      await perform(request, service, context);
      return OK;
  }
}

type PerformedRequest = Exclude<
  OverlaydRequest,
  { op: "status" | "setup_global_overlay" | "setup_service_overlay" | "allocate_ip" | "attach_container" }
>;

/** The requests that are answered with `ok` alone. */
function perform(request: PerformedRequest, service: OverlayService, context: RequestContext): Promise<void> {
  switch (request.op) {
    case "set_local_node_id":
      return service.setLocalNodeId(request.node_id);
    case "set_local_wg_pubkey":
      return service.setLocalWgPubkey(request.pubkey);
    case "teardown_global_overlay":
      return service.teardownGlobalOverlay(context);
    case "teardown_service_overlay":
      return service.teardownServiceOverlay(request.service);
    case "release_ip":
      return service.releaseIp(request.ip);
    case "detach_container":
      return service.detachContainer(attachHandleFromWire(request.handle));
    case "add_peer": {
      const { op: _, scope, ...peer } = request;
      return service.addPeer(toCamelKeys(peer), scope ?? GLOBAL_SCOPE);
    }
    case "remove_peer":
      return service.removePeer(request.pubkey, request.scope ?? GLOBAL_SCOPE);
    case "add_allowed_ip":
      return service.addAllowedIp(request.pubkey, request.cidr, request.scope ?? GLOBAL_SCOPE);
    case "remove_allowed_ip":
      return service.removeAllowedIp(request.pubkey, request.cidr, request.scope ?? GLOBAL_SCOPE);
    case "register_dns":
      return service.registerDns(request.name, request.ip);
    case "unregister_dns":
      return service.unregisterDns(request.name);
    case "nat_tick":
      return service.natTick();
    case "shutdown":
      return service.shutdown(context);
  }
}

/**
 * The `err` for a request that failed.
 *
 * An `OverlayError` speaks for itself. Anything else is a defect of ours: the caller learns only that, and
 * the stack, which may quote anything, goes to the log at debug level.
 */
export function errorResponse(op: string, error: unknown, log: IpcLog): ResponseOf<"err"> {
  if (error instanceof OverlayError) {
    log.debug("request refused", { op, code: error.code, err: error.message });
    return errResponse(error.message, error.code);
  }
  log.warn("request failed unexpectedly; the stack is logged at debug level", {
    op,
    error: error instanceof Error ? error.name : typeof error,
  });
  log.debug("unexpected error", { op, stack: error instanceof Error ? error.stack : String(error) });
  return errResponse(`internal error while handling ${op}; the daemon's log has more`, "internal");
}

/** An `err` with a message of bounded length and whole characters. */
export function errResponse(message: string, code: OverlayError["code"]): ResponseOf<"err"> {
  const shown = message.length > MAX_MESSAGE ? `${message.slice(0, MAX_MESSAGE)}…` : message;
  return { result: "err", message: shown.toWellFormed(), code };
}
