/** On which network a container of Windows belongs, and which address it has there. */

import type { ContainerNetworkSpec } from "../backend/containers.ts";
import { AlreadyExistsError, PreconditionError } from "../errors.ts";
import { formatIp, type IpAddress, ipEquals, parseIp } from "../ip/address.ts";
import { type IpPrefix, parsePrefix, prefixContains } from "../ip/prefix.ts";
import { gatewayOf } from "../ipam/subnet_registry.ts";
import { isHcnEntry, serviceOwner } from "../marker.ts";
import type { ContainerEndpointRecord, LeaseRecord } from "../state/records.ts";
import { servicePoolName } from "./address_book.ts";
import type { EngineContext } from "./context.ts";

/** Pool of an address that belongs to none of ours: it is neither taken from one nor given back. */
export const EXTERNAL_POOL = "external";

/** The network that a container belongs on. */
export interface ContainerHome {
  /** The dedicated service; absent: the base network. */
  readonly service?: string;
  readonly subnet: IpPrefix;
}

/** An address taken, and the lease to record unless it is of none of our pools. */
export interface TakenAddress {
  readonly ip: string;
  readonly pool: string;
  readonly lease?: LeaseRecord;
}

/** See the module. */
export class ContainerHomes {
  readonly #context: EngineContext;

  constructor(context: EngineContext) {
    this.#context = context;
  }

  /** A dedicated service has a network of its own, also one that only the marker tells of yet. */
  async of(service: string): Promise<ContainerHome> {
    const { store, marker, addresses } = this.#context;
    const record = store.services.get(service);
    if (record?.dedicated) {
      if (record.phase === "ready") return { service, subnet: parsePrefix(record.subnet)! };
      throw new PreconditionError(
        `service ${service} is not set up: send setup_service_overlay for it first`,
      );
    }
    const entry = record
      ? undefined
      : (await marker.load()).networks.find((one) => one.owner === serviceOwner(service));
    const marked = entry && isHcnEntry(entry) ? parsePrefix(entry.subnet) : undefined;
    if (entry && marked) {
      if (!addresses.hasService(service)) {
        const gateway = formatIp(gatewayOf(marked));
        addresses.addService({ name: service, subnet: entry.subnet, gateway, bridge: entry.name });
      }
      return { service, subnet: marked };
    }
    return this.#base();
  }

  /** Where a recorded container is. */
  async homeOf({ network }: Pick<ContainerEndpointRecord, "network">): Promise<ContainerHome> {
    return network === undefined ? this.#base() : await this.of(network);
  }

  /** The network of a home as the backend is asked for it. */
  networkSpec({ service, subnet }: ContainerHome): ContainerNetworkSpec {
    const deployment = this.#context.store.settings.globalSettings?.deployment ?? "";
    return { deployment, ...(service === undefined ? {} : { service }), subnet };
  }

  #base(): ContainerHome {
    const slice = this.#context.store.settings.globalSettings?.sliceCidr;
    if (slice !== undefined) return { subnet: parsePrefix(slice)! };
    throw new PreconditionError(
      "no node slice assigned yet: send setup_global_overlay with slice_cidr, or have overlay_bootstrap.json name it",
    );
  }

  /**
   * The address that the caller gave, if it is one that this container can have: the gateway, one in use and, for
   * a dedicated service, one of another subnet are not. Then it is one of ours; the reply says which.
   */
  takeAddress(
    owner: string,
    home: ContainerHome,
    wanted: IpAddress | undefined,
  ): TakenAddress {
    const { addresses, log } = this.#context;
    const gateway = gatewayOf(home.subnet);
    const { service } = home;
    if (wanted && service === undefined && !prefixContains(home.subnet, wanted)) {
      return this.#takeExternal(formatIp(wanted), owner);
    }
    const isGateway = wanted !== undefined && ipEquals(wanted, gateway);
    let lease = !wanted || isGateway
      ? undefined
      : service === undefined
      ? addresses.allocateNodeSpecific(wanted, owner)
      : addresses.allocateServiceSpecific(service, wanted, owner);
    if (!lease) {
      lease = service === undefined
        ? addresses.allocateNode(owner, gateway)
        : addresses.allocateService(service, owner);
      if (wanted) {
        log.warn("the wanted address cannot be had, using another", {
          handle: owner,
          wanted: formatIp(wanted),
          ip: lease.ip,
        });
      }
    }
    return { ip: lease.ip, pool: lease.pool, lease };
  }

  #takeExternal(ip: string, owner: string): TakenAddress {
    const holder = [...this.#context.store.containerEndpoints.values()].find((record) => record.ip === ip);
    if (!holder) return { ip, pool: EXTERNAL_POOL };
    throw new AlreadyExistsError(
      `address ${ip} is in use by container ${holder.containerId}: ${owner} needs another one`,
    );
  }

  /** The lease of an address that is in use already; none where it is of no pool of ours, or another's there. */
  leaseOf(
    owner: string,
    { service, ip: text }: { readonly service: string | undefined; readonly ip: string | undefined },
  ): LeaseRecord | undefined {
    const { addresses } = this.#context;
    const ip = text === undefined ? undefined : parseIp(text);
    if (!ip) return undefined;
    if (service === undefined) return addresses.allocateNodeSpecific(ip, owner);
    if (addresses.hasService(service)) return addresses.allocateServiceSpecific(service, ip, owner);
    // Its pool takes it over when the service is set up.
    const lease = { ip: formatIp(ip), pool: servicePoolName(service), owner };
    return this.#context.store.leases.has(lease.ip) ? undefined : lease;
  }
}
