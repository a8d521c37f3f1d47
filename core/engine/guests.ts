/** Guests (virtual machines) that run WireGuard themselves: they get a configuration instead of a link. */

import { NotFoundError, PreconditionError } from "../errors.ts";
import { formatIp, parseIp } from "../ip/address.ts";
import { hostPrefix, parsePrefix } from "../ip/prefix.ts";
import { DEFAULT_WG_PORT } from "../ipam/port_allocator.ts";
import { routeChanges } from "../network/routes.ts";
import { checkDnsName, checkHandleId, checkServiceName } from "../network/validate.ts";
import type { AttachReply, AttachRequest } from "../service.ts";
import type { GuestRecord, LeaseRecord } from "../state/records.ts";
import { decodeKey } from "../wireguard/keys.ts";
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
      const present = store.guests.get(id);
      const guest = present?.phase === "ready" ? present : await this.#attachNew(id, request, device);
      return await this.#config(guest, request, device);
    });
  }

  async #attachNew(id: string, request: AttachRequest, device: DeviceIdentity): Promise<GuestRecord> {
    const { store, addresses } = this.#context;
    const owner = guestHandle(id);
    const service = store.services.get(request.service);
    const lease = service ? addresses.allocateService(service.name, owner) : addresses.allocateNode(owner);
    const guest: GuestRecord = {
      id,
      service: request.service,
      overlayIp: lease.ip,
      ...newKeyRecord(),
      phase: "pending",
    };
    try {
      await this.#changeDevice(device, () =>
        store.record("attach_container guest: intent", (write) => {
          write.putGuest(guest);
          write.putLease(lease);
        }), { set: guest });
      const ready: GuestRecord = { ...guest, phase: "ready" };
      await store.commit("attach_container guest: done", (write) => write.putGuest(ready));
      return ready;
    } catch (error) {
      await this.#forget(guest, [lease], "attach_container guest: undone");
      throw error;
    }
  }

  async #config(guest: GuestRecord, request: AttachRequest, device: DeviceIdentity): Promise<AttachReply> {
    const { store, backend } = this.#context;
    const defaults = store.settings.dnsDefaults ?? {};
    const dnsServer = request.dnsServer ?? defaults.server;
    const dnsDomain = request.dnsDomain ?? defaults.domain;
    const egress = await backend.egress();
    const host = egress.ip.family === 6 ? `[${formatIp(egress.ip)}]` : formatIp(egress.ip);
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

  /** Removes a guest's peer, record and address. The caller holds the locks of the guest and `global`. */
  async release(guest: GuestRecord): Promise<void> {
    const { store } = this.#context;
    const intent = (): void =>
      store.record(
        "detach_container guest: intent",
        (write) => write.putGuest({ ...guest, phase: "removing" }),
      );
    const device = findDevice(this.#context, "");
    if (device) await this.#changeDevice(device, intent, { remove: guest });
    const leases = [...store.leases.values()].filter((lease) => lease.owner === guestHandle(guest.id));
    await this.#forget(guest, leases, "detach_container guest: done");
  }

  async #forget(guest: GuestRecord, leases: readonly LeaseRecord[], label: string): Promise<void> {
    await this.#context.store.commit(label, (write) => {
      write.deleteGuest(guest.id);
      for (const lease of leases) write.deleteLease(lease.ip);
    });
    for (const lease of leases) this.#context.addresses.release(lease);
  }

  async #changeDevice(
    device: DeviceIdentity,
    intend: () => void,
    { set, remove }: { set?: GuestRecord; remove?: GuestRecord },
  ): Promise<void> {
    const before = wantedRoutes(this.#context, device);
    intend();
    const after = wantedRoutes(this.#context, device);
    try {
      await this.#context.backend.changeDevice(device.interface, {
        set: set
          ? [{
            publicKey: decodeKey(set.publicKey),
            allowedIps: [hostPrefix(parseIp(set.overlayIp)!)],
            keepaliveSeconds: 0,
          }]
          : [],
        remove: remove ? [decodeKey(remove.publicKey)] : [],
        ...routeChanges(before, after),
      });
    } catch (error) {
      // A device that is gone has no peer left to remove.
      if (!(remove && error instanceof NotFoundError)) throw error;
    } finally {
      this.#reader.invalidate(device.interface);
    }
  }
}
