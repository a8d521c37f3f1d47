/**
 * Containers that are attached by an endpoint in a namespace of the host's making (Windows): their addresses,
 * records, and what happens when either side goes away.
 *
 * The caller names a container by its id when it attaches, and by the GUID of its namespace when it detaches.
 * What is in HCN may outlive a loss of power, so every step is recorded durably.
 */

import type { ContainerEndpointSpec, ContainerNetworks } from "../backend/containers.ts";
import {
  AlreadyExistsError,
  attachIsLate,
  describeError,
  IncompleteUndoError,
  InvalidConfigError,
} from "../errors.ts";
import { type IpAddress, parseIp } from "../ip/address.ts";
import { parsePrefix, prefixContains } from "../ip/prefix.ts";
import { isHcnEntry, serviceOwner } from "../marker.ts";
import { checkDnsName, checkHandleId, checkServiceName } from "../network/validate.ts";
import { shown } from "../quote.ts";
import type { AttachHandle, AttachRequest } from "../service.ts";
import type { ContainerEndpointRecord } from "../state/records.ts";
import { DEFAULT_CLUSTER_CIDR } from "./address_book.ts";
import { type ContainerHome, ContainerHomes, EXTERNAL_POOL } from "./container_homes.ts";
import { ContainerRepair } from "./container_repair.ts";
import { containerHandle, type EngineContext } from "./context.ts";
import { dnsOf, keepDnsDefaults } from "./dns_defaults.ts";

/** An attach takes no longer; the caller itself sets no limit, and is answered within 30 s whatever happens. */
const ATTACH_LIMIT_MS = 25_000;

/** Handles that are closed slowly keep even what was done in time from being answered in time. */
const ANSWER_LIMIT_MS = 29_000;

/** A container as the caller names it. */
export type ContainerHandle = AttachHandle & { readonly platform: "windows_container" };

/** On what terms a container is attached. */
interface AttachTerms {
  readonly home: ContainerHome;
  readonly wanted: IpAddress | undefined;
  /** Monotonic. */
  readonly giveUpAtMs: number;
}

/** Attaches and detaches containers. */
export class Containers {
  readonly #context: EngineContext;
  readonly #networks: ContainerNetworks;
  readonly #homes: ContainerHomes;
  readonly #repair: ContainerRepair;
  /** Releases under way, by endpoint. */
  readonly #releases = new Map<string, Promise<void>>();

  constructor(context: EngineContext, networks: ContainerNetworks) {
    this.#context = context;
    this.#networks = networks;
    this.#homes = new ContainerHomes(context);
    this.#repair = new ContainerRepair(context, networks);
  }

  /** Attaching again to the same service gives the same place, as long as it is whole. */
  attach(
    { containerId, ip }: ContainerHandle,
    request: AttachRequest,
  ): Promise<{ ip: string; namespaceGuid: string }> {
    checkHandleId("container_id", containerId);
    checkServiceName(request.service);
    if (request.dnsDomain !== undefined) checkDnsName("dns_domain", request.dnsDomain);
    const wanted = ip === undefined ? undefined : parseIp(ip);
    if (ip !== undefined && !wanted) throw new InvalidConfigError(`invalid IP address ${shown(ip)}`);
    // From here: who waited for a lock, or for what an earlier attach left, has no more time than others.
    const giveUpAtMs = this.#context.clock.monotonicMs() + ATTACH_LIMIT_MS;
    const keys = { [containerHandle(containerId)]: "write", [`service:${request.service}`]: "read" } as const;
    return this.#context.locks.run(keys, async () => {
      const home = await this.#homes.of(request.service);
      const present = await this.#present(containerId, request.service, home);
      const record = present ?? await this.#attachNew(containerId, request, { home, wanted, giveUpAtMs });
      return { ip: record.ip, namespaceGuid: record.namespace };
    });
  }

  /** The attachment that already is what is asked for. What is left of an earlier one is let go. */
  async #present(
    containerId: string,
    service: string,
    home: ContainerHome,
  ): Promise<ContainerEndpointRecord | undefined> {
    const records = this.#recordsOf((record) => record.containerId === containerId);
    const ready = records.filter((record) => record.phase === "ready");
    if (records.length === 1 && ready[0] && await this.#inspect(ready[0]) === "whole") {
      const [record] = ready;
      if (record.service !== "" && record.service !== service) {
        throw new AlreadyExistsError(
          `container ${containerId} is already attached to service ${record.service}: detach it before attaching ` +
            `it to ${service}`,
        );
      }
      // One that was taken over may tell no address, and a service may have come by a network of its own since.
      if (record.network === home.service && record.ip !== "") return await this.#claimed(record);
    }
    for (const record of records) await this.release(record);
    return undefined;
  }

  /** One that was taken over is its caller's again. */
  async #claimed(record: ContainerEndpointRecord): Promise<ContainerEndpointRecord> {
    if (!record.isImported) return record;
    const { isImported: _, ...claimed } = record;
    await this.#context.store.commit("attach_container windows: claim", (write) => {
      write.putContainerEndpoint(claimed);
    });
    return claimed;
  }

  async #attachNew(
    containerId: string,
    request: AttachRequest,
    { home, wanted, giveUpAtMs }: AttachTerms,
  ): Promise<ContainerEndpointRecord> {
    const { store, addresses, clock } = this.#context;
    if (clock.monotonicMs() >= giveUpAtMs) throw attachIsLate(containerId);
    // Now, and not when it has been recorded: what is remembered by then may be another container's.
    const dns = dnsOf(this.#context, request);
    const { ip, pool, lease } = this.#homes.takeAddress(containerHandle(containerId), home, wanted);
    const record: ContainerEndpointRecord = {
      endpoint: this.#networks.newId(),
      namespace: this.#networks.newId(),
      containerId,
      service: request.service,
      ...(home.service === undefined ? {} : { network: home.service }),
      ip,
      pool,
      dns,
      phase: "pending",
    };
    try {
      await store.commit("attach_container windows: intent", (write) => {
        write.putContainerEndpoint(record);
        if (lease) write.putLease(lease);
        keepDnsDefaults(this.#context, request, write);
      });
    } catch (error) {
      if (lease) addresses.release(lease);
      throw error;
    }
    return await this.#connect(record, { home, giveUpAtMs, dns });
  }

  async #connect(
    pending: ContainerEndpointRecord,
    { home, giveUpAtMs, dns }: Omit<AttachTerms, "wanted"> & Pick<ContainerEndpointSpec, "dns">,
  ): Promise<ContainerEndpointRecord> {
    const { store, clock, log } = this.#context;
    let record = pending;
    let isMade = false;
    const put = async (label: string, next: ContainerEndpointRecord): Promise<void> => {
      await store.commit(`attach_container windows: ${label}`, (write) => write.putContainerEndpoint(next));
      record = next;
    };
    try {
      const { namespace, mac } = await this.#networks.attach({
        network: this.#homes.networkSpec(home),
        containerId: record.containerId,
        endpoint: record.endpoint,
        namespace: record.namespace,
        address: { address: parseIp(record.ip)!, length: home.subnet.length },
        clusterCidr: parsePrefix(store.settings.globalSettings?.clusterCidr ?? DEFAULT_CLUSTER_CIDR)!,
        dns,
        giveUpAtMs,
        onNamespace: (id) => put("namespace", { ...record, namespace: id }),
      });
      isMade = true;
      // Whoever asked has been told that it failed, and will never detach it.
      const isTold = clock.monotonicMs() >= giveUpAtMs + ANSWER_LIMIT_MS - ATTACH_LIMIT_MS;
      if (isTold) throw attachIsLate(record.containerId);
      await put("done", { ...record, namespace, ...(mac === undefined ? {} : { mac }), phase: "ready" });
    } catch (error) {
      await this.#undo(record, { isLeft: isMade || error instanceof IncompleteUndoError, cause: error });
      throw error;
    }
    const { containerId, service, ip } = record;
    log.info("container attached", { handle: containerHandle(containerId), service, ip });
    return record;
  }

  /** Undo of a failed attach; what the host could not take back stays recorded, and is tried again. */
  async #undo(
    record: ContainerEndpointRecord,
    { isLeft, cause }: { readonly isLeft: boolean; readonly cause: unknown },
  ): Promise<void> {
    const { problems, log } = this.#context;
    const handle = containerHandle(record.containerId);
    try {
      if (!isLeft) return await this.#drop(record);
      problems.set(handle, describeError(cause));
      await this.#intend(record);
    } catch (err) {
      problems.set(handle, `${describeError(cause)}; and undoing it failed: ${describeError(err)}`);
      log.error("cannot undo a failed attach", { handle, err });
    }
  }

  /** Takes a container's network away. Unknown is success, and so is what has to be finished later. */
  async detach(text: string): Promise<void> {
    const { locks, log } = this.#context;
    const id = this.#networks.parseId(text);
    const isMeant = (record: ContainerEndpointRecord): boolean =>
      record.namespace === id || record.containerId === text;
    const records = this.#recordsOf(isMeant);
    for (const { containerId } of records) {
      await locks.run({ [containerHandle(containerId)]: "write" }, async () => {
        for (const record of this.#recordsOf((one) => one.containerId === containerId && isMeant(one))) {
          await this.tryRelease(record);
        }
      });
    }
    if (records.length > 0) return;
    if (id === undefined) return log.info("unknown container to detach", { container_id: text });
    await locks.run({ [`namespace:${id}`]: "write" }, () => this.#detachUnknown(id));
  }

  /** What an earlier daemon attached and nobody has a record of goes if all of it is this deployment's. */
  async #detachUnknown(namespace: string): Promise<void> {
    const { log } = this.#context;
    try {
      const endpoints = await this.#networks.claim(this.#deployment, namespace);
      if (!endpoints) return log.info("unknown container to detach", { namespace });
      await this.#networks.detach({ namespace, endpoints });
      log.info("container without a record detached", { namespace, endpoints: endpoints.length });
    } catch (err) {
      log.error("cannot detach a container without a record", { namespace, err });
    }
  }

  /** What is once recorded as to be removed will be, so a failure to do it now is told to operators alone. */
  async tryRelease(record: ContainerEndpointRecord): Promise<void> {
    const { problems, log } = this.#context;
    const handle = containerHandle(record.containerId);
    await this.#intend(record);
    try {
      await this.release(record);
    } catch (err) {
      problems.set(handle, describeError(err));
      log.error("cannot detach a container yet", { handle, err });
    }
  }

  /** Ends an attachment, whatever its phase; who comes second joins the first. */
  release(record: ContainerEndpointRecord): Promise<void> {
    const { endpoint } = record;
    let release = this.#releases.get(endpoint);
    if (!release) {
      release = this.#release(record).finally(() => this.#releases.delete(endpoint));
      this.#releases.set(endpoint, release);
    }
    return release;
  }

  async #release(record: ContainerEndpointRecord): Promise<void> {
    await this.#intend(record);
    await this.#networks.detach({ namespace: record.namespace, endpoints: [record.endpoint] });
    await this.#drop(record);
    this.#context.log.info("container detached", {
      handle: containerHandle(record.containerId),
      service: record.service,
    });
  }

  /** Records that it is on its way out. */
  async #intend({ endpoint }: ContainerEndpointRecord): Promise<void> {
    const { store } = this.#context;
    const record = store.containerEndpoints.get(endpoint);
    if (!record || record.phase === "removing") return;
    await store.commit("detach_container windows: intent", (write) => {
      write.putContainerEndpoint({ ...record, phase: "removing" });
    });
  }

  /** Forgets a record and gives its address back. */
  async #drop(record: ContainerEndpointRecord): Promise<void> {
    const { store, addresses, problems } = this.#context;
    const handle = containerHandle(record.containerId);
    const lease = store.leases.get(record.ip);
    const isHeld = record.pool !== EXTERNAL_POOL && lease?.owner === handle;
    await store.commit("detach_container windows: done", (write) => {
      write.deleteContainerEndpoint(record.endpoint);
      if (isHeld) write.deleteLease(record.ip);
    });
    if (isHeld) addresses.release(lease);
    problems.delete(handle);
  }

  /** Finishes or undoes what broke off. One that is being worked on is none. */
  async settle(endpoint: string): Promise<void> {
    await this.lockedIfFree(endpoint, async (record) => {
      if (record.phase === "ready") return;
      this.#context.log.info("settling what was interrupted", {
        object: containerHandle(record.containerId),
      });
      await this.tryRelease(record);
    });
  }

  /** Looks whether a ready attachment is still there: one that is gone is forgotten, a damaged one is mended. */
  async check(endpoint: string): Promise<void> {
    const { containerEndpoints, services } = this.#context.store;
    const network = containerEndpoints.get(endpoint)?.network;
    const service = network === undefined ? undefined : services.get(network);
    // One that is on its way in or out looks after its containers itself, and needs its lock for that.
    if (service && service.phase !== "ready") return;
    const keys: Record<string, "read"> = service ? { [`service:${service.name}`]: "read" } : {};
    await this.lockedIfFree(endpoint, async (record) => {
      if (record.phase !== "ready" || await this.#repair.check(record) === "kept") return;
      this.#context.log.warn(
        "an attached container is gone from HCN and is forgotten; if it runs, it has no network",
        { handle: containerHandle(record.containerId), ip: record.ip },
      );
      await this.#drop(record);
    }, keys);
  }

  /** Whether anything of ours should be in HCN. */
  isAnythingThere(): boolean {
    return this.#repair.isNeeded();
  }

  /** Makes networks again that should be there and are not. */
  ensureNetworks(): Promise<void> {
    return this.#repair.ensureNetworks();
  }

  /** Whatever could not be mended is tried anew at once: the service works again. */
  serviceRecovered(): void {
    this.#repair.reset();
  }

  /** Makes the network of a dedicated service. */
  ensureNetwork(service: string, subnet: string): Promise<void> {
    return this.#networks.ensureNetwork(this.#homes.networkSpec({ service, subnet: parsePrefix(subnet)! }));
  }

  /**
   * Removes the network of a dedicated service and what is attached to it. The caller holds the service's lock.
   *
   * @param cidr Its subnet. Another one's network that has the name, and what is on that, stays. Absent: not known.
   */
  async removeNetwork(service: string, cidr?: string): Promise<void> {
    const subnet = cidr === undefined ? undefined : parsePrefix(cidr)!;
    const isOn = ({ network, ip: text }: ContainerEndpointRecord): boolean => {
      const ip = parseIp(text);
      return network === service && (!subnet || !ip || prefixContains(subnet, ip));
    };
    for (const record of this.#recordsOf(isOn)) await this.release(record);
    const deployment = this.#deployment;
    await this.#networks.removeNetwork({ deployment, service, ...(subnet ? { subnet } : {}) });
  }

  /** Whether the marker tells of a network for the service. */
  async isMarked(service: string): Promise<boolean> {
    const { networks } = await this.#context.marker.load();
    return networks.some((entry) => entry.owner === serviceOwner(service) && isHcnEntry(entry));
  }

  /** Name of a dedicated service's network. */
  networkName(service: string): string {
    return this.#networks.networkName({ deployment: this.#deployment, service });
  }

  /** Ends all attachments; one that is just being mended when that is done. */
  async releaseAll(): Promise<void> {
    for (const record of this.#recordsOf(() => true)) {
      const keys = { [containerHandle(record.containerId)]: "write" } as const;
      await this.#context.locks.run(keys, () => this.release(record));
    }
  }

  /** Runs with a record and the locks of its container and what is `shared`, unless somebody has them. */
  async lockedIfFree(
    endpoint: string,
    work: (record: ContainerEndpointRecord) => Promise<void>,
    shared: Readonly<Record<string, "read">> = {},
  ): Promise<void> {
    const { store, locks } = this.#context;
    const before = store.containerEndpoints.get(endpoint);
    if (!before) return;
    const keys = { ...shared, [containerHandle(before.containerId)]: "write" } as const;
    if (!locks.isFree(keys)) return;
    await locks.run(keys, async () => {
      const record = store.containerEndpoints.get(endpoint);
      if (record) await work(record);
    });
  }

  #inspect({ namespace, endpoint }: ContainerEndpointRecord): Promise<"whole" | "gone" | "broken"> {
    return this.#networks.inspect({ namespace, endpoints: [endpoint] });
  }

  #recordsOf(isMeant: (record: ContainerEndpointRecord) => boolean): ContainerEndpointRecord[] {
    return [...this.#context.store.containerEndpoints.values()].filter(isMeant);
  }

  get #deployment(): string {
    return this.#context.store.settings.globalSettings?.deployment ?? "";
  }
}
