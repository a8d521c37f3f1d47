/**
 * The client: typed calls to a daemon, ours or any other that speaks `spec/ipc.md`.
 *
 * Calls may overlap; they go out in order on one connection, with ids from 1 on. The connection is never
 * replaced: when it ends every open call is rejected, and so is every later one.
 *
 * Source: spec/ipc.md §3, §4, spec/daemon.md §6.1 (4).
 */

import { type ErrorCode, OverlayError } from "../core/errors.ts";
import type {
  AttachHandle,
  AttachReply,
  AttachRequest,
  GlobalOverlayRequest,
  OverlayEvent,
  OverlayMode,
  OverlayStatus,
  PeerScope,
  PeerSpec,
  ServiceOverlayReply,
} from "../core/service.ts";
import { toSnakeKeys } from "./case.ts";
import { type CallOptions, ClientConnection } from "./client_connection.ts";
import {
  attachHandleToWire,
  attachReplyFromWire,
  GLOBAL_SCOPE,
  type ResponseOf,
  serviceOverlayFromWire,
  statusFromWire,
} from "./convert.ts";
import { dialEndpoint } from "./listener.ts";
import type { OverlaydRequest, OverlaydResponse } from "./protocol.ts";
import type { IpcStream } from "./stream.ts";
import { delay } from "./timeout.ts";

/** Pauses between tries to connect, in milliseconds; the last one repeats. */
const BACKOFF_MS = [100, 200, 400, 800, 1000];

/** How {@linkcode OverlaydClient.connect} goes about it. */
export interface ConnectOptions {
  /** Tries, with pauses of 100, 200, 400, 800 and then 1000 ms between them; less than 1 counts as 1. Default 1. */
  readonly attempts?: number;
  /** `timeoutMs` of calls that give none. Default: wait for ever. */
  readonly callTimeoutMs?: number;
  /** Ends the tries, or a pause between them. */
  readonly signal?: AbortSignal;
  /** Connects once; replaceable for other transports. */
  readonly dial?: (path: string) => Promise<IpcStream>;
  /** Waits between two tries, and rejects when the signal is aborted; tests bring their own. */
  readonly pause?: (milliseconds: number, signal?: AbortSignal) => Promise<void>;
}

/** A response other than `err`. */
export type GoodResponse = Exclude<OverlaydResponse, { result: "err" }>;

/** A connection to a daemon. Methods reject with `OverlayError`s, those of the daemon with its code and text. */
export class OverlaydClient implements Disposable, AsyncDisposable {
  readonly #connection: ClientConnection;
  readonly #callDefaults: CallOptions;

  private constructor(connection: ClientConnection, callDefaults: CallOptions) {
    this.#connection = connection;
    this.#callDefaults = callDefaults;
  }

  /**
   * Connects to the daemon's endpoint.
   *
   * @throws {OverlayError} What the last try met: `unavailable`, `permission_denied`.
   */
  static async connect(path: string, options: ConnectOptions = {}): Promise<OverlaydClient> {
    const { attempts = 1, callTimeoutMs, signal, dial = dialEndpoint, pause = delay } = options;
    const callDefaults = callTimeoutMs === undefined ? {} : { timeoutMs: callTimeoutMs };
    for (let tried = 1;; tried++) {
      signal?.throwIfAborted();
      try {
        return new OverlaydClient(new ClientConnection(await dial(path), path), callDefaults);
      } catch (error) {
        if (!(tried < attempts)) throw error;
      }
      await pause(BACKOFF_MS[tried - 1] ?? BACKOFF_MS.at(-1)!, signal);
    }
  }

  /** Resolves when the connection has ended. */
  get ended(): Promise<void> {
    return this.#connection.ended;
  }

  /** Sends a request; an `err` rejects. */
  async call(request: OverlaydRequest, options: CallOptions = {}): Promise<GoodResponse> {
    const { response } = await this.#connection.request(request, { ...this.#callDefaults, ...options });
    if (response.result !== "err") return response;
    throw new OverlayError(knownCode(response.code), response.message);
  }

  /**
   * Sends any JSON object as a request and gives the response as received, `err` or not. For tools that
   * pass requests through; `bigint` members are written as integers.
   */
  async callRaw(request: Readonly<Record<string, unknown>>, options: CallOptions = {}): Promise<unknown> {
    return (await this.#connection.request(request, { ...this.#callDefaults, ...options })).raw;
  }

  /** Registers a listener for events; the result removes it. */
  subscribe(listener: (event: OverlayEvent) => void): () => void {
    return this.#connection.subscribe(listener);
  }

  /** Closes the connection; open calls are rejected. */
  close(): void {
    this.#connection.close();
  }

  /** Same as {@linkcode close}. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** Closes the connection and waits until it has ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.ended;
  }

  /** `set_local_node_id`. */
  async setLocalNodeId(nodeId: bigint): Promise<void> {
    await this.#callFor("ok", { op: "set_local_node_id", node_id: nodeId });
  }

  /** `set_local_wg_pubkey`. */
  async setLocalWgPubkey(publicKey: string): Promise<void> {
    await this.#callFor("ok", { op: "set_local_wg_pubkey", pubkey: publicKey });
  }

  /** `setup_global_overlay`; resolves to the interface's name. */
  async setupGlobalOverlay(request: GlobalOverlayRequest): Promise<string> {
    const wire = { op: "setup_global_overlay", ...toSnakeKeys(request) } as const;
    return (await this.#callFor("bridge_name", wire)).name;
  }

  /** `teardown_global_overlay`. */
  async teardownGlobalOverlay(): Promise<void> {
    await this.#callFor("ok", { op: "teardown_global_overlay" });
  }

  /** `setup_service_overlay`. */
  async setupServiceOverlay(service: string, mode: OverlayMode): Promise<ServiceOverlayReply> {
    const response = await this.#callFor(["service_overlay", "bridge_name"], {
      op: "setup_service_overlay",
      service,
      mode,
    });
    // Older daemons answer with a name alone, for a shared bridge.
    if (response.result === "bridge_name") return { name: response.name, mode: "shared" };
    return serviceOverlayFromWire(response);
  }

  /** `teardown_service_overlay`. */
  async teardownServiceOverlay(service: string): Promise<void> {
    await this.#callFor("ok", { op: "teardown_service_overlay", service });
  }

  /** `allocate_ip`. */
  async allocateIp(service: string, joinGlobal: boolean): Promise<string> {
    return (await this.#callFor("ip", { op: "allocate_ip", service, join_global: joinGlobal })).ip;
  }

  /** `release_ip`. */
  async releaseIp(ip: string): Promise<void> {
    await this.#callFor("ok", { op: "release_ip", ip });
  }

  /** `attach_container`. */
  async attachContainer(request: AttachRequest): Promise<AttachReply> {
    const { handle, ...fields } = request;
    return attachReplyFromWire(
      await this.#callFor(["attached", "guest_config"], {
        op: "attach_container",
        handle: attachHandleToWire(handle),
        ...toSnakeKeys(fields),
      }),
    );
  }

  /** `detach_container`. */
  async detachContainer(handle: AttachHandle): Promise<void> {
    await this.#callFor("ok", { op: "detach_container", handle: attachHandleToWire(handle) });
  }

  /** `add_peer`. */
  async addPeer(peer: PeerSpec, scope: PeerScope = GLOBAL_SCOPE): Promise<void> {
    await this.#callFor("ok", { op: "add_peer", ...toSnakeKeys(peer), scope });
  }

  /** `remove_peer`. */
  async removePeer(publicKey: string, scope: PeerScope = GLOBAL_SCOPE): Promise<void> {
    await this.#callFor("ok", { op: "remove_peer", pubkey: publicKey, scope });
  }

  /** `add_allowed_ip`. */
  async addAllowedIp(publicKey: string, cidr: string, scope: PeerScope = GLOBAL_SCOPE): Promise<void> {
    await this.#callFor("ok", { op: "add_allowed_ip", pubkey: publicKey, cidr, scope });
  }

  /** `remove_allowed_ip`. */
  async removeAllowedIp(publicKey: string, cidr: string, scope: PeerScope = GLOBAL_SCOPE): Promise<void> {
    await this.#callFor("ok", { op: "remove_allowed_ip", pubkey: publicKey, cidr, scope });
  }

  /** `register_dns`. */
  async registerDns(name: string, ip: string): Promise<void> {
    await this.#callFor("ok", { op: "register_dns", name, ip });
  }

  /** `unregister_dns`. */
  async unregisterDns(name: string): Promise<void> {
    await this.#callFor("ok", { op: "unregister_dns", name });
  }

  /** `status`; `detail` is there when asked for and the daemon is one of ours. */
  async status(detail = false): Promise<OverlayStatus> {
    return statusFromWire(
      await this.#callFor("status", detail ? { op: "status", detail } : { op: "status" }),
    );
  }

  /** `nat_tick`. */
  async natTick(): Promise<void> {
    await this.#callFor("ok", { op: "nat_tick" });
  }

  /** `shutdown`. The daemon ends soon after; its service manager may start it again. */
  async shutdown(): Promise<void> {
    await this.#callFor("ok", { op: "shutdown" });
  }

  async #callFor<R extends GoodResponse["result"]>(
    wanted: R | readonly R[],
    request: OverlaydRequest,
  ): Promise<ResponseOf<R>> {
    const response = await this.call(request);
    if ([wanted].flat().includes(response.result as R)) return response as ResponseOf<R>;
    throw new OverlayError("internal", `${request.op}: the daemon answered "${response.result}"`);
  }
}

const CODES: ReadonlySet<string> = new Set<ErrorCode>([
  "already_exists",
  "deadline_exceeded",
  "exhausted",
  "internal",
  "invalid_argument",
  "not_found",
  "permission_denied",
  "precondition_failed",
  "teardown_failed",
  "unavailable",
  "unsupported",
]);

/** The code of an `err`; daemons of another make send none, newer ones may send others. */
function knownCode(code: string | undefined): ErrorCode {
  return code !== undefined && CODES.has(code) ? code as ErrorCode : "internal";
}
