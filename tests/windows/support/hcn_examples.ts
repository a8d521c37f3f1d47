/** Documents as the daemon sends them, for the tests of the fake HNS. */

/** What every document says. */
export const V2 = { SchemaVersion: { Major: 2, Minor: 0 } } as const;

/** Id of the network; all ids here stand out in a log. */
export const NETWORK_ID = "aabbccdd-eeff-0011-2233-445566778899";
/** Id of the endpoint. */
export const ENDPOINT_ID = "e0000000-0000-4000-8000-000000000001";
/** Id of the namespace. */
export const NAMESPACE_ID = "c0000000-0000-4000-8000-000000000001";
/** HNS's own. */
export const DEFAULT_NAMESPACE_ID = "910f7d92-ba2d-4c3f-98ae-7c0ac590d2dc";

/** 10.200.42.0/28 with its gateway. */
export function networkDocument(more: Record<string, unknown> = {}): Record<string, unknown> {
  const subnet = {
    IpAddressPrefix: "10.200.42.0/28",
    Routes: [{ NextHop: "10.200.42.1", DestinationPrefix: "0.0.0.0/0" }],
  };
  const ipams = [{ Type: "Static", Subnets: [subnet] }];
  return { Name: "zlayer-overlay", Type: "Internal", Ipams: ipams, Flags: 0, ...V2, ...more };
}

/** 10.200.42.5 on it, with the three policies. */
export function endpointDocument(more: Record<string, unknown> = {}): Record<string, unknown> {
  const cluster = "10.200.0.0/16";
  return {
    Name: "zlayer-web-7f3a",
    HostComputeNetwork: NETWORK_ID,
    Policies: [
      { Type: "OutBoundNAT", Settings: { Exceptions: [cluster] } },
      { Type: "SDNRoute", Settings: { DestinationPrefix: cluster, NeedEncap: false } },
      aclPolicy({}),
    ],
    IpConfigurations: [{ IpAddress: "10.200.42.5", PrefixLength: 28 }],
    Dns: { Domain: "overlay.local", Search: ["overlay.local"], ServerList: ["10.200.42.1"] },
    Routes: [{ NextHop: "10.200.42.1", DestinationPrefix: "0.0.0.0/0" }],
    Flags: 0,
    ...V2,
    ...more,
  };
}

/** Accepts the cluster's traffic; a setting of undefined goes. */
export function aclPolicy(more: Record<string, unknown>): Record<string, unknown> {
  const settings = {
    Action: "Allow",
    Direction: "In",
    RemoteAddresses: "10.200.0.0/16",
    RuleType: "Switch",
    Priority: 65500,
  };
  return { Type: "ACL", Settings: { ...settings, ...more } };
}

/** A namespace for a container. */
export const NAMESPACE_DOCUMENT = { Type: "Host", ...V2 } as const;

/** Puts an endpoint into a namespace, or takes it out. */
export function modifyDocument(request: "Add" | "Remove", endpoint = ENDPOINT_ID): Record<string, unknown> {
  return { ResourceType: "Endpoint", RequestType: request, Settings: { EndpointId: endpoint } };
}

/** Changes policies of a network or an endpoint. */
export function changeDocument(
  request: "Add" | "Remove" | "Update",
  ...policies: readonly Record<string, unknown>[]
): Record<string, unknown> {
  return { ResourceType: "Policy", RequestType: request, Settings: { Policies: policies } };
}
