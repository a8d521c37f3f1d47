/**
 * Containers that are attached by an endpoint in a namespace of the host's making (Windows): their addresses,
 * records and networks. `container_releases.ts` has how they end.
 *
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
import { type ContainerHome, ContainerHomes } from "./container_homes.ts";
import type { ContainerReleases } from "./container_releases.ts";
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

/** What {@linkcode Containers} work with. */
export interface ContainersParts {
  readonly networks: ContainerNetworks;
  readonly releases: ContainerReleases;
}

/** Attaches containers, and looks after them and their networks. */
export class Containers {
  readonly #context: EngineContext;
  readonly #networks: ContainerNetworks;
  readonly #homes: ContainerHomes;
  readonly #repair: ContainerRepair;
  readonly #releases: ContainerReleases;

  constructor(context: EngineContext, parts: ContainersParts) {
    const { networks } = parts;
    this.#context = context;
    this.#networks = networks;
    this.#releases = parts.releases;
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
      this.#context.lost.forget(containerId);
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
    for (const record of records) await this.#releases.release(record);
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
      if (!isLeft) return await this.#releases.drop(record);
      problems.set(handle, describeError(cause));
      await this.#releases.intend(record);
    } catch (err) {
      problems.set(handle, `${describeError(cause)}; and undoing it failed: ${describeError(err)}`);
      log.error("cannot undo a failed attach", { handle, err });
    }
  }

  /** Looks whether a ready attachment is still there: one that is gone is forgotten, a damaged one is mended. */
  async check(endpoint: string): Promise<void> {
    const { containerEndpoints, services } = this.#context.store;
    const network = containerEndpoints.get(endpoint)?.network;
    const service = network === undefined ? undefined : services.get(network);
    // One that is on its way in or out looks after its containers itself, and needs its lock for that.
    if (service && service.phase !== "ready") return;
    const keys: Record<string, "read"> = service ? { [`service:${service.name}`]: "read" } : {};
    await this.#releases.lockedIfFree(endpoint, async (record) => {
      if (record.phase !== "ready" || await this.#repair.check(record) === "kept") return;
      this.#context.log.warn(
        "an attached container is gone from HCN and is forgotten; if it runs, it has no network",
        { handle: containerHandle(record.containerId), ip: record.ip },
      );
      this.#context.lost.add(record);
      await this.#releases.drop(record);
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
    for (const record of this.#recordsOf(isOn)) await this.#releases.release(record);
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
