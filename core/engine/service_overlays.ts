/** Service networks on this node: a bridge each, and for a dedicated service a WireGuard device of its own. */

import type { ServiceNetworkSpec } from "../backend/backend.ts";
import { describeError, PreconditionError, TeardownError } from "../errors.ts";
import { formatIp, parseIp } from "../ip/address.ts";
import { formatPrefix, type IpPrefix, parsePrefix } from "../ip/prefix.ts";
import { gatewayOf } from "../ipam/subnet_registry.ts";
import type { Marker } from "../marker.ts";
import { NO_SCOPE, serviceBridgeName } from "../network/interface_name.ts";
import { checkServiceName } from "../network/validate.ts";
import type { OverlayMode, ServiceOverlayReply } from "../service.ts";
import type { ServiceRecord } from "../state/records.ts";
import { DEFAULT_CLUSTER_CIDR, servicePoolName } from "./address_book.ts";
import type { Attachments } from "./attachments.ts";
import type { Containers } from "./containers.ts";
import { type EngineContext, ownerTag } from "./context.ts";
import { DedicatedDevices, type RemovalOptions } from "./dedicated_devices.ts";
import { type DeviceReader, peersOf } from "./devices.ts";
import { overlayMtu } from "./global_overlay.ts";
import type { Guests } from "./guests.ts";

/** Sets up and takes down service networks. */
export class ServiceOverlays {
  readonly #context: EngineContext;
  readonly #attachments: Attachments;
  readonly #guests: Guests;
  readonly #containers: Containers | undefined;
  readonly #dedicated: DedicatedDevices;

  /** @param parts `marker`: as read at start, for the ports in use. */
  constructor(
    context: EngineContext,
    parts: {
      reader: DeviceReader;
      attachments: Attachments;
      guests: Guests;
      containers: Containers | undefined;
      marker: Marker;
    },
  ) {
    this.#context = context;
    this.#attachments = parts.attachments;
    this.#guests = parts.guests;
    this.#containers = parts.containers;
    this.#dedicated = new DedicatedDevices(context, parts);
  }

  /** Makes the service's network, or brings the one that is there to the wanted mode; may be repeated. */
  setup(service: string, mode: OverlayMode): Promise<ServiceOverlayReply> {
    checkServiceName(service);
    return this.#locked(service, { global: "read" }, async () => {
      const { store, backend, problems } = this.#context;
      // What an earlier set-up or teardown left open goes first.
      const leftover = store.services.get(service);
      if (leftover && leftover.phase !== "ready") await this.#removeLeftover(leftover);
      const present = store.services.get(service);
      if (present) await backend.ensureServiceNetwork(networkSpec(present));
      const record = present ? await this.#bringTo(mode, present) : await this.#create(service, mode);
      problems.delete(`service:${service}`);
      return toReply(record, this.#containers?.networkName(service));
    });
  }

  /**
   * Runs work with the service's lock, and with that of the global device if guests have addresses of the service:
   * they are peers of that device and go with the service.
   */
  async #locked<T>(
    service: string,
    keys: { readonly global?: "read" },
    work: () => Promise<T>,
  ): Promise<T> {
    const hasGuests = (): boolean => this.#guests.of(service).length > 0;
    for (;;) {
      const withGuests = hasGuests();
      const all = { ...keys, ...(withGuests ? { global: "write" } as const : {}) };
      const done = await this.#context.locks.run({ ...all, [`service:${service}`]: "write" }, async () => {
        // No guest can come while the service's lock is held, but one may have come while it was waited for.
        return withGuests || !hasGuests() ? { result: await work() } : undefined;
      });
      if (done) return done.result;
    }
  }

  async #create(service: string, mode: OverlayMode): Promise<ServiceRecord> {
    const { store, backend, addresses, log } = this.#context;
    const record = await this.#newRecord(service);
    try {
      store.record("setup_service_overlay: intent", (write) => write.putService(record));
    } catch (error) {
      addresses.unassignSubnet(service, record.nodeId);
      throw error;
    }
    addresses.addService(record);
    try {
      await backend.ensureServiceNetwork(networkSpec(record));
      const complete = mode === "dedicated" ? await this.#dedicated.ensure(record) : record;
      const ready: ServiceRecord = { ...complete, phase: "ready" };
      await store.commit("setup_service_overlay: done", (write) => write.putService(ready));
      log.info("service network is up", { service, bridge: record.bridge, subnet: record.subnet });
      return ready;
    } catch (error) {
      await this.#undo(service, error);
      throw error;
    }
  }

  /** Undo of a failed set-up; one that fails too leaves the record open, and the regular pass tries again. */
  async #undo(service: string, cause: unknown): Promise<void> {
    const { store, problems, log } = this.#context;
    const object = `service:${service}`;
    try {
      await this.#remove(store.services.get(service)!, { forgetIdentity: false });
    } catch (err) {
      problems.set(object, `${describeError(cause)}; and undoing it failed: ${describeError(err)}`);
      log.error("cannot undo a failed set-up", { object, err });
    }
  }

  async #bringTo(mode: OverlayMode, present: ServiceRecord): Promise<ServiceRecord> {
    const isDedicated = mode === "dedicated" || (mode === "auto" && present.dedicated !== undefined);
    if (isDedicated) return await this.#dedicated.ensure(present);
    if (!present.dedicated) return present;
    try {
      return await this.#dedicated.drop(present, { forgetIdentity: true });
    } catch (error) {
      // It is recorded as dedicated still; the next pass looks what is left of it.
      this.#context.problems.set(`service:${present.name}`, describeError(error));
      throw error;
    }
  }

  async #newRecord(service: string): Promise<ServiceRecord> {
    const { store, addresses } = this.#context;
    const settings = store.settings.globalSettings;
    const nodeId = await this.#nodeId();
    const bridge = serviceBridgeName(settings ?? NO_SCOPE, service);
    const mtuBytes = store.settings.globalDevice?.mtuBytes ?? await overlayMtu(this.#context);
    const slice = settings?.sliceCidr === undefined ? undefined : parsePrefix(settings.sliceCidr)!;
    const subnet = addresses.assignSubnet(service, nodeId, {
      cluster: parsePrefix(settings?.clusterCidr ?? DEFAULT_CLUSTER_CIDR)!,
      ...(slice ? { slice } : {}),
    });
    return {
      name: service,
      bridge,
      tag: ownerTag(this.#context, `service:${service}`),
      nodeId,
      subnet: formatPrefix(subnet),
      gateway: formatIp(gatewayOf(subnet)),
      mtuBytes,
      phase: "pending",
    };
  }

  /**
   * The id that subnets are keyed by: the caller's, but where it says 0 (it always does today) the one of
   * `node_config.json` (W6). Two nodes without one would cut equal subnets (W13).
   */
  async #nodeId(): Promise<string> {
    const told = this.#context.store.settings.nodeId;
    if (told !== undefined && told !== "0") return told;
    const { nodeConfig } = await this.#context.readNodeFiles();
    const nodeId = nodeConfig?.raftNodeId?.toString() ?? told;
    if (nodeId !== undefined) return nodeId;
    throw new PreconditionError(
      "node id not known: send set_local_node_id before setup_service_overlay, since service subnets are cut by it",
    );
  }

  /** Takes the service's network down, its containers' interfaces included; an unknown name is success. */
  teardown(service: string): Promise<void> {
    return this.#locked(service, {}, async () => {
      const record = this.#context.store.services.get(service);
      if (record) await this.#remove(record, { forgetIdentity: true });
      // One that only the marker tells of, as after the reference.
      else if (await this.#containers?.isMarked(service)) {
        await this.#containers?.removeNetwork(service);
        this.#context.addresses.closePool(service);
      }
    });
  }

  /** Takes down a service whose set-up or teardown broke off. One that is being worked on is none. */
  async settle(service: string): Promise<void> {
    const { locks, store, log } = this.#context;
    if (!locks.isFree({ [`service:${service}`]: "write" })) return;
    await this.#locked(service, {}, async () => {
      const record = store.services.get(service);
      if (!record || record.phase === "ready") return;
      log.info("settling what was interrupted", { object: `service:${service}` });
      await this.#removeLeftover(record);
    });
  }

  /** An undone set-up keeps the service's identity, a teardown does not. */
  async #removeLeftover(record: ServiceRecord): Promise<void> {
    await this.#remove(record, { forgetIdentity: record.phase === "removing" });
  }

  async #remove(record: ServiceRecord, how: RemovalOptions): Promise<void> {
    const { store, backend, addresses, log } = this.#context;
    store.record("teardown_service_overlay: intent", (write) => {
      write.putService({ ...record, phase: "removing" });
    });
    const errors: unknown[] = [];
    const attempt = async (step: () => Promise<unknown>): Promise<void> => {
      try {
        await step();
      } catch (error) {
        errors.push(error);
      }
    };
    await attempt(() => this.#attachments.releaseAll(record.name));
    for (const guest of this.#guests.of(record.name)) await attempt(() => this.#guests.release(guest));
    await attempt(() => this.#dedicated.remove(record, how));
    await attempt(() => backend.removeServiceNetwork(record.bridge, record.tag));
    if (errors.length > 0) {
      this.#context.problems.set(`service:${record.name}`, errors.map(describeError).join("; "));
      throw new TeardownError(`cannot take down service ${record.name}`, errors);
    }
    await store.commit("teardown_service_overlay: done", (write) => {
      for (const lease of store.leases.values()) {
        if (lease.pool === servicePoolName(record.name)) write.deleteLease(lease.ip);
      }
      for (const peer of peersOf(this.#context, record.name)) write.deletePeer(peer.service, peer.publicKey);
      write.deleteService(record.name);
    });
    addresses.removeService(record);
    await this.#dedicated.releasePort(record);
    this.#context.problems.delete(`service:${record.name}`);
    log.info("service network is down", { service: record.name, bridge: record.bridge });
  }

  /** Puts a ready service's network or device right. The caller holds the service's lock. */
  async repair(record: ServiceRecord, what: "network" | "device"): Promise<void> {
    if (what === "network") return await this.#context.backend.ensureServiceNetwork(networkSpec(record));
    await this.#dedicated.repair(record);
  }
}

/** The service's network, with the gateway's address in the subnet's length. */
export function networkSpec({ bridge, tag, gateway, subnet, mtuBytes }: ServiceRecord): ServiceNetworkSpec {
  const address: IpPrefix = { address: parseIp(gateway)!, length: parsePrefix(subnet)!.length };
  return { name: bridge, tag, gateway: address, mtuBytes };
}

/** @param network Name of the service's container network, where it has one besides the device. */
function toReply(record: ServiceRecord, network?: string): ServiceOverlayReply {
  const { dedicated } = record;
  if (!dedicated) return { name: record.bridge, mode: "shared" };
  return {
    name: network ?? dedicated.interface,
    mode: "dedicated",
    dedicated: {
      wgPublicKey: dedicated.publicKey,
      wgPort: dedicated.port,
      overlayIp: dedicated.overlayIp,
      subnet: record.subnet,
    },
  };
}
