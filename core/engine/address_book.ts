/**
 * Which addresses are free: the node's pool, a pool per service, and the registry that cuts service subnets.
 *
 * Only a view: what is handed out is a lease in the state store, and this is rebuilt from there. An address
 * is taken here first and becomes a lease in the caller's commit; if that fails, the caller gives it back.
 */

import { NotFoundError } from "../errors.ts";
import { formatIp, type IpAddress, ipEquals, parseIp } from "../ip/address.ts";
import {
  type IpPrefix,
  lastAddress,
  networkAddress,
  parsePrefix,
  prefixContains,
  prefixCovers,
  prefixEquals,
} from "../ip/prefix.ts";
import { PrefixTable } from "../ip/prefix_table.ts";
import { NodePool } from "../ipam/node_pool.ts";
import { ServicePool } from "../ipam/service_pool.ts";
import { ServiceSubnetRegistry } from "../ipam/subnet_registry.ts";
import type { LeaseRecord, ServiceRecord } from "../state/records.ts";
import type { StateStore } from "../state/state_store.ts";

/** CIDR of the node's pool until a set-up says otherwise (overlay-core 4.1). */
export const DEFAULT_CLUSTER_CIDR = "10.200.0.0/16";

/** Name of a service's pool in a lease. */
export function servicePoolName(service: string): string {
  return `service:${service}`;
}

/** Pools and subnets of this node. */
export class AddressBook {
  readonly #store: StateStore;
  readonly #services = new Map<string, { readonly subnet: IpPrefix; readonly pool: ServicePool }>();
  /** Services by their subnets. */
  readonly #subnets = new PrefixTable<string>();
  #nodePrefix: IpPrefix;
  #node: NodePool;
  #registry: ServiceSubnetRegistry | undefined;

  constructor(store: StateStore) {
    this.#store = store;
    const settings = store.settings.globalSettings;
    this.#nodePrefix = parsePrefix(settings?.sliceCidr ?? settings?.clusterCidr ?? DEFAULT_CLUSTER_CIDR)!;
    this.#node = this.#buildNodePool(this.#nodePrefix);
    for (const service of store.services.values()) this.addService(service);
  }

  /** Subnets of all services on this node. */
  localSubnets(): IpPrefix[] {
    return [...this.#services.values()].map((service) => service.subnet);
  }

  /** Points the node's pool at a CIDR. Live leases stay leased; an equal CIDR changes nothing. */
  useNodePool(prefix: IpPrefix): void {
    if (prefixEquals(prefix, this.#nodePrefix)) return;
    this.#nodePrefix = prefix;
    this.#node = this.#buildNodePool(prefix);
  }

  /**
   * Takes the next address of the node's pool; never one of a local service subnet.
   *
   * @param except Not this one, though it may be free.
   */
  allocateNode(owner: string, except?: IpAddress): LeaseRecord {
    const passedOver: IpAddress[] = [];
    try {
      for (;;) {
        const ip = this.#node.allocate();
        const isExcepted = except !== undefined && ipEquals(ip, except);
        if (!isExcepted && !this.#isInServiceSubnet(ip)) return { ip: formatIp(ip), pool: "node", owner };
        passedOver.push(ip);
      }
    } finally {
      for (const ip of passedOver.reverse()) this.#node.release(ip);
    }
  }

  /** Takes a given address of the node's pool; `undefined` when it is not free, not in it, or a local service's. */
  allocateNodeSpecific(ip: IpAddress, owner: string): LeaseRecord | undefined {
    if (!prefixContains(this.#nodePrefix, ip) || this.#store.leases.has(formatIp(ip))) return undefined;
    // Taken and not yet a lease: whoever has it is about to record it.
    if (this.#isInServiceSubnet(ip) || this.#node.isAllocated(ip)) return undefined;
    if (!this.#node.reserve(ip)) return undefined;
    return { ip: formatIp(ip), pool: "node", owner };
  }

  /**
   * Takes the lowest free address of a service's pool.
   * @throws {NotFoundError} If the service has no network here.
   * @throws {PoolExhaustedError}
   */
  allocateService(service: string, owner: string): LeaseRecord {
    const entry = this.#services.get(service);
    if (!entry) throw new NotFoundError("service", service);
    return { ip: formatIp(entry.pool.allocate()), pool: servicePoolName(service), owner };
  }

  /**
   * Takes a given address of a service's pool; `undefined` when it is not free, not in it, or no host's.
   * @throws {NotFoundError} If the service has no network here.
   */
  allocateServiceSpecific(service: string, ip: IpAddress, owner: string): LeaseRecord | undefined {
    const entry = this.#services.get(service);
    if (!entry) throw new NotFoundError("service", service);
    if (!isHostAddress(entry.subnet, ip) || entry.pool.isAllocated(ip)) return undefined;
    entry.pool.allocateSpecific(ip);
    return { ip: formatIp(ip), pool: servicePoolName(service), owner };
  }

  /** Whether a service has a pool here. */
  hasService(service: string): boolean {
    return this.#services.has(service);
  }

  /** Gives back what a lease held. */
  release(lease: LeaseRecord): void {
    const ip = parseIp(lease.ip)!;
    if (lease.pool === "node") this.#node.release(ip);
    else this.#services.get(lease.pool.slice("service:".length))?.pool.release(ip);
  }

  /** Opens the pool of a service: gateway and live leases are taken. */
  addService(service: Pick<ServiceRecord, "name" | "subnet" | "gateway" | "bridge">): void {
    const subnet = parsePrefix(service.subnet)!;
    const pool = new ServicePool(subnet, service.bridge);
    pool.markAllocated(parseIp(service.gateway)!);
    for (const lease of this.#store.leases.values()) {
      const ip = parseIp(lease.ip)!;
      // A container that was taken over may have one of another subnet.
      if (lease.pool === servicePoolName(service.name) && prefixContains(subnet, ip)) pool.markAllocated(ip);
    }
    this.#services.set(service.name, { subnet, pool });
    this.#subnets.set(subnet, service.name);
  }

  /** Closes the pool of a service and frees its subnet. */
  removeService(service: ServiceRecord): void {
    this.closePool(service.name);
    this.#registry?.release(service.name, service.nodeId);
  }

  /** Closes the pool of a service that no subnet was assigned to here. */
  closePool(service: string): void {
    this.#services.delete(service);
    this.#subnets.deleteValue(service);
  }

  /**
   * Assigns a subnet to a service on this node: the hash's slot or the next that is free, that does not
   * touch the node's slice, and that holds no address the node's pool has handed out (W13).
   *
   * @param cluster CIDR to cut from; kept from the first use on, as the reference does.
   * @throws {PoolExhaustedError}
   */
  assignSubnet(service: string, nodeId: string, options: { cluster: IpPrefix; slice?: IpPrefix }): IpPrefix {
    const registry = this.#registry ??= this.#buildRegistry(options.cluster);
    const leased = [...this.#store.leases.values()]
      .filter((lease) => lease.pool === "node")
      .map((lease) => hostOf(lease.ip));
    registry.exclude(options.slice ? [options.slice, ...leased] : leased);
    return registry.assign(service, nodeId);
  }

  /** Frees a subnet that was assigned but not used. */
  unassignSubnet(service: string, nodeId: string): void {
    this.#registry?.release(service, nodeId);
  }

  #buildRegistry(cluster: IpPrefix): ServiceSubnetRegistry {
    const registry = new ServiceSubnetRegistry(cluster, cluster.address.family === 4 ? 28 : 120);
    for (const service of this.#store.services.values()) {
      const subnet = parsePrefix(service.subnet)!;
      // One of an earlier cluster stays with its service, and in nobody's way here.
      if (prefixCovers(cluster, subnet)) registry.adopt(service.name, service.nodeId, subnet);
    }
    return registry;
  }

  #buildNodePool(prefix: IpPrefix): NodePool {
    const pool = new NodePool(prefix);
    for (const lease of this.#store.leases.values()) {
      const ip = parseIp(lease.ip)!;
      if (lease.pool === "node" && prefixContains(prefix, ip)) pool.reserve(ip);
    }
    return pool;
  }

  #isInServiceSubnet(ip: IpAddress): boolean {
    return this.#subnets.lookup(ip) !== undefined;
  }
}

function hostOf(ip: string): IpPrefix {
  return parsePrefix(ip)!;
}

/** Whether a machine can have the address: not the network's own, nor the broadcast address of IPv4. */
function isHostAddress(subnet: IpPrefix, ip: IpAddress): boolean {
  if (!prefixContains(subnet, ip) || ipEquals(ip, networkAddress(subnet))) return false;
  return ip.family === 6 || !ipEquals(ip, lastAddress(subnet));
}
