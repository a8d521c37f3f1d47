/** The fake HNS: what it keeps, what it refuses, and that it sees what is planted. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { FakeLibrary } from "../support/fake_library.ts";
import { HcnCalls, type HcnFunction } from "../support/hcn_calls.ts";
import {
  aclPolicy,
  DEFAULT_NAMESPACE_ID,
  ENDPOINT_ID,
  endpointDocument,
  modifyDocument,
  NAMESPACE_DOCUMENT,
  NAMESPACE_ID,
  NETWORK_ID,
  networkDocument,
  V2,
} from "../support/hcn_examples.ts";

/** Runs a test against a fresh HNS whose networks settle at once, and asserts that it leaves nothing open. */
function hnsTest(name: string, run: (hcn: HcnCalls, fake: FakeLibrary) => Promise<void>): void {
  Deno.test(`fake HNS: ${name}`, async () => {
    using fake = new FakeLibrary("computenetwork.dll");
    using hcn = new HcnCalls();
    fake.request("settle", { ms: 0 });
    await run(hcn, fake);
    fake.assertClean();
  });
}

async function created(hcn: HcnCalls, name: HcnFunction, id: string, document: unknown): Promise<void> {
  const { hr, handle, record } = await hcn.call(name, { id, document });
  assertEquals(hr, 0, record);
  await hcn.call(name.replace("Create", "Close") as HcnFunction, { handle });
}

async function opened(hcn: HcnCalls, name: HcnFunction, id: string): Promise<Deno.PointerValue> {
  const { hr, handle } = await hcn.call(name, { id });
  assertEquals(hr, 0);
  return handle;
}

/** Tries to make an endpoint; what comes of it is deleted at once. */
async function tryEndpoint(hcn: HcnCalls, document: unknown): Promise<{ hr: number; error: string }> {
  const network = await opened(hcn, "HcnOpenNetwork", NETWORK_ID);
  const id = crypto.randomUUID();
  const { hr, handle, record } = await hcn.call("HcnCreateEndpoint", { handle: network, id, document });
  await hcn.call("HcnCloseNetwork", { handle: network });
  if (hr === 0) {
    await hcn.call("HcnCloseEndpoint", { handle });
    assertEquals((await hcn.call("HcnDeleteEndpoint", { id })).hr, 0);
  }
  return { hr, error: record === "" ? "" : JSON.parse(record).Error };
}

hnsTest("a network is made once, listed, queried in both shapes and deleted", async (hcn) => {
  assertEquals((await hcn.call("HcnEnumerateNetworks")).text, "[]");
  await created(hcn, "HcnCreateNetwork", NETWORK_ID, networkDocument());
  const again = await hcn.call("HcnCreateNetwork", { id: crypto.randomUUID(), document: networkDocument() });
  assertEquals(again.hr, 0x803b0010);
  assertEquals(JSON.parse(again.record).ErrorCode, 0x803b0010);
  assertEquals(JSON.parse((await hcn.call("HcnEnumerateNetworks")).text), [NETWORK_ID.toUpperCase()]);
  const handle = await opened(hcn, "HcnOpenNetwork", NETWORK_ID);
  const v2 = JSON.parse((await hcn.call("HcnQueryNetworkProperties", { handle, document: V2 })).text);
  assertEquals(v2, { ID: NETWORK_ID.toUpperCase(), ...networkDocument() });
  const v1 = JSON.parse((await hcn.call("HcnQueryNetworkProperties", { handle, document: "{}" })).text);
  assertEquals(v1.Subnets, [{ AddressPrefix: "10.200.42.0/28", GatewayAddress: "10.200.42.1" }]);
  assertEquals(v1.Ipams, undefined);
  await hcn.call("HcnCloseNetwork", { handle });
  assertEquals((await hcn.call("HcnDeleteNetwork", { id: NETWORK_ID })).hr, 0);
  assertEquals((await hcn.call("HcnDeleteNetwork", { id: NETWORK_ID })).hr, 0x803b0001);
  assertEquals((await hcn.call("HcnOpenNetwork", { id: NETWORK_ID })).hr, 0x803b0001);
});

const NETWORKS: { name: string; document: unknown; hr: number; error: string }[] = [
  { name: "no JSON", document: "{", hr: 0x803b001b, error: "network: no member name" },
  { name: "NULL", document: undefined, hr: 0x803b001b, error: "network: no value" },
  { name: "text behind", document: `${JSON.stringify(networkDocument())}x`, hr: 0x803b001b, error: "behind" },
  {
    name: "no SchemaVersion",
    document: networkDocument({ SchemaVersion: undefined }),
    hr: 0x803b001b,
    error: "network needs SchemaVersion",
  },
  {
    name: "schema version 1",
    document: networkDocument({ SchemaVersion: { Major: 1, Minor: 0 } }),
    hr: 0x803b001b,
    error: "SchemaVersion must be 2.x",
  },
  { name: "another case", document: networkDocument({ name: "x" }), hr: 0x803b001b, error: "no member name" },
  { name: "a wrong type", document: networkDocument({ Flags: "0" }), hr: 0x803b001b, error: "network.Flags" },
  { name: "a duplicate", document: '{"Name":"a","Name":"b"}', hr: 0x803b001b, error: "duplicate member" },
  {
    name: "no type of HNS",
    document: networkDocument({ Type: "internal" }),
    hr: 0x803b000b,
    error: "internal",
  },
  {
    name: "Policies on Internal",
    document: networkDocument({ Policies: [] }),
    hr: 0x803b000d,
    error: "Policies",
  },
  {
    name: "an adapter that is not there",
    document: networkDocument({
      Type: "Transparent",
      Policies: [{ Type: "NetAdapterName", Settings: { NetworkAdapterName: "Ethernet 7" } }],
    }),
    hr: 0x803b0006,
    error: "Ethernet 7",
  },
  {
    name: "host bits",
    document: subnet("10.200.42.3/28", "10.200.42.1"),
    hr: 0x803b0033,
    error: "host bits",
  },
  {
    name: "a gateway outside",
    document: subnet("10.200.42.0/28", "10.200.9.1"),
    hr: 0x803b0032,
    error: "NextHop",
  },
];

function subnet(prefix: string, gateway: string): unknown {
  const Routes = [{ NextHop: gateway, DestinationPrefix: "0.0.0.0/0" }];
  return networkDocument({ Ipams: [{ Type: "Static", Subnets: [{ IpAddressPrefix: prefix, Routes }] }] });
}

hnsTest("bad networks are refused with a record and no handle", async (hcn) => {
  for (const { name, document, hr, error } of NETWORKS) {
    const answer = await hcn.call("HcnCreateNetwork", { id: NETWORK_ID, document });
    assertEquals({ name, hr: answer.hr }, { name, hr });
    assertStringIncludes(JSON.parse(answer.record).Error, error, name);
    assertEquals(answer.handle, null);
  }
  assertEquals((await hcn.call("HcnEnumerateNetworks")).text, "[]");
});

hnsTest("a Transparent network binds to an adapter that is there", async (hcn, fake) => {
  fake.request("adapters", { names: ["Ethernet 2"] });
  const Policies = [{ Type: "NetAdapterName", Settings: { NetworkAdapterName: "Ethernet 2" } }];
  await created(hcn, "HcnCreateNetwork", NETWORK_ID, networkDocument({ Type: "Transparent", Policies }));
});

const ENDPOINTS: { name: string; more: Record<string, unknown>; hr: number; error: string }[] = [
  { name: "as it should be", more: {}, hr: 0, error: "" },
  { name: "no address", more: { IpConfigurations: undefined }, hr: 0, error: "" },
  { name: "no SchemaVersion", more: { SchemaVersion: undefined }, hr: 0x803b001b, error: "SchemaVersion" },
  {
    name: "HostComputeNamespace",
    more: { HostComputeNamespace: NAMESPACE_ID },
    hr: 0x803b001b,
    error: "no member HostComputeNamespace",
  },
  { name: "IPConfigurations", more: { IPConfigurations: [] }, hr: 0x803b001b, error: "IPConfigurations" },
  { name: "an IP outside", more: ip("10.200.9.5", 28), hr: 0x803b001e, error: "10.200.9.5" },
  { name: "no IP", more: ip("10.200.42", 28), hr: 0x803b001e, error: "no IPv4" },
  { name: "another prefix length", more: ip("10.200.42.5", 16), hr: 0x803b0005, error: "10.200.42.5" },
  { name: "the gateway", more: ip("10.200.42.1", 28), hr: 0x803b002f, error: "reserved" },
  { name: "the broadcast address", more: ip("10.200.42.15", 28), hr: 0x803b002f, error: "reserved" },
  { name: "ACL without RuleType", more: acl({ RuleType: undefined }), hr: 0x803b000d, error: "RuleType" },
  { name: "ACL without Priority", more: acl({ Priority: undefined }), hr: 0x803b000d, error: "Priority" },
  { name: "ACL with a list", more: acl({ RemoteAddresses: [] }), hr: 0x803b000d, error: "RemoteAddresses" },
  { name: "ACL action", more: acl({ Action: "allow" }), hr: 0x803b000d, error: "Action" },
  {
    name: "another policy",
    more: { Policies: [{ Type: "Acl", Settings: {} }] },
    hr: 0x803b000e,
    error: "Acl",
  },
  { name: "braces", more: { HostComputeNetwork: `{${NETWORK_ID}}` }, hr: 0x803b001b, error: "braces" },
  { name: "another network", more: { HostComputeNetwork: ENDPOINT_ID }, hr: 0x80070057, error: "another" },
];

function ip(IpAddress: string, PrefixLength: number): Record<string, unknown> {
  return { IpConfigurations: [{ IpAddress, PrefixLength }] };
}

function acl(more: Record<string, unknown>): Record<string, unknown> {
  return { Policies: [aclPolicy(more)] };
}

hnsTest("endpoints are taken or refused by their document", async (hcn) => {
  await created(hcn, "HcnCreateNetwork", NETWORK_ID, networkDocument());
  for (const { name, more, hr, error } of ENDPOINTS) {
    const answer = await tryEndpoint(hcn, endpointDocument(more));
    assertEquals({ name, hr: answer.hr }, { name, hr }, answer.error);
    assertStringIncludes(answer.error, error, name);
  }
});

hnsTest("an endpoint needs a network handle and has its address for itself", async (hcn) => {
  const none = await hcn.call("HcnCreateEndpoint", { id: ENDPOINT_ID, document: endpointDocument() });
  assertEquals(none.hr, 0x80070057);
  await created(hcn, "HcnCreateNetwork", NETWORK_ID, networkDocument());
  const handle = await opened(hcn, "HcnOpenNetwork", NETWORK_ID);
  const arguments_ = { handle, id: ENDPOINT_ID, document: endpointDocument() };
  const first = await hcn.call("HcnCreateEndpoint", arguments_);
  assertEquals(first.hr, 0, first.record);
  assertEquals((await hcn.call("HcnCreateEndpoint", arguments_)).hr, 0x803b0013);
  const taken = await hcn.call("HcnCreateEndpoint", { ...arguments_, id: NAMESPACE_ID });
  assertEquals(taken.hr, 0x803b002f);
  assertStringIncludes(taken.record, "in use");
  const query = { handle: first.handle, document: V2 };
  const v2 = JSON.parse((await hcn.call("HcnQueryEndpointProperties", query)).text);
  assertEquals(v2.IpConfigurations, [{ IpAddress: "10.200.42.5", PrefixLength: 28 }]);
  const v1 = JSON.parse((await hcn.call("HcnQueryEndpointProperties", { handle: first.handle })).text);
  assertEquals([v1.IPAddress, v1.VirtualNetworkName], ["10.200.42.5", "zlayer-overlay"]);
  assertStringIncludes((await hcn.call("HcnQueryEndpointStats", { handle: first.handle })).text, "BytesSent");
  await hcn.call("HcnCloseEndpoint", { handle: first.handle });
  await hcn.call("HcnCloseNetwork", { handle });
  assertEquals((await hcn.call("HcnDeleteNetwork", { id: NETWORK_ID })).hr, 0x803b002c);
  const Filter = JSON.stringify({ VirtualNetwork: NETWORK_ID });
  const list = async (document: unknown): Promise<string[]> =>
    JSON.parse((await hcn.call("HcnEnumerateEndpoints", { document })).text);
  assertEquals(await list({ ...V2, Filter }), [ENDPOINT_ID.toUpperCase()]);
  assertEquals(await list({ ...V2, Filter: '{"Name":"other"}' }), []);
  const bad = await hcn.call("HcnEnumerateEndpoints", { document: { ...V2, Filter: "x" } });
  assertEquals(bad.hr, 0x803b001b);
});

hnsTest("namespaces hold endpoints, one each, and references to deleted ones", async (hcn) => {
  await created(hcn, "HcnCreateNetwork", NETWORK_ID, networkDocument());
  const network = await opened(hcn, "HcnOpenNetwork", NETWORK_ID);
  const endpoint = await hcn.call("HcnCreateEndpoint", {
    handle: network,
    id: ENDPOINT_ID,
    document: endpointDocument(),
  });
  for (const handle of [endpoint.handle]) await hcn.call("HcnCloseEndpoint", { handle });
  await hcn.call("HcnCloseNetwork", { handle: network });
  const other = crypto.randomUUID();
  await created(hcn, "HcnCreateNamespace", NAMESPACE_ID, NAMESPACE_DOCUMENT);
  await created(hcn, "HcnCreateNamespace", other, NAMESPACE_DOCUMENT);
  const handle = await opened(hcn, "HcnOpenNamespace", NAMESPACE_ID);
  const second = await opened(hcn, "HcnOpenNamespace", other);
  const modify = async (document: unknown, to = handle): Promise<number> =>
    (await hcn.call("HcnModifyNamespace", { handle: to, document })).hr;
  assertEquals(await modify(modifyDocument("Add", `{${ENDPOINT_ID}}`)), 0x80070057);
  assertEquals(await modify(modifyDocument("Add", ENDPOINT_ID.toUpperCase())), 0x80070057);
  assertEquals(await modify({ ...modifyDocument("Add"), ResourceType: 1 }), 0x803b001b);
  assertEquals(await modify({ ...modifyDocument("Add"), Settings: "{}" }), 0x803b001b);
  assertEquals(await modify(modifyDocument("Add", NAMESPACE_ID)), 0x803b0002);
  assertEquals(await modify(modifyDocument("Add")), 0);
  assertEquals(await modify(modifyDocument("Add")), 0x803b0014);
  assertEquals(await modify(modifyDocument("Add"), second), 0x803b002b);
  const resources = [{ Type: "Endpoint", Data: { Id: ENDPOINT_ID } }];
  const query = async (document: unknown): Promise<Record<string, unknown>> =>
    JSON.parse((await hcn.call("HcnQueryNamespaceProperties", { handle, document })).text);
  assertEquals((await query(V2)).Resources, resources);
  const v1 = await query(undefined);
  assertEquals([v1.ResourceList, Array.isArray(v1.Resources), v1.IsDefault], [resources, false, false]);
  await hcn.call("HcnCloseNamespace", { handle: second });
  assertEquals((await hcn.call("HcnDeleteEndpoint", { id: ENDPOINT_ID })).hr, 0);
  assertEquals((await query(V2)).Resources, resources);
  assertEquals(await modify(modifyDocument("Remove")), 0);
  assertEquals(await modify(modifyDocument("Remove")), 0x803b0002);
  await hcn.call("HcnCloseNamespace", { handle });
  assertEquals((await hcn.call("HcnDeleteNamespace", { id: NAMESPACE_ID })).hr, 0);
  assertEquals((await hcn.call("HcnDeleteNamespace", { id: NAMESPACE_ID })).hr, 0x80070490);
});

hnsTest("a new network's address management takes its time", async (hcn, fake) => {
  fake.request("settle", { ms: 60_000 });
  await created(hcn, "HcnCreateNetwork", NETWORK_ID, networkDocument());
  assertEquals(await tryEndpoint(hcn, endpointDocument()), {
    hr: 0x803b002f,
    error: "the network's address management is not ready",
  });
  fake.request("settle", { ms: 0 });
  assertEquals((await tryEndpoint(hcn, endpointDocument())).hr, 0);
});

hnsTest("objects can be put, ids and addresses assigned, everything forgotten", async (hcn, fake) => {
  const object = { id: NETWORK_ID, document: networkDocument({ Type: "NAT" }) };
  fake.request("put", { kind: "network", object });
  fake.request("assign", { id: NAMESPACE_ID });
  fake.request("assignIp", { ip: "10.200.42.9" });
  await created(hcn, "HcnCreateNamespace", crypto.randomUUID(), NAMESPACE_DOCUMENT);
  const network = await opened(hcn, "HcnOpenNetwork", NETWORK_ID);
  const query = { handle: network, document: V2 };
  const answer = JSON.parse((await hcn.call("HcnQueryNetworkProperties", query)).text);
  assertEquals("Type" in answer, false);
  const endpoint = await hcn.call("HcnCreateEndpoint", {
    handle: network,
    id: ENDPOINT_ID,
    document: endpointDocument(),
  });
  await hcn.call("HcnCloseEndpoint", { handle: endpoint.handle });
  const state = fake.request("state");
  assertEquals(state.endpoints[0].ip, "10.200.42.9");
  assertEquals(state.namespaces.map((one: { id: string }) => one.id), [DEFAULT_NAMESPACE_ID, NAMESPACE_ID]);
  fake.request("forget", { objects: true });
  assertEquals((await hcn.call("HcnQueryNetworkProperties", query)).hr, 0x803b0031);
  await hcn.call("HcnCloseNetwork", { handle: network });
  assertEquals(fake.request("state").networks, []);
  assert(fake.log().every(({ result, thread }) => result !== null && thread > 0));
});
