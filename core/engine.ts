/**
 * The engine: every operation of the overlay, over a backend and a state store.
 *
 * It owns no socket and reads no clock of its own, so that it runs whole against the fake host on any system.
 * Rule of every change (design 5): intent committed, effect in the kernel, done committed, reply.
 */

import type { NetworkBackend } from "./backend/backend.ts";
import type { Clock } from "./clock.ts";
import { AddressBook } from "./engine/address_book.ts";
import { Attachments } from "./engine/attachments.ts";
import { ContainerReleases } from "./engine/container_releases.ts";
import { Containers } from "./engine/containers.ts";
import { ContainerSweeper } from "./engine/container_sweeper.ts";
import { type EngineContext, installationId } from "./engine/context.ts";
import { DeviceReader } from "./engine/devices.ts";
import { GlobalOverlay } from "./engine/global_overlay.ts";
import { Guests } from "./engine/guests.ts";
import { PeerHealth } from "./engine/health.ts";
import { HeardEndpoints } from "./engine/heard_endpoints.ts";
import { LostContainers } from "./engine/lost_containers.ts";
import { PeerPlaces } from "./engine/peer_places.ts";
import { PeerWatch } from "./engine/peer_watch.ts";
import { Peers } from "./engine/peers.ts";
import { Reconciler } from "./engine/reconciler.ts";
import { ServiceOverlays } from "./engine/service_overlays.ts";
import { type ProcessFacts, readStatus } from "./engine/status.ts";
import { InvalidConfigError, TeardownError, UnsupportedError } from "./errors.ts";
import { formatIp, parseIp } from "./ip/address.ts";
import { KeyedLock } from "./keyed_lock.ts";
import type { Log } from "./log.ts";
import type { MarkerFile } from "./marker_file.ts";
import { checkDnsName, checkServiceName } from "./network/validate.ts";
import type { NodeFiles } from "./node_config.ts";
import { quote, shown } from "./quote.ts";
import type { Resolver } from "./resolver.ts";
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
} from "./service.ts";
import type { StateStore } from "./state/state_store.ts";
import { slicedBreath, Turnstile } from "./turnstile.ts";

/** Longest public key text that `set_local_wg_pubkey` keeps; it is only compared. */
const MAX_PUBKEY_LENGTH = 256;

/** What an engine is made of. The caller closes backend and store after {@linkcode OverlayEngine.stop}. */
export interface EngineOptions {
  readonly backend: NetworkBackend;
  readonly store: StateStore;
  readonly marker: MarkerFile;
  readonly clock: Clock;
  readonly log: Log;
  readonly dataDir: string;
  readonly version: string;
  readonly readNodeFiles: () => Promise<NodeFiles>;
  /** For peers whose callers name a host. */
  readonly resolver: Resolver;
  /** Whether containers taken over are detached when they seem to be no more; see {@linkcode ContainerSweeper}. */
  readonly removeAbandoned?: boolean;
}

/** All operations; see {@linkcode OverlayService}. */
export class OverlayEngine implements OverlayService {
  readonly #context: EngineContext;
  readonly #reader: DeviceReader;
  readonly #global: GlobalOverlay;
  readonly #services: ServiceOverlays;
  readonly #attachments: Attachments;
  readonly #containers: Containers | undefined;
  readonly #releases: ContainerReleases | undefined;
  readonly #sweeper: ContainerSweeper | undefined;
  readonly #guests: Guests;
  readonly #peers: Peers;
  readonly #reconciler: Reconciler;
  readonly #heard: HeardEndpoints;
  readonly #places: PeerPlaces;
  readonly #watch: PeerWatch;
  readonly #facts: ProcessFacts;
  readonly #listeners = new Set<(event: OverlayEvent) => void>();

  /** Settles, adopts and repairs what is recorded, then begins to watch. When this resolves, serve. */
  static async start(options: EngineOptions): Promise<OverlayEngine> {
    const marker = await options.marker.load();
    const { version, dataDir, clock } = options;
    const facts = { version, pid: Deno.pid, startedUnixSecs: clock.wallSeconds(), dataDir };
    const engine = new OverlayEngine(options, { facts, marker });
    engine.#watch.listen();
    await engine.#reconciler.recover();
    engine.#rememberHostSettings();
    await engine.#reconciler.start();
    engine.#watch.start();
    engine.#places.start();
    engine.#sweeper?.start();
    return engine;
  }

  private constructor(
    options: EngineOptions,
    { facts, marker }: { facts: ProcessFacts; marker: Awaited<ReturnType<MarkerFile["load"]>> },
  ) {
    const { backend, store, clock, log, readNodeFiles } = options;
    this.#context = {
      backend,
      store,
      marker: options.marker,
      addresses: new AddressBook(store),
      locks: new KeyedLock(),
      turns: new Turnstile(slicedBreath()),
      clock,
      log,
      installation: installationId(options.dataDir),
      readNodeFiles,
      problems: new Map(),
      lost: new LostContainers(clock),
    };
    this.#facts = facts;
    this.#reader = new DeviceReader(this.#context);
    this.#global = new GlobalOverlay(this.#context, this.#reader);
    this.#attachments = new Attachments(this.#context);
    if (backend.containers) {
      const networks = backend.containers;
      const releases = this.#releases = new ContainerReleases(this.#context, networks);
      this.#containers = new Containers(this.#context, { networks, releases });
      const { removeAbandoned } = options;
      this.#sweeper = new ContainerSweeper(this.#context, {
        containers: this.#containers,
        releases,
        networks,
        removeAbandoned,
      });
    }
    const health = new PeerHealth(this.#context, (event) => {
      for (const listener of this.#listeners) listener(event);
    });
    this.#heard = new HeardEndpoints(this.#context);
    const sources = { reader: this.#reader, heard: this.#heard, health, resolver: options.resolver };
    this.#places = new PeerPlaces(this.#context, sources);
    this.#watch = new PeerWatch(this.#context, this.#reader, [health, this.#heard, this.#places]);
    this.#guests = new Guests(this.#context, this.#reader);
    this.#peers = new Peers(this.#context, this.#reader, {
      health,
      heard: this.#heard,
      places: this.#places,
    });
    this.#services = new ServiceOverlays(this.#context, {
      reader: this.#reader,
      attachments: this.#attachments,
      guests: this.#guests,
      containers: this.#containers,
      marker,
    });
    this.#reconciler = new Reconciler(this.#context, {
      global: this.#global,
      services: this.#services,
      attachments: this.#attachments,
      guests: this.#guests,
    });
  }

  /** Ends watching and repairing. The data plane stays as it is. */
  async stop(): Promise<void> {
    this.#watch.stop();
    this.#places.stop();
    this.#heard.stop();
    await Promise.all([this.#sweeper?.stop(), this.#reconciler.stop()]);
  }

  /** Removes everything this engine keeps in the kernel: containers' links, services, the global device. */
  async removeAll(): Promise<void> {
    await this.stop();
    const { store, locks } = this.#context;
    const errors: unknown[] = [];
    const keep = (error: unknown): void => void errors.push(error);
    for (const service of [...store.services.keys()]) await this.#services.teardown(service).catch(keep);
    await this.#releases?.releaseAll().catch(keep);
    await locks.run({ global: "write" }, () => this.#global.remove()).catch(keep);
    if (errors.length > 0) throw new TeardownError("cannot remove everything", errors);
  }

  /** Runs one repair pass now; resolves when it is done. */
  async reconcile(): Promise<void> {
    await this.#reconciler.pass();
    await this.#sweeper?.settle();
  }

  /** Settles and compares all containers of Windows with what the host has; resolves when it is done. */
  async sweepContainers(): Promise<void> {
    await this.#sweeper?.settle();
    await this.#sweeper?.sweep();
  }

  async setLocalNodeId(nodeId: bigint): Promise<void> {
    const { store } = this.#context;
    await store.commit("set_local_node_id", (write) => write.setting("nodeId", nodeId.toString()));
  }

  async setLocalWgPubkey(publicKey: string): Promise<void> {
    if (publicKey.length > MAX_PUBKEY_LENGTH) {
      throw new InvalidConfigError(
        `pubkey has ${publicKey.length} characters: send at most ${MAX_PUBKEY_LENGTH}`,
      );
    }
    await this.#context.store.commit(
      "set_local_wg_pubkey",
      (write) => write.setting("localWgPublicKey", publicKey),
    );
    const device = this.#context.store.settings.globalDevice;
    if (device && device.publicKey !== publicKey) {
      this.#context.log.warn("the cluster advertises another key for this node than its device has", {
        interface: device.interface,
      });
    }
  }

  async setupGlobalOverlay(request: GlobalOverlayRequest, context: RequestContext): Promise<string> {
    try {
      return await this.#global.setup(request, context);
    } finally {
      // Also where no device can be made: containers are attached all the same.
      this.#sweeper?.deploymentKnown();
      this.#rememberHostSettings();
    }
  }

  teardownGlobalOverlay(context: RequestContext): Promise<void> {
    return this.#global.teardown(context);
  }

  async setupServiceOverlay(service: string, mode: OverlayMode): Promise<ServiceOverlayReply> {
    const reply = await this.#services.setup(service, mode);
    this.#rememberHostSettings();
    return reply;
  }

  async teardownServiceOverlay(service: string): Promise<void> {
    checkServiceName(service);
    await this.#services.teardown(service);
  }

  async allocateIp(service: string, _joinGlobal: boolean): Promise<string> {
    checkServiceName(service);
    // Nobody may build a pool or choose a subnet from the leases while one is not yet among them.
    const keys = { global: "write", [`service:${service}`]: "read" } as const;
    return await this.#context.locks.run(keys, async () => {
      const { store, addresses } = this.#context;
      const hasBridge = store.services.get(service)?.phase === "ready";
      const lease = hasBridge
        ? addresses.allocateService(service, "manual")
        : addresses.allocateNode("manual");
      try {
        await store.commit("allocate_ip", (write) => write.putLease(lease));
      } catch (error) {
        addresses.release(lease);
        throw error;
      }
      return lease.ip;
    });
  }

  /** Only addresses that `allocateIp` handed out are taken back; any other is none of this call's (W17). */
  async releaseIp(text: string): Promise<void> {
    const ip = parseIp(text);
    if (!ip) throw new InvalidConfigError(`invalid IP address ${shown(text)}`);
    const { store, addresses, locks, log } = this.#context;
    await locks.run({ [`ip:${formatIp(ip)}`]: "write" }, async () => {
      const lease = store.leases.get(formatIp(ip));
      if (lease?.owner !== "manual") {
        if (lease) log.warn("address not released: it is in use", { ip: lease.ip, owner: lease.owner });
        return;
      }
      await store.commit("release_ip", (write) => write.deleteLease(lease.ip));
      addresses.release(lease);
    });
  }

  async attachContainer(request: AttachRequest): Promise<AttachReply> {
    const { handle } = request;
    if (request.dnsServer !== undefined && !parseIp(request.dnsServer)) {
      throw new InvalidConfigError(`invalid dns_server ${shown(request.dnsServer)}: send an IP address`);
    }
    switch (handle.platform) {
      case "linux_pid":
        if (this.#context.backend.kind === "windows") {
          throw new UnsupportedError("handle platform linux_pid is only supported on Linux");
        }
        return { kind: "attached", ip: await this.#attachments.attach(handle.pid, request) };
      case "guest_managed":
        return await this.#guests.attach(handle.id, request);
      case "windows_container":
        return { kind: "attached", ...await this.#requireContainers().attach(handle, request) };
    }
  }

  async detachContainer(handle: AttachHandle): Promise<void> {
    switch (handle.platform) {
      case "linux_pid":
        return await this.#attachments.detach(handle.pid);
      case "guest_managed":
        return await this.#guests.detach(handle.id);
      case "windows_container":
        // Where nothing of that kind is ever attached, all are unknown, and detaching those is success.
        return await this.#releases?.detach(handle.containerId);
    }
  }

  #requireContainers(): Containers {
    if (this.#containers) return this.#containers;
    throw new UnsupportedError("handle platform windows_container is only supported on Windows");
  }

  addPeer(peer: PeerSpec, scope: PeerScope): Promise<void> {
    return this.#peers.add(peer, scope);
  }

  removePeer(publicKey: string, scope: PeerScope): Promise<void> {
    return this.#peers.remove(publicKey, scope);
  }

  addAllowedIp(publicKey: string, cidr: string, scope: PeerScope): Promise<void> {
    return this.#peers.addAllowedIp(publicKey, cidr, scope);
  }

  removeAllowedIp(publicKey: string, cidr: string, scope: PeerScope): Promise<void> {
    return this.#peers.removeAllowedIp(publicKey, cidr, scope);
  }

  async registerDns(name: string, text: string): Promise<void> {
    checkDnsName("name", name);
    const ip = parseIp(text);
    if (!ip) throw new InvalidConfigError(`invalid IP address ${quote(text)} for DNS name ${name}`);
    await this.#context.store.commit("register_dns", (write) => write.putDns({ name, ip: formatIp(ip) }));
  }

  async unregisterDns(name: string): Promise<void> {
    if (this.#context.store.dns.has(name)) {
      await this.#context.store.commit("unregister_dns", (write) => write.deleteDns(name));
    }
  }

  status(detail: boolean): Promise<OverlayStatus> {
    return readStatus(this.#context, this.#reader, detail ? { detail: this.#facts } : {});
  }

  natTick(): Promise<void> {
    if (this.#context.store.settings.globalSettings?.natEnabled === false) return Promise.resolve();
    return Promise.reject(
      new UnsupportedError(
        "NAT traversal is not built into this release: set up the global overlay with nat_enabled false",
      ),
    );
  }

  /** Takes the global overlay down, as the contract says; the rest of the data plane stays. */
  shutdown(_context: RequestContext): Promise<void> {
    return this.#context.locks.run({ global: "write" }, () => this.#global.remove());
  }

  subscribe(listener: (event: OverlayEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Keeps what was changed host-wide, the first value of each, so that purge can put it back. */
  #rememberHostSettings(): void {
    const { store, backend } = this.#context;
    const kept = store.settings.hostSettings ?? {};
    const changed = backend.changedHostSettings();
    if (Object.keys(changed).every((key) => key in kept)) return;
    store.record("host settings", (write) => write.setting("hostSettings", { ...changed, ...kept }));
  }
}
