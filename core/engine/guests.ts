/** Guests (virtual machines) that run WireGuard themselves: they get a configuration instead of a link. */

import { describeError, NotFoundError, PreconditionError } from "../errors.ts";
import { formatIp, parseIp } from "../ip/address.ts";
import { hostPrefix, parsePrefix, prefixEquals } from "../ip/prefix.ts";
import { DEFAULT_WG_PORT } from "../ipam/port_allocator.ts";
import { checkDnsName, checkHandleId, checkServiceName } from "../network/validate.ts";
import type { AttachReply, AttachRequest } from "../service.ts";
import type { GuestRecord } from "../state/records.ts";
import { decodeKey } from "../wireguard/keys.ts";
import { servicePoolName } from "./address_book.ts";
import { type EngineContext, newKeyRecord } from "./context.ts";
import {
  type DeviceIdentity,
  type DeviceReader,
  findDevice,
  requireDevice,
  wantedRoutes,
} from "./devices.ts";

const KEEPALIVE_SECONDS = 25;

/** Key of a guest, in locks, leases and what operators see. */
export function guestHandle(id: string): string {
  return `guest:${id}`;
}

/** Attaches and detaches guests. */
export class Guests {
  readonly #context: EngineContext;
  readonly #reader: DeviceReader;

  constructor(context: EngineContext, reader: DeviceReader) {
    this.#context = context;
    this.#reader = reader;
  }

  /** @returns What the guest has to configure. Attaching again gives the same keys and address. */
  attach(id: string, request: AttachRequest): Promise<AttachReply> {
    checkHandleId("id", id);
    checkServiceName(request.service);
    if (request.dnsDomain !== undefined) checkDnsName("dns_domain", request.dnsDomain);
    const keys = {
      [guestHandle(id)]: "write",
      global: "write",
      [`service:${request.service}`]: "read",
    } as const;
    return this.#context.locks.run(keys, async () => {
      const { store } = this.#context;
      if (store.settings.globalDevice?.phase !== "ready") {
        throw new PreconditionError(
          `guest ${id} needs the global overlay to be set up: send setup_global_overlay first`,
        );
      }
      const device = requireDevice(this.#context, { scope: "global" });
      // Before anything is done: without a way out of this host there is nothing to tell the guest.
      const host = await this.#hostAddress();
      const present = store.guests.get(id);
      if (present && present.phase !== "ready") await this.release(present);
      const guest = store.guests.get(id) ?? await this.#attachNew(id, request, device);
      return this.#config(guest, request, { host, device });
    });
  }

  async #hostAddress(): Promise<string> {
    const { ip } = await this.#context.backend.egress();
    return ip.family === 6 ? `[${formatIp(ip)}]` : formatIp(ip);
  }

  async #attachNew(id: string, request: AttachRequest, device: DeviceIdentity): Promise<GuestRecord> {
    const { store, addresses } = this.#context;
    const owner = guestHandle(id);
    const isReady = store.services.get(request.service)?.phase === "ready";
    const lease = isReady ? addresses.allocateService(request.service, owner) : addresses.allocateNode(owner);
    const guest: GuestRecord = {
      id,
      service: request.service,
      overlayIp: lease.ip,
      ...newKeyRecord(),
      phase: "pending",
    };
    try {
      store.record("attach_container guest: intent", (write) => {
        write.putGuest(guest);
        write.putLease(lease);
      });
    } catch (error) {
      addresses.release(lease);
      throw error;
    }
    try {
      await this.#addPeer(device, guest);
      const ready: GuestRecord = { ...guest, phase: "ready" };
      await store.commit("attach_container guest: done", (write) => write.putGuest(ready));
      return ready;
    } catch (error) {
      await this.#undo(guest, error);
      throw error;
    }
  }

  /** Undo of a failed attach; one that fails too leaves the record open, and the regular pass tries again. */
  async #undo(guest: GuestRecord, cause: unknown): Promise<void> {
    const { problems, log } = this.#context;
    const object = guestHandle(guest.id);
    try {
      await this.release(guest);
    } catch (err) {
      problems.set(object, `${describeError(cause)}; and undoing it failed: ${describeError(err)}`);
      log.error("cannot undo a failed attach", { object, err });
    }
  }

  #config(
    guest: GuestRecord,
    request: AttachRequest,
    { host, device }: { host: string; device: DeviceIdentity },
  ): AttachReply {
    const { store } = this.#context;
    const defaults = store.settings.dnsDefaults ?? {};
    const dnsServer = request.dnsServer ?? defaults.server;
    const dnsDomain = request.dnsDomain ?? defaults.domain;
    const { clusterCidr } = store.settings.globalSettings!;
    return {
      kind: "guest_config",
      overlayIp: guest.overlayIp,
      prefixLen: parsePrefix(clusterCidr)!.length,
      privateKey: guest.privateKey,
      publicKey: guest.publicKey,
      listenPort: DEFAULT_WG_PORT,
      peers: [{
        publicKey: device.publicKey,
        endpoint: `${host}:${device.listenPort}`,
        allowedIps: clusterCidr,
        persistentKeepaliveSecs: KEEPALIVE_SECONDS,
      }],
      ...(dnsServer === undefined ? {} : { dnsServer }),
      ...(dnsDomain === undefined ? {} : { dnsDomain }),
    };
  }

  /** Ends a guest's attachment; an unknown id is success. */
  detach(id: string): Promise<void> {
    return this.#context.locks.run({ [guestHandle(id)]: "write", global: "write" }, async () => {
      const guest = this.#context.store.guests.get(id);
      if (guest) await this.release(guest);
    });
  }

  /** Guests with an address of the service's subnet. */
  of(service: string): GuestRecord[] {
    const { guests, leases } = this.#context.store;
    return [...guests.values()].filter((g) => leases.get(g.overlayIp)?.pool === servicePoolName(service));
  }

  /** Releases a guest whose attach or detach broke off. One that is being worked on is none. */
  async settle(id: string): Promise<void> {
    const { locks, store, log } = this.#context;
    const keys = { [guestHandle(id)]: "write", global: "write" } as const;
    if (!locks.isFree(keys)) return;
    await locks.run(keys, async () => {
      const guest = store.guests.get(id);
      if (!guest || guest.phase === "ready") return;
      log.info("settling what was interrupted", { object: guestHandle(id) });
      await this.release(guest);
    });
  }

  /** Removes a guest's peer, record and address. The caller holds the lock `global`, as all that touch guests do. */
  async release(guest: GuestRecord): Promise<void> {
    const { store, addresses, problems } = this.#context;
    store.record(
      "detach_container guest: intent",
      (write) => write.putGuest({ ...guest, phase: "removing" }),
    );
    const device = findDevice(this.#context, "");
    if (device) await this.#removePeer(device, guest);
    const leases = [...store.leases.values()].filter((lease) => lease.owner === guestHandle(guest.id));
    await store.commit("detach_container guest: done", (write) => {
      write.deleteGuest(guest.id);
      write.deleteHeard("", guest.publicKey);
      for (const lease of leases) write.deleteLease(lease.ip);
    });
    for (const lease of leases) addresses.release(lease);
    problems.delete(guestHandle(guest.id));
  }

  async #addPeer(device: DeviceIdentity, guest: GuestRecord): Promise<void> {
    const host = hostPrefix(parseIp(guest.overlayIp)!);
    const isRouted = wantedRoutes(this.#context, device).some((route) => prefixEquals(route, host));
    try {
      await this.#context.backend.changeDevice(device.interface, {
        set: [{ publicKey: decodeKey(guest.publicKey), allowedIps: [host], keepaliveSeconds: 0 }],
        remove: [],
        addRoutes: isRouted ? [host] : [],
        removeRoutes: [],
      });
    } finally {
      this.#reader.invalidate(device.interface);
    }
  }

  async #removePeer(device: DeviceIdentity, guest: GuestRecord): Promise<void> {
    const host = hostPrefix(parseIp(guest.overlayIp)!);
    const isRouted = wantedRoutes(this.#context, device).some((route) => prefixEquals(route, host));
    try {
      await this.#context.backend.changeDevice(device.interface, {
        set: [],
        remove: [decodeKey(guest.publicKey)],
        addRoutes: [],
        removeRoutes: isRouted ? [] : [host],
      });
    } catch (error) {
      // A device that is gone has no peer left to remove.
      if (!(error instanceof NotFoundError)) throw error;
    } finally {
      this.#reader.invalidate(device.interface);
    }
  }
}
