/** What HCN answers, in both versions of its documents. */
import { assertEquals, assertThrows } from "@std/assert";
import {
  isSystemNamespace,
  readEndpoint,
  readGuidList,
  readNamespace,
  readNetwork,
} from "../../../../core/backend/windows/readings.ts";
import { OverlayError } from "../../../../core/errors.ts";

const A = "aabbccdd-eeff-0011-2233-445566778899", B = "11111111-2222-4333-8444-555555555555";

Deno.test("readNetwork() reads both versions, and types it does not know [windows T12]", async (t) => {
  const v2 = { ID: A.toUpperCase(), Name: "n", Ipams: [{ Subnets: [{ IpAddressPrefix: "10.0.0.0/28" }] }] };
  const v1 = {
    ID: A,
    Name: "n",
    Type: "nat",
    Subnets: [{ AddressPrefix: "10.0.0.0/28", GatewayAddress: "10.0.0.1" }],
  };
  const rows = [
    { name: "version 2", answer: { ...v2, Type: "Internal" }, type: "Internal" },
    { name: "version 2 without a type, as NAT has it", answer: v2, type: "" },
    { name: "version 1", answer: v1, type: "nat" },
    { name: "an unknown type", answer: { ...v2, Type: "Quantum" }, type: "Quantum" },
    {
      name: "the other spelling of the id",
      answer: { ...v2, ID: undefined, Id: A, Type: "ICS" },
      type: "ICS",
    },
  ];
  for (const { name, answer, type } of rows) {
    await t.step(name, () => {
      const want = { id: A, name: "n", type, subnets: ["10.0.0.0/28"] };
      assertEquals(readNetwork(JSON.stringify(answer)), want);
    });
  }
  assertEquals(readNetwork("{}"), { name: "", type: "", subnets: [] });
});

Deno.test("readEndpoint() reads both versions [windows T12]", async (t) => {
  const rows = [
    {
      name: "version 2",
      answer: {
        ID: `{${A.toUpperCase()}}`,
        Name: "zlayer-x",
        HostComputeNetwork: B.toUpperCase(),
        HostComputeNamespace: A,
        IpConfigurations: [{ IpAddress: "10.0.0.5", PrefixLength: 28 }],
        SchemaVersion: { Major: 2, Minor: 0 },
      },
      want: { id: A, name: "zlayer-x", network: B, namespace: A, ip: "10.0.0.5", prefixLength: 28 },
    },
    {
      name: "the other spelling of the configuration",
      answer: { ID: A, Name: "x", IPConfigurations: [{ IPAddress: "10.0.0.5", PrefixLength: 28 }] },
      want: { id: A, name: "x", ip: "10.0.0.5", prefixLength: 28 },
    },
    {
      name: "version 1",
      answer: {
        ID: A,
        Name: "x",
        VirtualNetwork: B,
        VirtualNetworkName: "n",
        IPAddress: "10.0.0.5",
        PrefixLength: 28,
      },
      want: { id: A, name: "x", network: B, ip: "10.0.0.5", prefixLength: 28 },
    },
    {
      name: "with a hardware address",
      answer: { ID: A, Name: "x", MacAddress: "00-15-5D-01-02-03" },
      want: { id: A, name: "x", mac: "00-15-5D-01-02-03" },
    },
    {
      name: "in no namespace",
      answer: { ID: A, Name: "x", HostComputeNamespace: "00000000-0000-0000-0000-000000000000" },
      want: { id: A, name: "x" },
    },
    { name: "nothing", answer: {}, want: { name: "" } },
    { name: "nonsense", answer: { ID: 7, Name: [], IpConfigurations: "x" }, want: { name: "" } },
  ];
  for (const { name, answer, want } of rows) {
    await t.step(name, () => assertEquals(readEndpoint(JSON.stringify(answer)), want));
  }
});

Deno.test("readNamespace() reads both versions; an object under Resources is none [windows T12]", async (t) => {
  const resources = [
    { Type: "Endpoint", Data: { Id: B.toUpperCase() } },
    { Type: "Container", Data: { Id: "c1" } },
    { Type: "Endpoint", Data: {} },
    "odd",
  ];
  const rows = [
    {
      name: "version 2",
      answer: { ID: A, NamespaceId: 3, Type: "Host", Resources: resources },
      type: "Host",
    },
    {
      name: "version 1",
      answer: { ID: A, IsDefault: false, ResourceList: resources, Resources: { ID: "x" } },
      type: "",
    },
    {
      name: "the system's, version 1",
      answer: { ID: A, IsDefault: true, ResourceList: resources },
      type: "HostDefault",
    },
  ];
  for (const { name, answer, type } of rows) {
    await t.step(name, () => {
      const want = { id: A, type, endpoints: [B], hasContainers: true };
      assertEquals(readNamespace(JSON.stringify(answer)), want);
    });
  }
  assertEquals(readNamespace("{}"), { type: "", endpoints: [] });
});

Deno.test("readNamespace() tells whether containers are in it, where the answer does", async (t) => {
  const endpoint = { Type: "Endpoint", Data: { Id: B } },
    container = { Type: "Container", Data: { Id: "c1" } };
  const rows: { name: string; answer: Record<string, unknown>; want: boolean | undefined }[] = [
    { name: "version 2, one", answer: { Resources: [endpoint, container] }, want: true },
    {
      name: "version 2, one without data",
      answer: { Resources: [endpoint, { Type: "Container" }] },
      want: true,
    },
    { name: "version 2, none", answer: { Resources: [endpoint] }, want: false },
    { name: "version 2, nothing in it at all", answer: { Resources: [] }, want: undefined },
    { name: "version 1, one", answer: { ResourceList: [endpoint], Containers: ["c1"] }, want: true },
    { name: "version 1, none", answer: { ResourceList: [endpoint], Containers: [] }, want: false },
    { name: "version 1, no word of them", answer: { ResourceList: [endpoint] }, want: undefined },
    { name: "version 1, nonsense", answer: { ResourceList: [endpoint], Containers: "" }, want: undefined },
    { name: "nothing", answer: {}, want: undefined },
  ];
  for (const { name, answer, want } of rows) {
    await t.step(name, () => assertEquals(readNamespace(JSON.stringify(answer)).hasContainers, want));
  }
});

Deno.test("the system's namespaces are known by id and by type [windows T72]", () => {
  assertEquals(isSystemNamespace("910f7d92-ba2d-4c3f-98ae-7c0ac590d2dc", { type: "" }), true);
  assertEquals(isSystemNamespace(A, { type: "HostDefault" }), true);
  assertEquals(isSystemNamespace(A, { type: "GuestDefault" }), true);
  assertEquals(isSystemNamespace(A, { type: "Host" }), false);
});

Deno.test("what is no JSON object is an error that shows it", () => {
  for (const answer of ["", "x", "[]", "null", "7"]) {
    assertThrows(() => readNetwork(answer), OverlayError, "where a network was expected");
    assertThrows(() => readEndpoint(answer), OverlayError, "where an endpoint was expected");
    assertThrows(() => readNamespace(answer), OverlayError, "where a namespace was expected");
  }
});

Deno.test("readGuidList() takes braces and case, passes over a bad element, refuses what is no list [windows T13]", () => {
  const bad: unknown[] = [];
  const read = (answer: string): string[] => readGuidList(answer, (element) => void bad.push(element));
  assertEquals(read(`["{${A.toUpperCase()}}","${B}"]`), [A, B]);
  assertEquals(read(""), []);
  assertEquals(read("[]"), []);
  assertEquals(bad, []);
  assertEquals(read(`["${A}","junk",7]`), [A]);
  assertEquals(bad, ["junk", 7]);
  for (const answer of ["not json", "{}", "null"]) {
    assertThrows(() => read(answer), OverlayError, "list of ids");
  }
});
