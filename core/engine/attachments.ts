/** Containers attached by pid: addresses, veth pairs, and what happens when either side goes away. */

import type { ContainerLinkSpec, NetnsIdentity } from "../backend/backend.ts";
import { AlreadyExistsError, describeError, NotFoundError, PreconditionError } from "../errors.ts";
import { type IpAddress, ipToBytes, parseIp } from "../ip/address.ts";
import { parsePrefix } from "../ip/prefix.ts";
import type { LockMode } from "../keyed_lock.ts";
import { checkDnsName, checkServiceName } from "../network/validate.ts";
import type { AttachRequest } from "../service.ts";
import type { AttachedLink, AttachmentRecord, LeaseRecord, ServiceRecord } from "../state/records.ts";
import { type EngineContext, ownerTag } from "./context.ts";
import { keepDnsDefaults } from "./dns_defaults.ts";
import { nodeLeases } from "./global_overlay.ts";

/** Key of a container attached by pid, in records and in what operators see. */
export function pidHandle(pid: number): string {
  return `pid:${pid}`;
}

/** Attaches and detaches containers. */
export class Attachments {
  readonly #context: EngineContext;
  /** Releases under way, by handle. */
  readonly #releases = new Map<string, Promise<void>>();

  constructor(context: EngineContext) {
    this.#context = context;
  }

  /** @returns The address of eth0. Attaching again to the same service gives the same address. */
  attach(pid: number, request: AttachRequest): Promise<string> {
    checkServiceName(request.service);
    if (request.dnsDomain !== undefined) checkDnsName("dns_domain", request.dnsDomain);
    const handle = pidHandle(pid);
    const keys = { [handle]: "write", global: "read", [`service:${request.service}`]: "read" } as const;
    const { locks, turns } = this.#context;
    return locks.run(keys, () =>
      turns.run(async () => {
        const service = this.#requireService(request.service);
        const netns = await this.#context.backend.identify(pid);
        const present = await this.#present(handle, netns, request);
        if (present) return addressOf(present.links[0]!.address);
        await this.#releaseDeadTwins(handle, netns);
        this.#refuseSharedNamespace(handle, netns);
        return await this.#attachNew(handle, service, { netns, request });
      }));
  }

  #requireService(name: string): ServiceRecord {
    const service = this.#context.store.services.get(name);
    if (service?.phase === "ready") return service;
    throw new PreconditionError(
      `no service bridge for service ${name}: send setup_service_overlay for it first`,
    );
  }

  /** The attachment that already is what is asked for. One of an earlier process with this pid is let go. */
  async #present(
    handle: string,
    netns: NetnsIdentity,
    request: AttachRequest,
  ): Promise<AttachmentRecord | undefined> {
    const record = this.#context.store.attachments.get(handle);
    if (!record) return undefined;
    if (record.phase !== "ready" || !isSameNetns(record.netns, netns)) {
      await this.release(record);
      return undefined;
    }
    if (record.service !== request.service) {
      throw new AlreadyExistsError(
        `pid ${netns.pid} is already attached to service ${record.service}: detach it before attaching it to ` +
          request.service,
      );
    }
    await this.repair(record);
    if (this.#context.store.attachments.has(handle)) return record;
    throw new NotFoundError("process", `${netns.pid}`, { message: `process ${netns.pid} is gone` });
  }

  /** A namespace outlives the process it was attached by, if another one lives in it: that one may follow. */
  async #releaseDeadTwins(handle: string, netns: NetnsIdentity): Promise<void> {
    const { backend, locks } = this.#context;
    for (const other of this.#twins(handle, netns)) {
      if (locks.isFree(locksOf(other)) && !await backend.isAlive(other.netns)) await this.release(other);
    }
  }

  #refuseSharedNamespace(handle: string, netns: NetnsIdentity): void {
    for (const other of this.#twins(handle, netns)) {
      throw new AlreadyExistsError(
        `pid ${netns.pid} shares its network namespace with ${other.handle}, which is attached to service ` +
          `${other.service}: attach one process per namespace`,
      );
    }
  }

  /** Attachments of the same namespace by other processes. */
  #twins(handle: string, { inode, device, bootId }: NetnsIdentity): AttachmentRecord[] {
    return [...this.#context.store.attachments.values()].filter((other) =>
      other.handle !== handle && other.netns.inode === inode && other.netns.device === device &&
      other.netns.bootId === bootId
    );
  }

  async #attachNew(
    handle: string,
    service: ServiceRecord,
    { netns, request }: { netns: NetnsIdentity; request: AttachRequest },
  ): Promise<string> {
    const { store, backend, log } = this.#context;
    const leases: LeaseRecord[] = [];
    try {
      const record = this.#plan(handle, service, { netns, request, leases });
      store.record("attach_container: intent", (write) => {
        write.putAttachment(record);
        for (const lease of leases) write.putLease(lease);
        keepDnsDefaults(this.#context, request, write);
      });
      await backend.attachContainer({ netns, links: record.links.map(toLinkSpec) });
      store.record("attach_container: done", (write) => write.putAttachment({ ...record, phase: "ready" }));
      log.info("container attached", { handle, service: service.name, ip: leases[0]!.ip });
      return leases[0]!.ip;
    } catch (error) {
      await this.#undo(handle, leases, error);
      throw error;
    }
  }

  /**
   * Undo of a failed attach: the backend has undone its part, records and addresses follow. An undo that fails
   * leaves the record open, and the regular pass tries again.
   */
  async #undo(handle: string, leases: readonly LeaseRecord[], cause: unknown): Promise<void> {
    const { store, addresses, backend, problems, log } = this.#context;
    try {
      const record = store.attachments.get(handle);
      if (record) {
        await backend.removeContainerLinks(record.links);
        store.record("attach_container: undone", (write) => {
          write.deleteAttachment(handle);
          for (const lease of leases) write.deleteLease(lease.ip);
        });
      }
      for (const lease of leases) addresses.release(lease);
      problems.delete(handle);
    } catch (err) {
      problems.set(handle, `${describeError(cause)}; and undoing it failed: ${describeError(err)}`);
      log.error("cannot undo a failed attach", { handle, err });
    }
  }

  #plan(
    handle: string,
    service: ServiceRecord,
    { netns, request, leases }: { netns: NetnsIdentity; request: AttachRequest; leases: LeaseRecord[] },
  ): AttachmentRecord {
    const links = [this.#planServiceLink(handle, service, { pid: netns.pid, leases })];
    const globalLink = request.joinGlobal ? this.#planGlobalLink(handle, netns.pid, { leases }) : undefined;
    if (globalLink) links.push(globalLink);
    return {
      handle,
      service: service.name,
      netns,
      links,
      ...(request.dnsServer === undefined ? {} : { dnsServer: request.dnsServer }),
      ...(request.dnsDomain === undefined ? {} : { dnsDomain: request.dnsDomain }),
      phase: "pending",
    };
  }

  #planServiceLink(
    handle: string,
    service: ServiceRecord,
    { pid, leases }: { pid: number; leases: LeaseRecord[] },
  ): AttachedLink {
    const lease = this.#context.addresses.allocateService(service.name, handle);
    leases.push(lease);
    return {
      hostName: `veth-${pid}-s`,
      tag: ownerTag(this.#context, `${handle}/eth0`),
      containerName: "eth0",
      mac: macOf(parseIp(lease.ip)!),
      address: `${lease.ip}/${parsePrefix(service.subnet)!.length}`,
      mtuBytes: service.mtuBytes,
      uplink: { kind: "bridge", bridge: service.bridge, gateway: service.gateway },
    };
  }

  /** eth1 on the global overlay, routed through the host; none while the global device is down. */
  #planGlobalLink(
    handle: string,
    pid: number,
    { leases }: { leases: LeaseRecord[] },
  ): AttachedLink | undefined {
    const { settings } = this.#context.store;
    const device = settings.globalDevice;
    if (device?.phase !== "ready") return undefined;
    const lease = this.#context.addresses.allocateNode(handle);
    leases.push(lease);
    return {
      hostName: `veth-${pid}-g`,
      tag: ownerTag(this.#context, `${handle}/eth1`),
      containerName: "eth1",
      mac: macOf(parseIp(lease.ip)!),
      address: `${lease.ip}/${parseIp(lease.ip)!.family === 4 ? 32 : 128}`,
      mtuBytes: device.mtuBytes,
      uplink: {
        kind: "routed",
        gateway: nodeLeases(this.#context)[0]!.ip,
        routes: [settings.globalSettings!.clusterCidr],
      },
    };
  }

  /** Takes a container's interfaces away; an unknown pid is success. */
  detach(pid: number): Promise<void> {
    const handle = pidHandle(pid);
    return this.#context.locks.run({ [handle]: "write" }, async () => {
      const record = this.#context.store.attachments.get(handle);
      if (record) await this.release(record);
    });
  }

  /**
   * Ends an attachment, whatever its phase. The caller holds the lock of its handle, or of its service; who
   * comes second joins the first, or an address could be given back twice.
   */
  release(record: AttachmentRecord): Promise<void> {
    const { handle } = record;
    let release = this.#releases.get(handle);
    if (!release) {
      release = this.#release(record).finally(() => this.#releases.delete(handle));
      this.#releases.set(handle, release);
    }
    return release;
  }

  async #release(record: AttachmentRecord): Promise<void> {
    const { store, backend, addresses, problems, log } = this.#context;
    store.record("detach_container: intent", (write) => {
      write.putAttachment({ ...record, phase: "removing" });
    });
    await backend.removeContainerLinks(record.links);
    const leases = [...store.leases.values()].filter((lease) => lease.owner === record.handle);
    store.record("detach_container: done", (write) => {
      write.deleteAttachment(record.handle);
      for (const lease of leases) write.deleteLease(lease.ip);
    });
    for (const lease of leases) addresses.release(lease);
    problems.delete(record.handle);
    log.info("container detached", { handle: record.handle, service: record.service });
  }

  /** Releases a container whose attach or detach broke off. One that is being worked on is none. */
  async settle(handle: string): Promise<void> {
    const record = this.#context.store.attachments.get(handle);
    if (!record || !this.#context.locks.isFree(locksOf(record))) return;
    await this.#locked(handle, async (open) => {
      if (open.phase === "ready") return;
      this.#context.log.info("settling what was interrupted", { object: handle });
      await this.release(open);
    });
  }

  /** Runs with a record and its locks, if it is still there then. */
  async #locked(handle: string, work: (record: AttachmentRecord) => Promise<void>): Promise<void> {
    const { locks, store } = this.#context;
    const before = store.attachments.get(handle);
    if (!before) return;
    await locks.run(locksOf(before), async () => {
      const record = store.attachments.get(handle);
      if (record?.service === before.service) await work(record);
    });
  }

  /** Releases a container that is gone, or puts its links right. */
  mend(handle: string, what: "release" | "repair"): Promise<void> {
    return this.#locked(handle, async (record) => {
      if (record.phase !== "ready") return;
      if (what === "repair") await this.repair(record);
      else if (!await this.#context.backend.isAlive(record.netns)) await this.release(record);
    });
  }

  /** Ends all attachments of a service. The caller holds the service's lock for writing. */
  async releaseAll(service: string): Promise<void> {
    const records = [...this.#context.store.attachments.values()].filter((a) => a.service === service);
    await Promise.all(records.map((record) => this.release(record)));
  }

  /** Puts host ends right; attaches anew, with the same addresses, what has lost its link. */
  async repair(record: AttachmentRecord): Promise<void> {
    const { backend, problems, log } = this.#context;
    try {
      for (const link of record.links.map(toLinkSpec)) {
        if (await backend.mendContainerLink(link)) continue;
        await backend.attachContainer({ netns: record.netns, links: [link] });
        log.warn("lost container link was made anew", { handle: record.handle, link: link.hostName });
      }
      problems.delete(record.handle);
    } catch (error) {
      if (error instanceof NotFoundError && !await backend.isAlive(record.netns)) {
        return await this.release(record);
      }
      problems.set(record.handle, describeError(error));
      throw error;
    }
  }
}

/**
 * Locks of a container that is worked on unasked. The service's is among them: a teardown releases containers
 * under that alone, and must not do so while a link is being made anew.
 */
function locksOf({ handle, service }: AttachmentRecord): Record<string, LockMode> {
  return { [handle]: "write", [`service:${service}`]: "read" };
}

/** Whether two looks at /proc saw the same process in the same namespace of the same boot. */
export function isSameNetns(a: NetnsIdentity, b: NetnsIdentity): boolean {
  return a.pid === b.pid && a.startTicks === b.startTicks && a.device === b.device && a.inode === b.inode &&
    a.bootId === b.bootId;
}

/** A recorded link as the backend takes it. */
export function toLinkSpec(link: AttachedLink): ContainerLinkSpec {
  const { hostName, tag, containerName, mtuBytes, uplink } = link;
  return {
    hostName,
    tag,
    containerName,
    mac: Uint8Array.from(link.mac.split(":"), (byte) => parseInt(byte, 16)),
    address: parsePrefix(link.address)!,
    mtuBytes,
    uplink: uplink.kind === "bridge"
      ? { kind: "bridge", bridge: uplink.bridge, gateway: parseIp(uplink.gateway)! }
      : {
        kind: "routed",
        gateway: parseIp(uplink.gateway)!,
        routes: uplink.routes.map((route) => parsePrefix(route)!),
      },
  };
}

/**
 * Hardware address made of the IP address, locally administered: when an address is handed out again, what
 * neighbours remember of it stays true, and nobody waits for a stale ARP entry to time out.
 */
function macOf(ip: IpAddress): string {
  const tail = ipToBytes(ip).slice(-4);
  return [0x02, ip.family === 4 ? 0x7a : 0x7b, ...tail].map((byte) => byte.toString(16).padStart(2, "0"))
    .join(":");
}

function addressOf(cidr: string): string {
  return cidr.slice(0, cidr.indexOf("/"));
}
