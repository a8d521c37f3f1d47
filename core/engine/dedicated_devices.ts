/**
 * WireGuard devices of dedicated services: a name, a port of their band and keys each, which the marker keeps for
 * when the service comes again.
 */

import { describeError } from "../errors.ts";
import { DedicatedPortAllocator } from "../ipam/port_allocator.ts";
import {
  dedicatedEntry,
  dedicatedIdentity,
  dedicatedPorts,
  type Marker,
  type MarkerEntry,
  serviceOwner,
  withDedicated,
} from "../marker.ts";
import { dedicatedDeviceName, NO_SCOPE } from "../network/interface_name.ts";
import type { DedicatedDevice, ServiceRecord } from "../state/records.ts";
import { decodeKeyPair } from "../wireguard/keys.ts";
import type { Containers } from "./containers.ts";
import { type EngineContext, newKeyRecord, ownerTag, toKeyRecord } from "./context.ts";
import { type DeviceReader, deviceSpec, findDevice, peersOf } from "./devices.ts";

/** Whether port and keys of a dedicated device leave the marker too; an undone set-up must not cost them. */
export interface RemovalOptions {
  readonly forgetIdentity: boolean;
}

/** Makes and removes them. Callers hold the service's lock. */
export class DedicatedDevices {
  readonly #context: EngineContext;
  readonly #reader: DeviceReader;
  readonly #containers: Containers | undefined;
  readonly #ports = new DedicatedPortAllocator();

  /** @param parts `marker`: as read at start, for the ports in use. */
  constructor(
    context: EngineContext,
    parts: {
      readonly reader: DeviceReader;
      readonly containers: Containers | undefined;
      readonly marker: Marker;
    },
  ) {
    this.#context = context;
    this.#reader = parts.reader;
    this.#containers = parts.containers;
    for (const port of dedicatedPorts(parts.marker)) this.#ports.reserve(port);
    for (const service of context.store.services.values()) {
      if (service.dedicated) this.#ports.reserve(service.dedicated.port);
    }
  }

  /** Makes the device of a service, or puts the one that it has right. @returns The record with its device. */
  async ensure(record: ServiceRecord): Promise<ServiceRecord> {
    const { store, log } = this.#context;
    if (record.dedicated) {
      await this.#make(record);
      return record;
    }
    const dedicated = await this.#newDevice(record);
    const next = { ...record, dedicated };
    try {
      store.record("setup_service_overlay: dedicated intent", (write) => write.putService(next));
    } catch (error) {
      this.#ports.release(dedicated.port);
      throw error;
    }
    try {
      await this.#make(record);
      await store.commit("setup_service_overlay: dedicated device", (write) => write.putService(next));
    } catch (error) {
      await this.#undo(next, error);
      throw error;
    }
    await this.#context.marker.update((marker) => withDedicated(marker, toMarkerEntry(next)));
    log.info("dedicated WireGuard device is up", { service: record.name, interface: dedicated.interface });
    return next;
  }

  /** The device as it is recorded, and where it has one, its network for containers. */
  async #make({ name, subnet }: ServiceRecord): Promise<void> {
    await this.#ensureDevice(name);
    await this.#containers?.ensureNetwork(name, subnet);
  }

  #ensureDevice(service: string): Promise<void> {
    return this.#context.backend.ensureDevice(deviceSpec(this.#context, findDevice(this.#context, service)!));
  }

  /** Undo of a failed change to dedicated; one that fails too leaves it so recorded, and the next pass makes it so. */
  async #undo(record: ServiceRecord, cause: unknown): Promise<void> {
    const { problems, log } = this.#context;
    const object = `service:${record.name}`;
    try {
      await this.drop(record, { forgetIdentity: false });
    } catch (err) {
      problems.set(object, `${describeError(cause)}; and undoing it failed: ${describeError(err)}`);
      log.error("cannot undo a failed set-up", { object, err });
    }
  }

  /** Port, keys and name of the marker's entry if all four are there, else fresh ones (daemon.md 8). */
  async #newDevice(record: ServiceRecord): Promise<DedicatedDevice> {
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
      port: await this.#allocatePort(),
      ...newKeyRecord(),
      overlayIp: record.gateway,
    };
  }

  /** Lowest port of the band that nobody on this host holds, the live global port among them (W16). */
  async #allocatePort(): Promise<number> {
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
  async drop(record: ServiceRecord, how: RemovalOptions): Promise<ServiceRecord> {
    const { dedicated: _, ...shared } = record;
    await this.remove(record, how);
    await this.#context.store.commit("setup_service_overlay: dedicated removed", (write) => {
      for (const peer of peersOf(this.#context, record.name)) write.deletePeer(peer.service, peer.publicKey);
      write.putService(shared);
    });
    await this.releasePort(record);
    return shared;
  }

  /** Takes the device out of the kernel, and leaves the records as they are; one that is gone is success. */
  async remove(record: ServiceRecord, { forgetIdentity }: RemovalOptions): Promise<void> {
    const device = findDevice(this.#context, record.name);
    if (!device || !record.dedicated) return;
    await this.#containers?.removeNetwork(record.name, record.subnet);
    await this.#context.backend.removeDevice(device.interface, device.tag);
    if (forgetIdentity) await this.#context.marker.remove(serviceOwner(record.name));
    this.#reader.invalidate(device.interface);
  }

  /** Gives a port back once no record has it, unless the marker keeps it for when the service comes again. */
  async releasePort({ name, dedicated }: ServiceRecord): Promise<void> {
    if (!dedicated) return;
    const kept = dedicatedIdentity(await this.#context.marker.load(), name);
    if (kept?.port !== dedicated.port) this.#ports.release(dedicated.port);
  }

  /** Puts the device of a ready service right. */
  async repair(record: ServiceRecord): Promise<void> {
    await this.#ensureDevice(record.name);
    // A process that died between device and marker left the marker without it.
    await this.#context.marker.update((one) => withDedicated(one, toMarkerEntry(record)));
  }
}

function toMarkerEntry(record: ServiceRecord): MarkerEntry {
  const { interface: name, port, publicKey, privateKey } = record.dedicated!;
  const identity = { port, keys: decodeKeyPair(privateKey, publicKey), interface: name };
  return dedicatedEntry(record.name, identity, record.subnet);
}
