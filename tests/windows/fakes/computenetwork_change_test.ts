/** The fake HNS: what it takes as a change of a network or an endpoint, and what comes of it. */
import { assertEquals } from "@std/assert";
import { FakeLibrary } from "../support/fake_library.ts";
import { HcnCalls, type HcnFunction } from "../support/hcn_calls.ts";
import {
  aclPolicy,
  changeDocument,
  ENDPOINT_ID,
  endpointDocument,
  NETWORK_ID,
  networkDocument,
  V2,
} from "../support/hcn_examples.ts";

type Policy = Record<string, unknown>;

const BLOCK = aclPolicy({ Action: "Block", Priority: 100 });
const ALLOW = aclPolicy({});
const ADAPTER = { Type: "NetAdapterName", Settings: { NetworkAdapterName: "Ethernet" } };

/** An open object, its policies, and a way to change them. */
interface Subject {
  readonly change: (document: unknown) => Promise<number>;
  readonly policies: () => Promise<Policy[]>;
}

function changeTest(
  name: string,
  { type = "Internal", of = "Endpoint" }: { readonly type?: string; readonly of?: "Network" | "Endpoint" },
  run: (subject: Subject) => Promise<void>,
): void {
  Deno.test(`fake HNS: ${name}`, async () => {
    using fake = new FakeLibrary("computenetwork.dll");
    using hcn = new HcnCalls();
    const more = type === "Transparent" ? { Type: type, Policies: [ADAPTER] } : {};
    fake.request("put", { kind: "network", object: { id: NETWORK_ID, document: networkDocument(more) } });
    const endpoint = {
      id: ENDPOINT_ID,
      network: NETWORK_ID,
      ip: "10.200.42.5",
      document: endpointDocument(),
    };
    fake.request("put", { kind: "endpoint", object: endpoint });
    const id = of === "Network" ? NETWORK_ID : ENDPOINT_ID;
    const { handle } = await hcn.call(`HcnOpen${of}` as HcnFunction, { id });
    await run({
      change: async (document) => (await hcn.call(`HcnModify${of}` as HcnFunction, { handle, document })).hr,
      policies: async () => {
        const { text } = await hcn.call(`HcnQuery${of}Properties` as HcnFunction, { handle, document: V2 });
        return JSON.parse(text).Policies ?? [];
      },
    });
    await hcn.call(`HcnClose${of}` as HcnFunction, { handle });
    fake.assertClean();
  });
}

changeTest(
  "policies of an endpoint are added, replaced by type and removed",
  {},
  async ({ change, policies }) => {
    const before = await policies();
    assertEquals(await change(changeDocument("Add", BLOCK)), 0);
    assertEquals(await policies(), [...before, BLOCK]);
    assertEquals(await change(changeDocument("Add", BLOCK)), 0x803b0012);
    assertEquals(await change(changeDocument("Remove", BLOCK)), 0);
    assertEquals(await policies(), before);
    assertEquals(await change(changeDocument("Remove", BLOCK)), 0x803b0008);
    assertEquals(await change(changeDocument("Update", BLOCK)), 0);
    assertEquals((await policies()).filter(({ Type }) => Type === "ACL"), [BLOCK]);
    assertEquals(await change(changeDocument("Update", { Type: "PortMapping", Settings: {} })), 0x803b0008);
    assertEquals(await change(changeDocument("Remove", ...await policies())), 0);
    assertEquals(await policies(), []);
  },
);

changeTest("a change that fails in one policy changes none", {}, async ({ change, policies }) => {
  const before = await policies();
  assertEquals(await change(changeDocument("Add", BLOCK, ALLOW)), 0x803b0012);
  assertEquals(await policies(), before);
});

changeTest("changes that are no such are refused", {}, async ({ change, policies }) => {
  const before = await policies();
  const good = changeDocument("Add", BLOCK);
  const refused: [unknown, number][] = [
    ["", 0x803b001b],
    [{ ...good, SchemaVersion: V2.SchemaVersion }, 0x803b001b],
    [{ ...good, Settings: JSON.stringify(good["Settings"]) }, 0x803b001b],
    [{ ...good, Settings: { policies: [] } }, 0x803b001b],
    [{ ...good, ResourceType: 1 }, 0x803b001b],
    [{ ...good, ResourceType: "policy" }, 0x803b0015],
    [{ ...good, ResourceType: "Port" }, 0x803b0015],
    [{ ...good, ResourceType: "DNS" }, 0x803b0015],
    [{ ...good, RequestType: "Refresh" }, 0x803b0015],
    [changeDocument("Add", { ...BLOCK, Type: "Acl" }), 0x803b000e],
    [changeDocument("Add", aclPolicy({ Priority: undefined })), 0x803b000d],
    [changeDocument("Add", ADAPTER), 0x803b000d],
  ];
  for (const [document, hr] of refused) assertEquals(await change(document), hr, JSON.stringify(document));
  assertEquals(await policies(), before);
});

changeTest(
  "an Internal network takes no policies, but another resolver",
  { of: "Network" },
  async ({ change }) => {
    assertEquals(await change(changeDocument("Add", ADAPTER)), 0x803b000d);
    const dns = { ResourceType: "DNS", RequestType: "Update", Settings: { ServerList: ["10.200.42.1"] } };
    assertEquals(await change(dns), 0);
    assertEquals(await change({ ...dns, RequestType: "Remove" }), 0x803b0015);
    assertEquals(await change({ ...dns, Settings: { Servers: [] } }), 0x803b001b);
    assertEquals(await change({ ...dns, ResourceType: "Extension" }), 0x803b0015);
  },
);

changeTest(
  "a Transparent network is bound anew",
  { of: "Network", type: "Transparent" },
  async ({ change, policies }) => {
    assertEquals(await change(changeDocument("Remove", ADAPTER)), 0);
    assertEquals(await policies(), []);
    assertEquals(await change(changeDocument("Add", ADAPTER)), 0);
    const other = { ...ADAPTER, Settings: { NetworkAdapterName: "Wi-Fi" } };
    assertEquals(await change(changeDocument("Update", other)), 0x803b0006);
    assertEquals(await policies(), [ADAPTER]);
  },
);
