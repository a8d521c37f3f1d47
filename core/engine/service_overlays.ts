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
} from "../marker.ts";
import { dedicatedDeviceName, serviceBridgeName } from "../network/interface_name.ts";
import { checkServiceName } from "../network/validate.ts";
import type { OverlayMode, ServiceOverlayReply } from "../service.ts";
import type { DedicatedDevice, ServiceRecord } from "../state/records.ts";
import { decodeKeyPair } from "../wireguard/keys.ts";
import { DEFAULT_CLUSTER_CIDR, servicePoolName } from "./address_book.ts";
import type { Attachments } from "./attachments.ts";
import { type EngineContext, newKeyRecord, ownerTag, toKeyRecord } from "./context.ts";
import { type DeviceReader, deviceSpec, findDevice, peersOf } from "./devices.ts";
import { overlayMtu } from "./global_overlay.ts";

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
  readonly #ports: DedicatedPortAllocator;

  /** @param parts `marker`: as read at start, for the ports in use. */
  constructor(
    context: EngineContext,
    parts: { reader: DeviceReader; attachments: Attachments; marker: Marker },
  ) {
    this.#context = context;
    this.#reader = parts.reader;
    this.#attachments = parts.attachments;
    this.#ports = new DedicatedPortAllocator();
    for (const port of dedicatedPorts(parts.marker)) this.#ports.reserve(port);
    for (const service of context.store.services.values()) {
      if (service.dedicated) this.#ports.reserve(service.dedicated.port);
    }
  }

  /** Makes the service's network, or brings the one that is there to the wanted mode; may be repeated. */
  setup(service: string, mode: OverlayMode): Promise<ServiceOverlayReply> {
    checkServiceName(service);
    return this.#context.locks.run({ global: "read", [`service:${service}`]: "write" }, async () => {
      const present = this.#context.store.services.get(service);
      let record = present ?? await this.#create(service);
      if (present) await this.#context.backend.ensureServiceNetwork(networkSpec(present));
      const isDedicated = mode === "dedicated" || (mode === "auto" && present?.dedicated !== undefined);
      try {
        if (isDedicated) record = await this.#ensureDedicated(record);
        else if (record.dedicated) record = await this.#dropDedicated(record, { forgetIdentity: true });
      } catch (error) {
        if (!present) await this.#remove(record, { forgetIdentity: false });
        throw error;
      }
      if (record.phase !== "ready") record = await this.#put("done", { ...record, phase: "ready" });
      return toReply(record);
    });
  }

  async #create(service: string): Promise<ServiceRecord> {
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
    } catch (error) {
      await this.#remove(record, { forgetIdentity: false });
      throw error;
    }
    log.info("service network is up", { service, bridge: record.bridge, subnet: record.subnet });
    return record;
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
    const { store, backend, marker, log } = this.#context;
    const isNew = record.dedicated === undefined;
    const dedicated = record.dedicated ?? await this.#newDedicated(record);
    const next = { ...record, dedicated };
    if (isNew) store.record("setup_service_overlay: dedicated intent", (write) => write.putService(next));
    try {
      await backend.ensureDevice(deviceSpec(this.#context, findDevice(this.#context, record.name)!));
    } catch (error) {
      if (isNew) await this.#dropDedicated(next, { forgetIdentity: false });
      throw error;
    }
    if (isNew) {
      await this.#put("dedicated device", next);
      await marker.upsert(toMarkerEntry(next));
      log.info("dedicated WireGuard device is up", { service: record.name, interface: dedicated.interface });
    }
    return next;
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
    const { backend, store } = this.#context;
    const busy = new Set<number>();
    try {
      for (;;) {
        const live = store.settings.globalDevice?.listenPort;
        const port = this.#ports.allocate((candidate) => candidate !== live && !busy.has(candidate));
        if (await backend.isUdpPortFree(port)) return port;
        this.#ports.release(port);
        busy.add(port);
      }
    } catch (error) {
      this.#context.log.warn("no free port for a dedicated device", { busy: busy.size });
      throw error;
    }
  }

  async #dropDedicated(record: ServiceRecord, how: RemovalOptions): Promise<ServiceRecord> {
    const { dedicated: _, ...shared } = record;
    await this.#removeDevice(record, how);
    return await this.#put("dedicated removed", shared);
  }

  async #removeDevice(record: ServiceRecord, { forgetIdentity }: RemovalOptions): Promise<void> {
    const device = findDevice(this.#context, record.name);
    if (!device || !record.dedicated) return;
    await this.#context.backend.removeDevice(device.interface, device.tag);
    if (forgetIdentity) await this.#context.marker.remove(serviceOwner(record.name));
    this.#ports.release(record.dedicated.port);
    this.#reader.invalidate(device.interface);
  }

  async #put(label: string, record: ServiceRecord): Promise<ServiceRecord> {
    await this.#context.store.commit(`setup_service_overlay: ${label}`, (write) => write.putService(record));
    return record;
  }

  /** Takes the service's network down, its containers' interfaces included; an unknown name is success. */
  teardown(service: string): Promise<void> {
    return this.#context.locks.run({ [`service:${service}`]: "write" }, async () => {
      const record = this.#context.store.services.get(service);
      if (record) await this.#remove(record, { forgetIdentity: true });
    });
  }

  /** Finishes what a dead process was removing and undoes what it was making. */
  async settle(record: ServiceRecord): Promise<void> {
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
    this.#context.problems.delete(`service:${record.name}`);
    log.info("service network is down", { service: record.name, bridge: record.bridge });
  }

  /** Puts a ready service's network or device right. The caller holds the service's lock. */
  async repair(record: ServiceRecord, what: "network" | "device"): Promise<void> {
    const { backend, marker } = this.#context;
    if (what === "network") return await backend.ensureServiceNetwork(networkSpec(record));
    await backend.ensureDevice(deviceSpec(this.#context, findDevice(this.#context, record.name)!));
    // A process that died between device and marker left the marker without it.
    await marker.upsert(toMarkerEntry(record));
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

function toReply(record: ServiceRecord): ServiceOverlayReply {
  const { dedicated } = record;
  if (!dedicated) return { name: record.bridge, mode: "shared" };
  return {
    name: dedicated.interface,
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
