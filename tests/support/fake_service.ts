/** An `OverlayService` that records its calls and does what the test scripted. */

import type {
  AttachHandle,
  AttachReply,
  AttachRequest,
  GlobalOverlayRequest,
  OverlayEvent,
  OverlayMode,
  OverlayService,
  OverlayStatus,
  PeerScope,
  PeerSpec,
  RequestContext,
  ServiceOverlayReply,
} from "../../core/service.ts";

/** What the status of a daemon says that was never asked anything. */
export const FRESH_STATUS: OverlayStatus = {
  overlayCidr: "10.200.0.0/16",
  peerCount: 0,
  serviceCount: 0,
  peers: [],
  dedicatedServices: [],
};

/** One recorded call: the method's name and its arguments. */
export type Call = readonly [method: string, ...args: unknown[]];

/** Replace any method on an instance to script it; the originals record and return something plain. */
export class FakeService implements OverlayService {
  readonly calls: Call[] = [];
  /** Off for long runs, whose calls would fill the memory. */
  recording = true;
  readonly contexts: RequestContext[] = [];
  readonly #listeners = new Set<(event: OverlayEvent) => void>();

  /** Events go to every connection, as the engine's would. */
  emit(event: OverlayEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  get listenerCount(): number {
    return this.#listeners.size;
  }

  subscribe(listener: (event: OverlayEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  setLocalNodeId = (nodeId: bigint): Promise<void> => this.#record("setLocalNodeId", nodeId);
  setLocalWgPubkey = (publicKey: string): Promise<void> => this.#record("setLocalWgPubkey", publicKey);

  setupGlobalOverlay = async (request: GlobalOverlayRequest, context: RequestContext): Promise<string> => {
    this.contexts.push(context);
    await this.#record("setupGlobalOverlay", request);
    return "zl-overlay0";
  };

  teardownGlobalOverlay = (context: RequestContext): Promise<void> => {
    this.contexts.push(context);
    return this.#record("teardownGlobalOverlay");
  };

  setupServiceOverlay = async (service: string, mode: OverlayMode): Promise<ServiceOverlayReply> => {
    await this.#record("setupServiceOverlay", service, mode);
    return { name: `zl-${service}`, mode: mode === "dedicated" ? "dedicated" : "shared" };
  };

  teardownServiceOverlay = (service: string): Promise<void> =>
    this.#record("teardownServiceOverlay", service);

  allocateIp = async (service: string, joinGlobal: boolean): Promise<string> => {
    await this.#record("allocateIp", service, joinGlobal);
    return "10.200.0.5";
  };

  releaseIp = (ip: string): Promise<void> => this.#record("releaseIp", ip);

  attachContainer = async (request: AttachRequest): Promise<AttachReply> => {
    await this.#record("attachContainer", request);
    return { kind: "attached", ip: "10.200.0.6" };
  };

  detachContainer = (handle: AttachHandle): Promise<void> => this.#record("detachContainer", handle);
  addPeer = (peer: PeerSpec, scope: PeerScope): Promise<void> => this.#record("addPeer", peer, scope);
  removePeer = (key: string, scope: PeerScope): Promise<void> => this.#record("removePeer", key, scope);

  addAllowedIp = (key: string, cidr: string, scope: PeerScope): Promise<void> =>
    this.#record("addAllowedIp", key, cidr, scope);

  removeAllowedIp = (key: string, cidr: string, scope: PeerScope): Promise<void> =>
    this.#record("removeAllowedIp", key, cidr, scope);

  registerDns = (name: string, ip: string): Promise<void> => this.#record("registerDns", name, ip);
  unregisterDns = (name: string): Promise<void> => this.#record("unregisterDns", name);
  status = (_detail: boolean): Promise<OverlayStatus> => Promise.resolve(FRESH_STATUS);
  natTick = (): Promise<void> => this.#record("natTick");

  shutdown = (context: RequestContext): Promise<void> => {
    this.contexts.push(context);
    return this.#record("shutdown");
  };

  #record(...call: Call): Promise<void> {
    if (this.recording) this.calls.push(call);
    return Promise.resolve();
  }
}
