/** Service networks on this node: a bridge each, and for a dedicated service a WireGuard device of its own. */

import { describeError, PreconditionError, TeardownError } from "../errors.ts";
import { formatIp, parseIp } from "../ip/address.ts";
import { formatPrefix, type IpPrefix, parsePrefix } from "../ip/prefix.ts";
import { DedicatedPortAllocator } from "../ipam/port_allocator.ts";
import { gatewayOf } from "../ipam/subnet_registry.ts";
import {
  dedicatedEntry,
  dedicatedIdentity,
  dedicatedPorts,
  type Marker,
  type MarkerEntry,
  serviceOwner,
  withDedicated,
} from "../marker.ts";
import { dedicatedDeviceName, serviceBridgeName } from "../network/interface_name.ts";
import { checkServiceName } from "../network/validate.ts";
import type { OverlayMode, ServiceOverlayReply } from "../service.ts";
import type { DedicatedDevice, ServiceRecord } from "../state/records.ts";
import { decodeKeyPair } from "../wireguard/keys.ts";
import { DEFAULT_CLUSTER_CIDR, servicePoolName } from "./address_book.ts";
import type { Attachments } from "./attachments.ts";
import type { Containers } from "./containers.ts";
import { type EngineContext, newKeyRecord, ownerTag, toKeyRecord } from "./context.ts";
import { type DeviceReader, deviceSpec, findDevice, peersOf } from "./devices.ts";
import { overlayMtu } from "./global_overlay.ts";
import type { Guests } from "./guests.ts";

/** Naming scope before the first global set-up. */
const NO_SCOPE = { deployment: "", instanceId: "" };

/** Whether port and keys of a dedicated device leave the marker too; an undone set-up must not cost them. */
interface RemovalOptions {
  readonly forgetIdentity: boolean;
}

/** Sets up and takes down service networks. */
export class ServiceOverlays {
  readonly #context: EngineContext;
  readonly #reader: DeviceReader;
  readonly #attachments: Attachments;
  readonly #guests: Guests;
  readonly #containers: Containers | undefined;
  readonly #ports: DedicatedPortAllocator;

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
    this.#reader = parts.reader;
    this.#attachments = parts.attachments;
    this.#guests = parts.guests;
    this.#containers = parts.containers;
    this.#ports = new DedicatedPortAllocator();
    for (const port of dedicatedPorts(parts.marker)) this.#ports.reserve(port);
    for (const service of context.store.services.values()) {
      if (service.dedicated) this.#ports.reserve(service.dedicated.port);
    }
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
      const complete = mode === "dedicated" ? await this.#ensureDedicated(record) : record;
      const ready = await this.#put("done", { ...complete, phase: "ready" });
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
    if (isDedicated) return await this.#ensureDedicated(present);
    if (!present.dedicated) return present;
    try {
      return await this.#dropDedicated(present, { forgetIdentity: true });
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

  async #ensureDedicated(record: ServiceRecord): Promise<ServiceRecord> {
    const { store, backend, log } = this.#context;
    if (record.dedicated) {
      await backend.ensureDevice(deviceSpec(this.#context, findDevice(this.#context, record.name)!));
      await this.#containers?.ensureNetwork(record.name, record.subnet);
      return record;
    }
    const dedicated = await this.#newDedicated(record);
    const next = { ...record, dedicated };
    try {
      store.record("setup_service_overlay: dedicated intent", (write) => write.putService(next));
    } catch (error) {
      this.#ports.release(dedicated.port);
      throw error;
    }
    try {
      await backend.ensureDevice(deviceSpec(this.#context, findDevice(this.#context, record.name)!));
      await this.#containers?.ensureNetwork(record.name, record.subnet);
      await this.#put("dedicated device", next);
    } catch (error) {
      await this.#undoDedicated(next, error);
      throw error;
    }
    await this.#context.marker.update((marker) => withDedicated(marker, toMarkerEntry(next)));
    log.info("dedicated WireGuard device is up", { service: record.name, interface: dedicated.interface });
    return next;
  }

  /** Undo of a failed change to dedicated; one that fails too leaves it so recorded, and the next pass makes it so. */
  async #undoDedicated(record: ServiceRecord, cause: unknown): Promise<void> {
    const { problems, log } = this.#context;
    const object = `service:${record.name}`;
    try {
      await this.#dropDedicated(record, { forgetIdentity: false });
    } catch (err) {
      problems.set(object, `${describeError(cause)}; and undoing it failed: ${describeError(err)}`);
      log.error("cannot undo a failed set-up", { object, err });
    }
  }

  /** Port, keys and name of the marker's entry if all four are there, else fresh ones (daemon.md 8). */
  async #newDedicated(record: ServiceRecord): Promise<DedicatedDevice> {
    const tag = ownerTag(this.#context, `device:${record.name}`);
    const known = dedicatedIdentity(await this.#context.marker.load(), record.name);
    if (known) {
      this.#ports.reserve(known.port);
      const keys = toKeyRecord(known.keys);
      return { interface: known.interface, tag, port: known.port, ...keys, overlayIp: record.gateway };
    }
    const settings = this.#context.store.settings.globalSettings ?? NO_SCOPE;
    return {
      interface: dedicatedDeviceName(settings, record.name),
      tag,
      port: await this.#freePort(),
      ...newKeyRecord(),
      overlayIp: record.gateway,
    };
  }

  /** Lowest port of the band that nobody on this host holds, the live global port among them (W16). */
  async #freePort(): Promise<number> {
    const { backend, store, log } = this.#context;
    const busy = new Set<number>();
    for (;;) {
      const live = store.settings.globalDevice?.listenPort;
      const port = this.#ports.allocate((candidate) => candidate !== live && !busy.has(candidate));
      let isFree = false;
      try {
        isFree = await backend.isUdpPortFree(port);
      } finally {
        if (!isFree) this.#ports.release(port);
      }
      if (isFree) return port;
      busy.add(port);
      log.debug("port of a dedicated device is taken by something else", { port });
    }
  }

  /** Takes the device away, and its peers with it: they were those of this device. */
  async #dropDedicated(record: ServiceRecord, how: RemovalOptions): Promise<ServiceRecord> {
    const { dedicated: _, ...shared } = record;
    await this.#removeDevice(record, how);
    await this.#context.store.commit("setup_service_overlay: dedicated removed", (write) => {
      for (const peer of peersOf(this.#context, record.name)) write.deletePeer(peer.service, peer.publicKey);
      write.putService(shared);
    });
    await this.#freePortOf(record);
    return shared;
  }

  async #removeDevice(record: ServiceRecord, { forgetIdentity }: RemovalOptions): Promise<void> {
    const device = findDevice(this.#context, record.name);
    if (!device || !record.dedicated) return;
    await this.#containers?.removeNetwork(record.name, record.subnet);
    await this.#context.backend.removeDevice(device.interface, device.tag);
    if (forgetIdentity) await this.#context.marker.remove(serviceOwner(record.name));
    this.#reader.invalidate(device.interface);
  }

  /** Gives a port back once no record has it, unless the marker keeps it for when the service comes again. */
  async #freePortOf({ name, dedicated }: ServiceRecord): Promise<void> {
    if (!dedicated) return;
    const kept = dedicatedIdentity(await this.#context.marker.load(), name);
    if (kept?.port !== dedicated.port) this.#ports.release(dedicated.port);
  }

  async #put(label: string, record: ServiceRecord): Promise<ServiceRecord> {
    await this.#context.store.commit(`setup_service_overlay: ${label}`, (write) => write.putService(record));
    return record;
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
    await attempt(() => this.#removeDevice(record, how));
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
    await this.#freePortOf(record);
    this.#context.problems.delete(`service:${record.name}`);
    log.info("service network is down", { service: record.name, bridge: record.bridge });
  }

  /** Puts a ready service's network or device right. The caller holds the service's lock. */
  async repair(record: ServiceRecord, what: "network" | "device"): Promise<void> {
    const { backend, marker } = this.#context;
    if (what === "network") return await backend.ensureServiceNetwork(networkSpec(record));
    await backend.ensureDevice(deviceSpec(this.#context, findDevice(this.#context, record.name)!));
    // A process that died between device and marker left the marker without it.
    await marker.update((one) => withDedicated(one, toMarkerEntry(record)));
  }
}

function networkSpec(record: ServiceRecord): {
  name: string;
  tag: string;
  gateway: IpPrefix;
  mtuBytes: number;
} {
  const { bridge: name, tag, mtuBytes } = record;
  return { name, tag, gateway: gatewayPrefix(record), mtuBytes };
}

/** The gateway's address with the subnet's length, as the bridge has it. */
export function gatewayPrefix(record: ServiceRecord): IpPrefix {
  return { address: parseIp(record.gateway)!, length: parsePrefix(record.subnet)!.length };
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

function toMarkerEntry(record: ServiceRecord): MarkerEntry {
  const { interface: name, port, publicKey, privateKey } = record.dedicated!;
  const identity = { port, keys: decodeKeyPair(privateKey, publicKey), interface: name };
  return dedicatedEntry(record.name, identity, record.subnet);
}
