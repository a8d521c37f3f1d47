/**
 * The JSON documents that HCN is given, in their second version (HNS_Schema.md), as this daemon needs them.
 *
 * A document without `SchemaVersion` is taken for one of the first version, so every top-level one has it.
 * Addresses of an ACL are lists in one string. Keys are spelled as the official schema spells them.
 */

import type { Guid } from "../../../ffi/windows/guid.ts";
import { InvalidConfigError } from "../../errors.ts";
import { formatIp, ipAdd, type IpAddress } from "../../ip/address.ts";
import { canonicalPrefix, formatPrefix, type IpPrefix, networkAddress } from "../../ip/prefix.ts";

const SCHEMA_VERSION = { Major: 2, Minor: 0 } as const;

/** Longest prefix with room for a gateway and a container. */
const MAX_SUBNET_LENGTH = 30;

/** A document; its keys are HCN's. */
export type HcnDocument = Readonly<Record<string, unknown>>;

/** A policy of a network or an endpoint. */
export interface HcnPolicy {
  readonly Type: string;
  readonly Settings: HcnDocument;
}

/** A network to create. */
export interface NetworkSettings {
  readonly name: string;
  /** Host bits are cleared. */
  readonly subnet: IpPrefix;
  /** Friendly name of the adapter to bridge to: the network is `Transparent` then, else `Internal`. */
  readonly uplinkAdapter?: string;
}

/** The first address of a network: where containers find their way out. */
export function gatewayOf(prefix: IpPrefix): IpAddress {
  return ipAdd(networkAddress(prefix), 1n);
}

/**
 * Checks that a subnet can be a network of HCN.
 *
 * @throws {InvalidConfigError} If it is IPv6, or too small for a gateway and a container.
 */
export function checkHcnSubnet(subnet: IpPrefix): IpPrefix {
  if (subnet.address.family !== 4) {
    throw new InvalidConfigError(
      `subnet ${formatPrefix(subnet)} is IPv6, which HCN networks of this daemon do not support: use IPv4`,
    );
  }
  if (subnet.length > MAX_SUBNET_LENGTH) {
    throw new InvalidConfigError(
      `subnet ${
        formatPrefix(subnet)
      } has no room for a gateway and a container: use /${MAX_SUBNET_LENGTH} or wider`,
    );
  }
  return canonicalPrefix(subnet);
}

/** Settings of `HcnCreateNetwork`. @throws {InvalidConfigError} See {@linkcode checkHcnSubnet}. */
export function networkDocument({ name, subnet, uplinkAdapter }: NetworkSettings): HcnDocument {
  const prefix = checkHcnSubnet(subnet);
  const policies = uplinkAdapter === undefined
    ? {}
    : { Policies: [{ Type: "NetAdapterName", Settings: { NetworkAdapterName: uplinkAdapter } }] };
  return {
    Name: name,
    Type: uplinkAdapter === undefined ? "Internal" : "Transparent",
    ...policies,
    Ipams: [{
      Type: "Static",
      Subnets: [{
        IpAddressPrefix: formatPrefix(prefix),
        // With a default route HCN reserves its next hop alone, and not a block of low addresses.
        Routes: [{ NextHop: formatIp(gatewayOf(prefix)), DestinationPrefix: "0.0.0.0/0" }],
      }],
    }],
    Flags: 0,
    SchemaVersion: SCHEMA_VERSION,
  };
}

/** Translates sources on the way out, but not to these destinations. */
export function outBoundNatPolicy(exceptions: readonly string[]): HcnPolicy {
  return { Type: "OutBoundNAT", Settings: exceptions.length === 0 ? {} : { Exceptions: exceptions } };
}

/** Traffic to the prefix is routed, and not encapsulated by HCN: WireGuard does that. */
export function sdnRoutePolicy(destinationPrefix: string): HcnPolicy {
  return { Type: "SDNRoute", Settings: { DestinationPrefix: destinationPrefix, NeedEncap: false } };
}

/** An access rule. Lists are comma-separated; absent means any. */
export interface AclRule {
  readonly action: "Allow" | "Block" | "Pass";
  readonly direction: "In" | "Out";
  /** IP protocol numbers. */
  readonly protocols?: string;
  readonly localAddresses?: string;
  readonly remoteAddresses?: string;
  readonly localPorts?: string;
  readonly remotePorts?: string;
  /** `Switch` is enforced by the virtual switch, `Host` by the host's firewall. */
  readonly ruleType: "Host" | "Switch";
  readonly priority: number;
}

/** An access rule as a policy. Without rule type and priority HCN refuses the whole endpoint. */
export function aclPolicy(rule: AclRule): HcnPolicy {
  return {
    Type: "ACL",
    Settings: withoutEmpty({
      Action: rule.action,
      Direction: rule.direction,
      Protocols: rule.protocols,
      LocalAddresses: rule.localAddresses,
      RemoteAddresses: rule.remoteAddresses,
      LocalPorts: rule.localPorts,
      RemotePorts: rule.remotePorts,
      RuleType: rule.ruleType,
      Priority: rule.priority,
    }),
  };
}

/** Resolver of an endpoint. HCN knows no port: containers ask port 53. */
export interface EndpointDns {
  readonly server?: string;
  readonly domain?: string;
}

/** The `Dns` object; `undefined` when nothing is known, and the endpoint has what its network has. */
export function dnsDocument({ server, domain }: EndpointDns): HcnDocument | undefined {
  if (server === undefined && domain === undefined) return undefined;
  return {
    ...(domain === undefined ? {} : { Domain: domain, Search: [domain] }),
    ...(server === undefined ? {} : { ServerList: [server] }),
  };
}

/** An endpoint to create. */
export interface EndpointSettings {
  readonly name: string;
  readonly network: Guid;
  /** Address with the length of the subnet. */
  readonly address: IpPrefix;
  /** The whole cluster, host bits clear. */
  readonly clusterCidr: string;
  readonly dns: EndpointDns;
  /** Hardware address; HCN chooses one otherwise. */
  readonly mac?: string;
}

/** Settings of `HcnCreateEndpoint`. */
export function endpointDocument(settings: EndpointSettings): HcnDocument {
  const { address, clusterCidr, mac } = settings;
  const dns = dnsDocument(settings.dns);
  return {
    Name: settings.name,
    HostComputeNetwork: settings.network,
    Policies: [
      outBoundNatPolicy([clusterCidr]),
      sdnRoutePolicy(clusterCidr),
      aclPolicy({
        action: "Allow",
        direction: "In",
        remoteAddresses: clusterCidr,
        ruleType: "Switch",
        priority: 65500,
      }),
    ],
    IpConfigurations: [{ IpAddress: formatIp(address.address), PrefixLength: address.length }],
    ...(dns ? { Dns: dns } : {}),
    Routes: [{
      NextHop: formatIp(gatewayOf(address)),
      DestinationPrefix: address.address.family === 4 ? "0.0.0.0/0" : "::/0",
    }],
    ...(mac === undefined ? {} : { MacAddress: mac }),
    Flags: 0,
    SchemaVersion: SCHEMA_VERSION,
  };
}

/** Settings of `HcnCreateNamespace`. `HostDefault` would be one shared object of the system. */
export function namespaceDocument(): HcnDocument {
  return { Type: "Host", SchemaVersion: SCHEMA_VERSION };
}

/** Settings of `HcnModifyNamespace`. The id goes in without braces, in lower case; others are refused. */
export function modifyNamespaceDocument(request: "Add" | "Remove", endpoint: Guid): HcnDocument {
  return { ResourceType: "Endpoint", RequestType: request, Settings: { EndpointId: endpoint } };
}

/** A query. @param filter Keys of the wanted objects, such as `Name`. */
export function queryDocument(filter?: Readonly<Record<string, string>>): HcnDocument {
  return { SchemaVersion: SCHEMA_VERSION, ...(filter ? { Filter: JSON.stringify(filter) } : {}) };
}

/** Settings where an empty string or a zero means "not given". */
function withoutEmpty(settings: HcnDocument): HcnDocument {
  return Object.fromEntries(
    Object.entries(settings).filter(([, value]) => value !== undefined && value !== "" && value !== 0),
  );
}
