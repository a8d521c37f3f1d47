/** The documents that HCN is given. */
import { assertEquals, assertThrows } from "@std/assert";
import {
  aclPolicy,
  dnsDocument,
  endpointDocument,
  gatewayOf,
  modifyNamespaceDocument,
  namespaceDocument,
  networkDocument,
  outBoundNatPolicy,
  queryDocument,
  sdnRoutePolicy,
} from "../../../../core/backend/windows/documents.ts";
import { InvalidConfigError } from "../../../../core/errors.ts";
import { formatIp } from "../../../../core/ip/address.ts";
import { parsePrefix } from "../../../../core/ip/prefix.ts";
import {
  checkEndpoint,
  checkModifyNamespace,
  checkNamespace,
  checkNetwork,
} from "../../../support/fake_hcn/documents.ts";

const V2 = { Major: 2, Minor: 0 };
const NETWORK = "aabbccdd-eeff-0011-2233-445566778899";

const INTERNAL = {
  Name: "zlayer-overlay",
  Type: "Internal",
  Ipams: [{
    Type: "Static",
    Subnets: [{
      IpAddressPrefix: "10.220.99.16/28",
      Routes: [{ NextHop: "10.220.99.17", DestinationPrefix: "0.0.0.0/0" }],
    }],
  }],
  Flags: 0,
  SchemaVersion: V2,
};

Deno.test("networkDocument() of an internal network, without policies [windows T3]", () => {
  const document = networkDocument({ name: "zlayer-overlay", subnet: parsePrefix("10.220.99.16/28")! });
  assertEquals(document, INTERNAL);
  assertEquals("Policies" in document, false);
  checkNetwork(JSON.stringify(document));
});

Deno.test("networkDocument() of a transparent one names the adapter [windows T4]", () => {
  const subnet = parsePrefix("10.220.99.16/28")!;
  const document = networkDocument({ name: "zlayer-overlay", subnet, uplinkAdapter: "Ethernet 2" });
  assertEquals(document, {
    ...INTERNAL,
    Type: "Transparent",
    Policies: [{ Type: "NetAdapterName", Settings: { NetworkAdapterName: "Ethernet 2" } }],
  });
  checkNetwork(JSON.stringify(document));
});

Deno.test("networkDocument() refuses subnets without room, and IPv6 [windows T5]", async (t) => {
  for (const cidr of ["10.0.0.0/31", "10.0.0.1/32", "fd00::/64"]) {
    await t.step(cidr, () => {
      const subnet = parsePrefix(cidr)!;
      assertThrows(() => networkDocument({ name: "n", subnet }), InvalidConfigError, cidr);
    });
  }
});

Deno.test("networkDocument() clears host bits [windows T6]", () => {
  const document = networkDocument({ name: "n", subnet: parsePrefix("10.200.0.5/28")! });
  const [ipam] = document.Ipams as {
    Subnets: { IpAddressPrefix: string; Routes: { NextHop: string }[] }[];
  }[];
  assertEquals(ipam!.Subnets[0]!.IpAddressPrefix, "10.200.0.0/28");
  assertEquals(ipam!.Subnets[0]!.Routes[0]!.NextHop, "10.200.0.1");
});

Deno.test("policies leave out what is not given, but not NeedEncap [windows T7]", () => {
  assertEquals(outBoundNatPolicy([]), { Type: "OutBoundNAT", Settings: {} });
  assertEquals(sdnRoutePolicy("10.200.0.0/16"), {
    Type: "SDNRoute",
    Settings: { DestinationPrefix: "10.200.0.0/16", NeedEncap: false },
  });
  const rule = {
    action: "Allow",
    direction: "In",
    remoteAddresses: "10.200.0.0/16",
    ruleType: "Switch",
  } as const;
  assertEquals(aclPolicy({ ...rule, priority: 65500 }), {
    Type: "ACL",
    Settings: {
      Action: "Allow",
      Direction: "In",
      RemoteAddresses: "10.200.0.0/16",
      RuleType: "Switch",
      Priority: 65500,
    },
  });
});

Deno.test("a full ACL keeps its lists as strings [windows T8]", () => {
  const policy = aclPolicy({
    action: "Block",
    direction: "Out",
    protocols: "6,17",
    localAddresses: "10.0.0.1,10.0.0.2",
    remoteAddresses: "10.1.0.0/16,10.2.0.0/16",
    localPorts: "80,443",
    remotePorts: "1024-65535",
    ruleType: "Switch",
    priority: 200,
  });
  assertEquals(policy.Settings, {
    Action: "Block",
    Direction: "Out",
    Protocols: "6,17",
    LocalAddresses: "10.0.0.1,10.0.0.2",
    RemoteAddresses: "10.1.0.0/16,10.2.0.0/16",
    LocalPorts: "80,443",
    RemotePorts: "1024-65535",
    RuleType: "Switch",
    Priority: 200,
  });
});

Deno.test("dnsDocument() has what is known, or is none at all [windows T9]", async (t) => {
  const rows = [
    { name: "nothing known: the endpoint inherits", dns: {}, want: undefined },
    { name: "server", dns: { server: "10.200.42.1" }, want: { ServerList: ["10.200.42.1"] } },
    { name: "server of IPv6", dns: { server: "fd00::1" }, want: { ServerList: ["fd00::1"] } },
    {
      name: "domain, which is searched too",
      dns: { domain: "cluster.internal" },
      want: { Domain: "cluster.internal", Search: ["cluster.internal"] },
    },
    {
      name: "both",
      dns: { server: "10.200.42.1", domain: "overlay.local" },
      want: { Domain: "overlay.local", Search: ["overlay.local"], ServerList: ["10.200.42.1"] },
    },
  ];
  for (const { name, dns, want } of rows) {
    await t.step(name, () => {
      assertEquals(dnsDocument(dns), want);
      assertEquals("Dns" in JSON.parse(JSON.stringify(endpoint({ dns }))), want !== undefined);
    });
  }
});

Deno.test("gatewayOf() is the first address of the network [windows T10]", async (t) => {
  const rows = [
    ["10.200.42.5/28", "10.200.42.1"],
    ["10.200.42.15/28", "10.200.42.1"],
    ["10.200.42.0/28", "10.200.42.1"],
    ["10.200.42.5/16", "10.200.0.1"],
    ["10.200.7.42/24", "10.200.7.1"],
    ["fd00:200:42::5/64", "fd00:200:42::1"],
  ] as const;
  for (const [address, want] of rows) {
    await t.step(address, () => assertEquals(formatIp(gatewayOf(parsePrefix(address)!)), want));
  }
});

function endpoint(changes: { dns?: { server?: string; domain?: string }; address?: string } = {}): unknown {
  return endpointDocument({
    name: "zlayer-web-7f3a",
    network: NETWORK,
    address: parsePrefix(changes.address ?? "10.200.42.5/28")!,
    clusterCidr: "10.200.0.0/16",
    dns: changes.dns ?? { server: "10.200.42.1", domain: "overlay.local" },
  });
}

Deno.test("endpointDocument() is the complete example [windows T7] [windows T9]", () => {
  const document = endpoint();
  assertEquals(document, {
    Name: "zlayer-web-7f3a",
    HostComputeNetwork: NETWORK,
    Policies: [
      { Type: "OutBoundNAT", Settings: { Exceptions: ["10.200.0.0/16"] } },
      { Type: "SDNRoute", Settings: { DestinationPrefix: "10.200.0.0/16", NeedEncap: false } },
      {
        Type: "ACL",
        Settings: {
          Action: "Allow",
          Direction: "In",
          RemoteAddresses: "10.200.0.0/16",
          RuleType: "Switch",
          Priority: 65500,
        },
      },
    ],
    IpConfigurations: [{ IpAddress: "10.200.42.5", PrefixLength: 28 }],
    Dns: { Domain: "overlay.local", Search: ["overlay.local"], ServerList: ["10.200.42.1"] },
    Routes: [{ NextHop: "10.200.42.1", DestinationPrefix: "0.0.0.0/0" }],
    Flags: 0,
    SchemaVersion: V2,
  });
  checkEndpoint(JSON.stringify(document), NETWORK);
});

Deno.test("an endpoint of IPv6 has a default route of IPv6 [windows T10]", () => {
  const { Routes } = endpoint({ address: "fd00:200:42::5/64" }) as { Routes: unknown };
  assertEquals(Routes, [{ NextHop: "fd00:200:42::1", DestinationPrefix: "::/0" }]);
});

Deno.test("documents of namespaces: a host's own, and changes by bare id [windows T11]", () => {
  assertEquals(namespaceDocument(), { Type: "Host", SchemaVersion: V2 });
  checkNamespace(JSON.stringify(namespaceDocument()));
  for (const request of ["Add", "Remove"] as const) {
    const document = modifyNamespaceDocument(request, NETWORK);
    assertEquals(document, {
      ResourceType: "Endpoint",
      RequestType: request,
      Settings: { EndpointId: NETWORK },
    });
    assertEquals(checkModifyNamespace(JSON.stringify(document)), { request, endpoint: NETWORK });
  }
});

Deno.test("queryDocument() always asks for version 2; a filter is JSON in a string", () => {
  assertEquals(queryDocument(), { SchemaVersion: V2 });
  assertEquals(queryDocument({ Name: "x" }), { SchemaVersion: V2, Filter: '{"Name":"x"}' });
});
