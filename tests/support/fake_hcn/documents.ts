/** The documents that a real HCN refuses, refused with the same HRESULTs. */
import { parseIp } from "../../../core/ip/address.ts";
import { canonicalPrefix, formatPrefix, parsePrefix, prefixContains } from "../../../core/ip/prefix.ts";

/** A refused document. */
export class Refusal extends Error {
  constructor(readonly hresult: number, message: string) {
    super(message);
  }
}

/** A parsed document. */
export type Doc = Record<string, unknown>;

/** HRESULTs of refusals. */
export const E_INVALIDARG = 0x80070057, INVALID_JSON = 0x803b001b, INVALID_POLICY = 0x803b000d;
/** HRESULTs of refusals, continued. */
export const INVALID_POLICY_TYPE = 0x803b000e, INVALID_SUBNET = 0x803b0032, INVALID_NETWORK_TYPE = 0x803b000b;

const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const POLICY_TYPES = new Set(
  ("PortMapping ACL QOS L2Driver OutBoundNAT SDNRoute L4Proxy L4WFPPROXY PortName EncapOverhead " +
    "InterfaceConstraint ProviderAddress Iov TierAcl").split(" "),
);

function refuse(hresult: number, message: string): never {
  throw new Refusal(hresult, message);
}

function parse(text: string | undefined, what: string): Doc {
  try {
    const value: unknown = JSON.parse(text ?? "");
    if (value !== null && typeof value === "object" && !Array.isArray(value)) return value as Doc;
  } catch {
    // Refused below.
  }
  return refuse(INVALID_JSON, `${what} is no JSON object: ${text}`);
}

function onlyKeys(doc: Doc, keys: string, what: string): void {
  const allowed = new Set(keys.split(" "));
  const odd = Object.keys(doc).filter((key) => !allowed.has(key));
  if (odd.length > 0) refuse(INVALID_JSON, `${what} has unknown keys ${odd.join(" ")}`);
}

function schemaVersion(doc: Doc, what: string): void {
  const version = doc.SchemaVersion as { Major?: unknown; Minor?: unknown } | undefined;
  if (version?.Major !== 2 || version.Minor !== 0) refuse(INVALID_JSON, `${what} has no SchemaVersion 2.0`);
}

/** Whether a query asks for version 2; checks its form. */
export function isV2Query(text: string | undefined): { isV2: boolean; filter: Record<string, string> } {
  if (text === undefined) return { isV2: false, filter: {} };
  const doc = parse(text, "query");
  onlyKeys(doc, "SchemaVersion Flags Filter", "query");
  const filter = doc.Filter;
  if (filter !== undefined && typeof filter !== "string") refuse(INVALID_JSON, "Filter is no string");
  const isV2 = (doc.SchemaVersion as { Major?: number } | undefined)?.Major === 2;
  return {
    isV2,
    filter: filter === undefined ? {} : parse(filter as string, "Filter") as Record<string, string>,
  };
}

/** Settings of a network. */
export function checkNetwork(text: string | undefined): { doc: Doc; subnet: string; gateway: string } {
  const doc = parse(text, "network");
  onlyKeys(doc, "Name Type Policies MacPool Dns Ipams Flags SchemaVersion", "network");
  schemaVersion(doc, "network");
  if (typeof doc.Name !== "string" || doc.Name === "") refuse(INVALID_JSON, "network has no name");
  if (doc.Type === "Internal") {
    if ("Policies" in doc) refuse(INVALID_POLICY, "an Internal network takes no Policies");
  } else if (doc.Type === "Transparent") {
    checkAdapter(doc.Policies);
  } else refuse(INVALID_NETWORK_TYPE, `network type ${doc.Type}`);
  const ipam = (doc.Ipams as Doc[] | undefined)?.[0];
  const subnet = (ipam?.Subnets as Doc[] | undefined)?.[0];
  const prefix = parsePrefix(String(subnet?.IpAddressPrefix));
  if (ipam?.Type !== "Static" || !prefix) refuse(INVALID_SUBNET, "no static subnet");
  if (formatPrefix(canonicalPrefix(prefix)) !== formatPrefix(prefix)) refuse(INVALID_SUBNET, "host bits set");
  const route = (subnet?.Routes as Doc[] | undefined)?.find((r) => r.DestinationPrefix === "0.0.0.0/0");
  const gateway = parseIp(String(route?.NextHop));
  if (!gateway || !prefixContains(prefix, gateway)) refuse(INVALID_SUBNET, "no default route in the subnet");
  return { doc, subnet: formatPrefix(prefix), gateway: String(route!.NextHop) };
}

function checkAdapter(policies: unknown): void {
  const policy = (policies as Doc[] | undefined)?.[0];
  const name = (policy?.Settings as Doc | undefined)?.NetworkAdapterName;
  if (policy?.Type !== "NetAdapterName" || typeof name !== "string" || name.trim() !== name || name === "") {
    refuse(0x803b0006, "a Transparent network needs an adapter");
  }
}

/** Settings of an endpoint on a network. */
export function checkEndpoint(
  text: string | undefined,
  network: string,
): { doc: Doc; ip: string; length: number } {
  const doc = parse(text, "endpoint");
  // Forbidden on creation, though it is in every answer.
  if ("HostComputeNamespace" in doc) refuse(E_INVALIDARG, "HostComputeNamespace is read-only");
  onlyKeys(
    doc,
    "Name HostComputeNetwork Policies IpConfigurations Dns Routes MacAddress Flags SchemaVersion",
    "endpoint",
  );
  schemaVersion(doc, "endpoint");
  if (String(doc.HostComputeNetwork).toLowerCase() !== network) refuse(E_INVALIDARG, "another network's id");
  for (const policy of (doc.Policies ?? []) as Doc[]) checkPolicy(policy);
  const configuration = (doc.IpConfigurations as Doc[] | undefined)?.[0];
  const ip = configuration?.IpAddress, length = configuration?.PrefixLength;
  if (typeof ip !== "string" || typeof length !== "number") refuse(0x803b001e, "no IP configuration");
  checkRoutes(doc.Routes);
  checkDns(doc.Dns);
  return { doc, ip, length };
}

function checkPolicy({ Type, Settings }: Doc): void {
  const settings = (Settings ?? {}) as Doc;
  if (!POLICY_TYPES.has(String(Type))) refuse(INVALID_POLICY_TYPE, `policy type ${Type}`);
  if (Type === "SDNRoute" && typeof settings.NeedEncap !== "boolean") {
    refuse(INVALID_POLICY, "SDNRoute: NeedEncap");
  }
  if (Type === "OutBoundNAT" && "Exceptions" in settings && !Array.isArray(settings.Exceptions)) {
    refuse(INVALID_POLICY, "OutBoundNAT: Exceptions");
  }
  if (Type !== "ACL") return;
  if (settings.RuleType !== "Switch" && settings.RuleType !== "Host") refuse(INVALID_POLICY, "ACL: RuleType");
  if (typeof settings.Priority !== "number" || settings.Priority === 0) {
    refuse(INVALID_POLICY, "ACL: Priority");
  }
  for (const key of ["Protocols", "LocalAddresses", "RemoteAddresses", "LocalPorts", "RemotePorts"]) {
    if (key in settings && typeof settings[key] !== "string") {
      refuse(INVALID_POLICY, `ACL: ${key} is no string`);
    }
  }
}

function checkRoutes(routes: unknown): void {
  for (const route of (routes ?? []) as Doc[]) {
    const hop = parseIp(String(route.NextHop)), prefix = parsePrefix(String(route.DestinationPrefix));
    if (!hop || !prefix || hop.family !== prefix.address.family) {
      refuse(INVALID_JSON, "a route of two families");
    }
  }
}

function checkDns(dns: unknown): void {
  if (dns === undefined) return;
  onlyKeys(dns as Doc, "Domain Search ServerList Options", "Dns");
  for (const key of ["Search", "ServerList", "Options"]) {
    if (key in (dns as Doc) && !Array.isArray((dns as Doc)[key])) {
      refuse(INVALID_JSON, `Dns: ${key} is no list`);
    }
  }
}

/** Settings of a namespace. */
export function checkNamespace(text: string | undefined): void {
  const doc = parse(text, "namespace");
  onlyKeys(doc, "Type NamespaceId SchemaVersion", "namespace");
  schemaVersion(doc, "namespace");
  if (doc.Type !== "Host") refuse(E_INVALIDARG, `namespace type ${doc.Type}`);
}

/** A change of a namespace. */
export function checkModifyNamespace(text: string | undefined): { request: string; endpoint: string } {
  const doc = parse(text, "request");
  onlyKeys(doc, "ResourceType RequestType Settings", "request");
  if (doc.ResourceType !== "Endpoint") refuse(INVALID_JSON, `ResourceType ${doc.ResourceType}`);
  if (doc.RequestType !== "Add" && doc.RequestType !== "Remove") refuse(INVALID_JSON, "RequestType");
  if (doc.Settings === null || typeof doc.Settings !== "object") {
    refuse(INVALID_JSON, "Settings is no object");
  }
  const endpoint = (doc.Settings as Doc).EndpointId;
  if (typeof endpoint !== "string" || !GUID.test(endpoint)) refuse(INVALID_JSON, `EndpointId ${endpoint}`);
  return { request: doc.RequestType, endpoint };
}
