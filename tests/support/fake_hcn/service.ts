/**
 * The Host Networking Service in memory: networks, endpoints and namespaces with their rules. It outlives daemons
 * and can be restarted, whereupon it knows nothing any more.
 */
import { parseIp } from "../../../core/ip/address.ts";
import { lastAddress, networkAddress, parsePrefix, prefixContains } from "../../../core/ip/prefix.ts";
import {
  checkEndpoint,
  checkModifyNamespace,
  checkNamespace,
  checkNetwork,
  type Doc,
  isV2Query,
  Refusal,
} from "./documents.ts";

/** A network. */
export interface FakeNetwork {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly subnet: string;
  readonly gateway: string;
  readonly madeAtMs: number;
  readonly doc: Doc;
}

/** An endpoint. */
export interface FakeEndpoint {
  readonly id: string;
  readonly name: string;
  readonly network: string;
  readonly ip: string;
  readonly length: number;
  readonly mac?: string;
  namespace?: string;
  readonly doc: Doc;
}

/** A namespace. */
export interface FakeNamespace {
  readonly id: string;
  readonly type: string;
  /** Containers in it. */
  containers?: readonly string[];
  /** Endpoints that were in it when they were deleted: it keeps their ids. */
  gone?: Set<string>;
}

/** The system's own namespace. */
export const HOST_DEFAULT = "910f7d92-ba2d-4c3f-98ae-7c0ac590d2dc";

const NOT_FOUND = { Network: 0x803b0001, Endpoint: 0x803b0002, Namespace: 0x80070490 } as const;

/** What HCN keeps. */
export type Kind = keyof typeof NOT_FOUND;

/** See the module. */
export class FakeHns {
  readonly networks = new Map<string, FakeNetwork>();
  readonly endpoints = new Map<string, FakeEndpoint>();
  readonly namespaces = new Map<string, FakeNamespace>([[HOST_DEFAULT, {
    id: HOST_DEFAULT,
    type: "HostDefault",
  }]]);
  /** Counts restarts: handles of an earlier start are dead. */
  generation = 0;
  /** A network gives no addresses for so long after it was made. */
  settleMs = 0;
  /** Answers in version 1 whatever is asked for. */
  isOld = false;
  /** Ignores filters. */
  ignoresFilters = false;
  /** Compares ids in filters as text, in the capitals that it answers with itself. */
  comparesText = false;
  /** What a created namespace is called instead of what was asked for. */
  namespaceIds: string[] = [];
  /** What an endpoint gets instead of what was asked for. */
  addresses: string[] = [];
  /** Refuses an endpoint of a hardware address that is asked for. */
  refusesMacs = false;
  #macs = 0;
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** The service restarts and has forgotten everything. */
  restart(): void {
    this.networks.clear();
    this.endpoints.clear();
    for (const id of [...this.namespaces.keys()]) if (id !== HOST_DEFAULT) this.namespaces.delete(id);
    this.generation++;
  }

  /** @throws {Refusal} If there is no such object. */
  require(kind: Kind, id: string): void {
    if (!this.#table(kind).has(id)) throw new Refusal(NOT_FOUND[kind], `${kind} ${id} not found`);
  }

  /** Ids of the objects that pass the filter. */
  list(kind: Kind, query: string | undefined): string {
    const { filter } = isV2Query(query);
    const ids = [...this.#table(kind).keys()].filter((id) =>
      this.ignoresFilters || this.#passes(kind, id, filter)
    );
    // As in the field: braces and case as they come.
    return JSON.stringify(ids.map((id, i) => i % 2 === 0 ? `{${id.toUpperCase()}}` : id));
  }

  /** @returns The id of what was made. */
  create(kind: Kind, id: string, settings: string | undefined, network?: string): string {
    if (kind === "Network") return this.#createNetwork(id, settings);
    if (kind === "Endpoint") return this.#createEndpoint(id, settings, network!);
    checkNamespace(settings);
    if (this.namespaces.has(id)) throw new Refusal(0x800700b7, `namespace ${id} exists`);
    const given = this.namespaceIds.shift() ?? id;
    this.namespaces.set(given, { id: given, type: "Host" });
    return given;
  }

  /** Properties, in the version that is asked for. */
  query(kind: Kind, id: string, query: string | undefined): string {
    this.require(kind, id);
    const isV2 = isV2Query(query).isV2 && !this.isOld;
    const answer = kind === "Network"
      ? this.#network(id, isV2)
      : kind === "Endpoint"
      ? this.#endpoint(id, isV2)
      : this.#namespace(id, isV2);
    return JSON.stringify(answer);
  }

  /** Puts an endpoint in, or takes it out. */
  modifyNamespace(id: string, settings: string | undefined): void {
    this.require("Namespace", id);
    const { request, endpoint: endpointId } = checkModifyNamespace(settings);
    if (request !== "Add" && this.namespaces.get(id)!.gone?.delete(endpointId)) return;
    this.require("Endpoint", endpointId);
    if (id === HOST_DEFAULT) throw new Refusal(0x80070005, "the default namespace is the system's");
    const endpoint = this.endpoints.get(endpointId)!;
    if (request === "Add") {
      if (endpoint.namespace === id) throw new Refusal(0x803b0014, "endpoint already attached");
      if (endpoint.namespace !== undefined) throw new Refusal(0x803b002b, "endpoint is in another namespace");
      endpoint.namespace = id;
    } else if (endpoint.namespace === id) delete endpoint.namespace;
    else throw new Refusal(0x80070490, "endpoint is not in the namespace");
  }

  /** @throws {Refusal} If there is no such object, or something refers to it. */
  delete(kind: Kind, id: string): void {
    this.require(kind, id);
    const users = [...this.endpoints.values()].filter((one) => one.network === id || one.namespace === id);
    if (kind !== "Endpoint" && users.length > 0) throw new Refusal(0x803b002c, `${kind} ${id} is referenced`);
    if (id === HOST_DEFAULT) throw new Refusal(0x80070005, "the default namespace is the system's");
    const home = kind === "Endpoint"
      ? this.namespaces.get(this.endpoints.get(id)!.namespace ?? "")
      : undefined;
    if (home) (home.gone ??= new Set()).add(id);
    this.#table(kind).delete(id);
  }

  /** Plants a network, an endpoint, a namespace as somebody else would make them. */
  plant = {
    network: (id: string, name: string, type: string, subnet: string): void =>
      void this.networks.set(id, { id, name, type, subnet, gateway: "", madeAtMs: -Infinity, doc: {} }),
    endpoint: (id: string, name: string, network: string, more: { ip: string; namespace?: string }): void =>
      void this.endpoints.set(id, { id, name, network, length: 28, doc: {}, ...more }),
    namespace: (id: string, type = "Host"): void => void this.namespaces.set(id, { id, type }),
  };

  #createNetwork(id: string, settings: string | undefined): string {
    const { doc, subnet, gateway } = checkNetwork(settings);
    const name = String(doc.Name);
    const isTaken = this.networks.has(id) || [...this.networks.values()].some((one) => one.name === name);
    if (isTaken) throw new Refusal(0x803b0010, `network ${name} already exists`);
    const madeAtMs = this.#nowMs();
    this.networks.set(id, { id, name, type: String(doc.Type), subnet, gateway, madeAtMs, doc });
    return id;
  }

  #createEndpoint(id: string, settings: string | undefined, networkId: string): string {
    this.require("Network", networkId);
    const network = this.networks.get(networkId)!;
    const { doc, ip: wanted, length } = checkEndpoint(settings, networkId);
    if (this.endpoints.has(id)) throw new Refusal(0x80070057, `endpoint ${id} exists`);
    if (this.refusesMacs && "MacAddress" in doc) throw new Refusal(0x80070057, "no such MacAddress");
    if (this.#nowMs() - network.madeAtMs < this.settleMs) {
      throw new Refusal(0x803b002f, "addresses are not ready");
    }
    const ip = this.addresses.shift() ?? wanted;
    const prefix = parsePrefix(network.subnet)!, address = parseIp(wanted)!;
    if (!prefixContains(prefix, address)) throw new Refusal(0x803b001e, `${wanted} is in no subnet`);
    const reserved = [
      networkAddress(prefix).value,
      lastAddress(prefix).value,
      parseIp(network.gateway)?.value,
    ];
    const isUsed = [...this.endpoints.values()].some((one) => one.network === networkId && one.ip === wanted);
    if (isUsed || reserved.includes(address.value)) throw new Refusal(0x803b002f, `${wanted} is reserved`);
    const mac = String(doc.MacAddress ?? `00-15-5D-00-01-${(++this.#macs).toString(16).padStart(2, "0")}`);
    // One that keeps the id of an endpoint that is gone has the new one of this id in it.
    const home = [...this.namespaces.values()].find(({ gone }) => gone?.delete(id));
    this.endpoints.set(id, {
      id,
      name: String(doc.Name),
      network: networkId,
      ip,
      length,
      mac,
      doc,
      ...(home ? { namespace: home.id } : {}),
    });
    return id;
  }

  #table(kind: Kind): Map<string, unknown> {
    return kind === "Network" ? this.networks : kind === "Endpoint" ? this.endpoints : this.namespaces;
  }

  #passes(kind: Kind, id: string, filter: Record<string, string>): boolean {
    const network = this.networks.get(id), endpoint = this.endpoints.get(id);
    const isId = (text: string, id?: string): boolean =>
      (this.comparesText ? text : text.toUpperCase()) === id?.toUpperCase();
    return (filter.Name === undefined || (network ?? endpoint)?.name === filter.Name) &&
      (filter.ID === undefined || isId(filter.ID, id)) &&
      (filter.VirtualNetwork === undefined || kind !== "Endpoint" ||
        isId(filter.VirtualNetwork, endpoint?.network));
  }

  #network(id: string, isV2: boolean): Doc {
    const { name, type, subnet } = this.networks.get(id)!;
    // HCN itself leaves the type of a NAT network out.
    const common = { ID: id.toUpperCase(), Name: name, ...(isV2 && type === "NAT" ? {} : { Type: type }) };
    return isV2
      ? { ...common, Ipams: [{ Type: "Static", Subnets: [{ IpAddressPrefix: subnet }] }], Flags: 0 }
      : { ...common, Subnets: [{ AddressPrefix: subnet }], DNSServerList: "" };
  }

  #endpoint(id: string, isV2: boolean): Doc {
    const { name, network, ip, length, mac, namespace } = this.endpoints.get(id)!;
    const common = { ID: id.toUpperCase(), Name: name, ...(mac === undefined ? {} : { MacAddress: mac }) };
    return isV2
      ? {
        ...common,
        HostComputeNetwork: network.toUpperCase(),
        ...(namespace ? { HostComputeNamespace: `{${namespace}}` } : {}),
        IpConfigurations: [{ IpAddress: ip, PrefixLength: length }],
      }
      : { ...common, VirtualNetwork: network, IPAddress: ip, PrefixLength: length, State: 1 };
  }

  #namespace(id: string, isV2: boolean): Doc {
    const { type, containers = [], gone = [] } = this.namespaces.get(id)!;
    const held = [...this.endpoints.values()].filter((one) => one.namespace === id).map((one) => one.id);
    const resources = [...new Set([...held, ...gone])]
      .map((one) => ({ Type: "Endpoint", Data: { Id: one.toUpperCase() } }));
    const inside = containers.map((one) => ({ Type: "Container", Data: { Id: one } }));
    return isV2
      ? {
        ID: id.toUpperCase(),
        NamespaceId: 3,
        Type: type,
        Resources: [...resources, ...inside],
        SchemaVersion: { Major: 2, Minor: 0 },
      }
      : {
        ID: id.toUpperCase(),
        IsDefault: type === "HostDefault",
        CompartmentId: 3,
        ResourceList: resources,
        Resources: { ID: "x", Allocators: [] },
        Containers: containers,
      };
  }
}
