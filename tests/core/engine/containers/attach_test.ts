/** Attaching: the calls in their order, addresses, undo of what failed, asking again. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  AlreadyExistsError,
  DeadlineError,
  InvalidConfigError,
  PreconditionError,
} from "../../../../core/errors.ts";
import { join } from "@std/path";
import { ContainerRig, guid, SLICE } from "../../../support/container_rig.ts";
import type { Doc } from "../../../support/fake_hcn/documents.ts";
import type { Fault } from "../../../support/fake_hcn/library.ts";

/** A node whose base network is there and known. */
async function withNetwork(prepare?: (rig: ContainerRig) => void): Promise<ContainerRig> {
  const rig = await ContainerRig.start(SLICE, prepare);
  await rig.attach("first", "10.200.0.14");
  await rig.detach("first");
  rig.node.clock.advance(20_000);
  await rig.settled();
  return rig;
}

/** What is left in HCN besides the base network and the system's namespace. */
function left(rig: ContainerRig): string[] {
  return [...rig.hns.endpoints.keys(), ...rig.hns.namespaces.keys()].slice(0, -1);
}

const refusal = (hresult: number): Fault => ({ hresult: hresult | 0, record: '{"Error":"because"}' });

Deno.test("attach makes namespace and endpoint, joins them and looks at the result [windows T40]", async () => {
  await using rig = await withNetwork();
  const reply = await rig.attach("c1", "10.200.0.5");
  const calls = [...rig.library.calls];
  assertEquals(rig.library.taken(), [
    "CreateNamespace",
    "QueryNamespaceProperties",
    "OpenNetwork",
    "CreateEndpoint",
    "ModifyNamespace",
    "QueryEndpointProperties",
  ]);
  const [endpoint] = [...rig.hns.endpoints.values()];
  assertEquals([endpoint!.name, endpoint!.ip, endpoint!.length], ["zlayer-c1", "10.200.0.5", 28]);
  assertEquals(endpoint!.doc.HostComputeNetwork, rig.networks[0]!.id);
  assertEquals(endpoint!.namespace, reply.namespaceGuid);
  assertEquals(reply, { kind: "attached", ip: "10.200.0.5", namespaceGuid: endpoint!.namespace! });
  assertEquals(reply.namespaceGuid, reply.namespaceGuid!.toLowerCase());
  assertEquals(JSON.parse(calls.find(({ name }) => name === "CreateNamespace")!.text!).Type, "Host");
  const { detail } = await rig.engine.status(true);
  const row = {
    handle: "container:c1",
    service: "web",
    ip: "10.200.0.5",
    hostLinks: [],
    namespace: endpoint!.namespace!,
    endpoint: endpoint!.id,
    state: "ready",
  } as const;
  assertEquals(detail!.attachments, [row]);
  assertEquals(detail!.containers, { kind: "hcn" });
});

Deno.test("the namespace's id is the one that HCN gave [windows T41]", async () => {
  await using rig = await withNetwork();
  rig.hns.namespaceIds.push(guid(9));
  const { namespaceGuid } = await rig.attach("c1");
  assertEquals(namespaceGuid, guid(9));
  assertEquals([...rig.hns.endpoints.values()][0]!.namespace, guid(9));
  await rig.detach(guid(9));
  assertEquals(left(rig), []);
});

Deno.test("a namespace that HCN renamed is undone by its real id [windows T41]", async () => {
  await using rig = await withNetwork();
  rig.hns.namespaceIds.push(guid(9));
  rig.library.next("CreateEndpoint", refusal(0x803b001e));
  await assertRejects(() => rig.attach("c1"));
  assertEquals(left(rig), []);
});

Deno.test("a namespace that HCN renamed is found again when it could not be undone [windows T41]", async () => {
  await using rig = await withNetwork();
  rig.hns.namespaceIds.push(guid(9));
  rig.library.next("CreateEndpoint", refusal(0x803b001e));
  rig.library.next("DeleteNamespace", refusal(0x80070005));
  await assertRejects(() => rig.attach("c1"));
  assert(rig.hns.namespaces.has(guid(9)));
  await rig.settled();
  assert(!rig.hns.namespaces.has(guid(9)));
});

Deno.test("a namespace that cannot be queried has the id that was asked for", async () => {
  await using rig = await withNetwork();
  rig.library.next("QueryNamespaceProperties", refusal(0x803b001b));
  const { namespaceGuid } = await rig.attach("c1");
  assert(rig.hns.namespaces.has(namespaceGuid!));
});

Deno.test("without a wanted address one of the slice is given [windows T42]", async () => {
  await using rig = await ContainerRig.start();
  const ips = new Set<string>();
  for (let i = 0; i < 13; i++) ips.add((await rig.attach(`c${i}`)).ip);
  assertEquals(ips.size, 13);
  const { nodeIp } = await rig.engine.status(false);
  for (const never of ["10.200.0.0", "10.200.0.1", "10.200.0.15", nodeIp!]) assert(!ips.has(never), never);
  await assertRejects(() => rig.attach("one too many"));
  await assertRejects(() => rig.attach("one-too-many"), Error, "exhausted");
  assertEquals(rig.hns.endpoints.size, 13);
});

Deno.test("a wanted address is taken where it can be had, else another one [windows T42]", async (t) => {
  await using rig = await withNetwork();
  const rows = [
    { name: "free", id: "c1", ip: "10.200.0.5", want: "10.200.0.5" },
    { name: "in use", id: "c2", ip: "10.200.0.5", want: "10.200.0.14" },
    {
      name: "the gateway, which the caller's own pool begins with",
      id: "c3",
      ip: "10.200.0.1",
      want: "10.200.0.2",
    },
    { name: "the network's own", id: "c4", ip: "10.200.0.0", want: "10.200.0.3" },
    { name: "broadcast", id: "c5", ip: "10.200.0.15", want: "10.200.0.4" },
  ];
  for (const { name, id, ip, want } of rows) {
    await t.step(name, async () => assertEquals((await rig.attach(id, ip)).ip, want));
  }
});

Deno.test("the gateway is no container's, also when the node has another address [windows T42]", async () => {
  await using rig = await ContainerRig.start(null);
  const config = { cidr: "10.200.0.0/16", node_ip: "10.200.0.3", slice_cidr: SLICE };
  Deno.writeTextFileSync(
    join(rig.node.dataDir, "overlay_bootstrap.json"),
    JSON.stringify({ config, peers: [] }),
  );
  await rig.setUp(SLICE);
  assertEquals((await rig.engine.status(false)).nodeIp, "10.200.0.3");
  assertEquals((await rig.attach("c1")).ip, "10.200.0.2");
  assertEquals((await rig.attach("c2", "10.200.0.1")).ip, "10.200.0.4");
});

Deno.test("an address of no pool is HCN's to judge, and never enters one [windows T60]", async () => {
  await using rig = await withNetwork();
  const error = await assertRejects(() => rig.attach("c1", "10.200.77.5"));
  assertStringIncludes((error as Error).message, "10.200.77.5");
  assertStringIncludes((error as Error).message, SLICE);
  assertEquals(rig.store.leases.has("10.200.77.5"), false);
  assertEquals(left(rig), []);
});

Deno.test("what cannot be is refused before HCN is asked [windows T43]", async (t) => {
  await t.step("no slice", async () => {
    await using rig = await ContainerRig.start(null);
    await assertRejects(() => rig.attach("c1"), PreconditionError, "no node slice assigned yet");
    await rig.setUp(undefined);
    const error = await assertRejects(() => rig.attach("c1"), PreconditionError);
    assert(error.message.startsWith("no node slice assigned yet"));
    assertEquals(rig.library.taken(), []);
  });
  await t.step("bad names and addresses", async () => {
    await using rig = await ContainerRig.start();
    await assertRejects(() => rig.attach("a/b"), InvalidConfigError, "container_id");
    await assertRejects(
      () => rig.attach("c1", "10.200.0"),
      InvalidConfigError,
      "invalid IP address 10.200.0",
    );
    await assertRejects(() => rig.attach("c1", undefined, { service: "" }), InvalidConfigError, "service");
    await assertRejects(
      () => rig.attach("c1", undefined, { dnsDomain: "a b" }),
      InvalidConfigError,
      "dns_domain",
    );
    assertEquals(rig.library.taken(), []);
  });
});

Deno.test("a namespace that cannot be made costs nothing [windows T44]", async () => {
  await using rig = await withNetwork();
  rig.library.next("CreateNamespace", refusal(0x80070005));
  await assertRejects(() => rig.attach("c1", "10.200.0.5"), Error, "because");
  assertEquals(rig.library.taken(), ["CreateNamespace"]);
  assertEquals([rig.leased(), rig.store.containerEndpoints.size], [[], 0]);
  assertEquals((await rig.attach("c2", "10.200.0.5")).ip, "10.200.0.5", "the address is free again");
});

Deno.test("an endpoint that cannot be made takes its namespace along [windows T45]", async (t) => {
  const rows = [
    { call: "CreateEndpoint", hresult: 0x803b000d, text: "OutBoundNAT" },
    { call: "CreateEndpoint", hresult: 0x803b000e, text: "policies" },
    { call: "CreateEndpoint", hresult: 0x803b0037, text: "policies" },
    {
      call: "CreateEndpoint",
      hresult: 0x803b001e,
      text: "10.200.0.5/28 on network zlayer-overlay (10.200.0.0/28)",
    },
    { call: "OpenNetwork", hresult: 0x80070005, text: "HcnOpenNetwork: 0x80070005" },
  ];
  for (const { call, hresult, text } of rows) {
    await t.step(`${call} ${hresult.toString(16)}`, async () => {
      await using rig = await withNetwork();
      rig.library.next(call, refusal(hresult));
      const error = await assertRejects(() => rig.attach("c1", "10.200.0.5"));
      assertStringIncludes((error as Error).message, text);
      const calls = rig.library.calls.map(({ name }) => name);
      assert(calls.indexOf("CloseNamespace") < calls.indexOf("DeleteNamespace"), calls.join());
      assertEquals([left(rig), rig.leased(), rig.store.containerEndpoints.size], [[], [], 0]);
    });
  }
});

Deno.test("an endpoint that cannot be joined goes, then its namespace [windows T46]", async () => {
  await using rig = await withNetwork();
  rig.library.next("ModifyNamespace", refusal(0x803b002e));
  await assertRejects(() => rig.attach("c1", "10.200.0.5"), Error, "HCN_E_NAMESPACE_ATTACH_FAILED");
  assertEquals(rig.library.taken().slice(-2), ["DeleteEndpoint", "DeleteNamespace"]);
  assertEquals([left(rig), rig.leased()], [[], []]);
});

Deno.test("the first error is told even when undoing fails too, and the rest is done later [windows T46]", async () => {
  await using rig = await withNetwork();
  rig.library.next("ModifyNamespace", refusal(0x803b002e));
  rig.library.next("DeleteEndpoint", refusal(0x80070005));
  await assertRejects(() => rig.attach("c1", "10.200.0.5"), Error, "HCN_E_NAMESPACE_ATTACH_FAILED");
  assertEquals(left(rig).length, 1, "the endpoint");
  assertEquals(rig.leased().length, 1, "its address is not given to another");
  const { detail } = await rig.engine.status(true);
  assertEquals(detail!.pending, ["removing container:c1"]);
  assertStringIncludes(detail!.attachments[0]!.problem!, "HCN_E_NAMESPACE_ATTACH_FAILED");
  await rig.settled();
  assertEquals([left(rig), rig.leased(), rig.store.containerEndpoints.size], [[], [], 0]);
});

Deno.test("addresses of a fresh network take their time, and nobody waits meanwhile [windows T47]", async () => {
  await using rig = await ContainerRig.start();
  rig.hns.settleMs = 250;
  let isDone = false;
  const attach = rig.attach("c1").finally(() => isDone = true);
  await rig.engine.status(true);
  assert(!isDone, "the attach still waits");
  await rig.drive(attach, 50);
  assertEquals(rig.hns.endpoints.size, 1);
  assert(rig.library.taken().filter((name) => name === "CreateEndpoint").length > 2);
});

Deno.test("addresses that never come are an error in the end [windows T48]", async () => {
  await using rig = await ContainerRig.start();
  rig.hns.settleMs = Infinity;
  const start = rig.node.clock.monotonicMs();
  await assertRejects(() => rig.drive(rig.attach("c1"), 50), Error, "HCN_E_ADDR_INVALID_OR_RESERVED");
  const tookMs = rig.node.clock.monotonicMs() - start;
  assert(tookMs > 4000 && tookMs <= 6000, `${tookMs} ms`);
  assertEquals([left(rig), rig.leased()], [[], []]);
});

Deno.test("an address refused by a network that is not fresh is refused at once [windows T49]", async () => {
  await using rig = await withNetwork();
  rig.library.next("CreateEndpoint", refusal(0x803b002f));
  await assertRejects(() => rig.attach("c1"), Error, "HCN_E_ADDR_INVALID_OR_RESERVED");
  assertEquals(rig.library.taken().filter((name) => name === "CreateEndpoint").length, 1);
});

Deno.test("a network of this daemon's making is fresh for ten seconds [windows T49]", async () => {
  await using rig = await ContainerRig.start();
  await rig.attach("c1");
  rig.node.clock.advance(9_900);
  rig.library.next("CreateEndpoint", refusal(0x803b002f));
  await rig.drive(rig.attach("c2"));
  rig.library.next("CreateEndpoint", refusal(0x803b002f));
  await assertRejects(() => rig.attach("c3"), Error, "HCN_E_ADDR_INVALID_OR_RESERVED");
});

Deno.test("an endpoint with another address than ours is no success [windows T50]", async () => {
  await using rig = await withNetwork();
  rig.hns.addresses.push("10.200.0.9");
  const error = await assertRejects(() => rig.attach("c1", "10.200.0.5"));
  assertStringIncludes((error as Error).message, "address 10.200.0.9 instead of 10.200.0.5");
  assertEquals([left(rig), rig.leased()], [[], []]);
});

Deno.test("attaching again gives the same place; one that vanished is made anew [windows T51]", async () => {
  await using rig = await withNetwork();
  const first = await rig.attach("c1", "10.200.0.5");
  rig.library.taken();
  assertEquals(await rig.attach("c1", "10.200.0.5"), first);
  assertEquals(await rig.attach("c1", "10.200.0.6"), first, "whatever address is wanted now");
  assert(!rig.library.taken().some((name) => /^(Create|Modify|Delete)/.test(name)));
  rig.hns.endpoints.clear();
  const second = await rig.attach("c1", "10.200.0.5");
  assertEquals([second.ip, second.namespaceGuid === first.namespaceGuid], ["10.200.0.5", false]);
  assertEquals(left(rig).length, 2);
  assertEquals(rig.leased(), ["10.200.0.5 node"]);
  await assertRejects(
    () => rig.attach("c1", undefined, { service: "db" }),
    AlreadyExistsError,
    "service web",
  );
});

Deno.test("resolver and domain are remembered for those that name none [windows T52]", async () => {
  await using rig = await withNetwork();
  const dnsOf = (name: string): unknown =>
    [...rig.hns.endpoints.values()].find((one) => one.name === name)!.doc.Dns;
  await rig.attach("c0");
  assertEquals(dnsOf("zlayer-c0"), undefined);
  await rig.attach("c1", undefined, { dnsServer: "10.200.0.1", dnsDomain: "overlay.local" });
  await rig.attach("c2");
  const want = { Domain: "overlay.local", Search: ["overlay.local"], ServerList: ["10.200.0.1"] };
  assertEquals([dnsOf("zlayer-c1"), dnsOf("zlayer-c2")], [want, want]);
  await rig.attach("c3", undefined, { dnsServer: "10.200.0.9" });
  assertEquals(dnsOf("zlayer-c3"), { ...want, ServerList: ["10.200.0.9"] });
});

Deno.test("an endpoint that is in the namespace already is fine, in another it is not [windows T46]", async (t) => {
  await t.step("the answer to the first request was lost", async () => {
    await using rig = await withNetwork();
    rig.library.next("ModifyNamespace", { hresult: 0x800706be | 0, isDone: true });
    const { namespaceGuid } = await rig.drive(rig.attach("c1"));
    assertEquals([...rig.hns.endpoints.values()][0]!.namespace, namespaceGuid);
  });
  await t.step("somebody else took it", async () => {
    await using rig = await withNetwork();
    rig.library.onCall = ({ name }, _index, when) => {
      if (name === "ModifyNamespace" && when === "before") {
        [...rig.hns.endpoints.values()][0]!.namespace ??= guid(5);
      }
    };
    await assertRejects(
      () => rig.attach("c1"),
      AlreadyExistsError,
      "HCN_E_ENDPOINT_NAMESPACE_ALREADY_EXISTS",
    );
    assertEquals(left(rig), []);
  });
});

Deno.test("a service that is just restarting is asked three times [windows T57]", async () => {
  await using rig = await withNetwork();
  const gone = { hresult: 0x800706ba | 0 };
  rig.library.next("CreateNamespace", gone, gone);
  await rig.drive(rig.attach("c1"));
  rig.library.next("CreateNamespace", gone, gone, gone);
  await assertRejects(() => rig.drive(rig.attach("c2")), Error, "restarting");
  assertEquals(rig.hns.namespaces.size, 2);
  assertEquals(rig.leased().length, 1);
});

Deno.test("a record beside a success is freed and logged [windows T15]", async () => {
  await using rig = await withNetwork();
  rig.library.next("CreateEndpoint", { record: '{"Success":true}' });
  await rig.attach("c1");
  assert(rig.node.log.records.some(({ fields }) => fields?.record === '{"Success":true}'));
});

Deno.test("a success without a handle is an error", async () => {
  await using rig = await withNetwork();
  rig.library.next("CreateNamespace", { hresult: 0 });
  await assertRejects(() => rig.attach("c1"), Error, "HcnCreateNamespace gave no handle");
  assertEquals([left(rig), rig.leased()], [[], []]);
});

Deno.test("attaches at the same time get addresses of their own, whatever they want", async () => {
  await using rig = await withNetwork();
  const wants = ["10.200.0.5", "10.200.0.5", undefined, "10.200.0.14"];
  const ips = await Promise.all(wants.map(async (ip, i) => (await rig.attach(`c${i}`, ip)).ip));
  assertEquals(new Set(ips).size, wants.length, ips.join());
  assertEquals(ips[0], "10.200.0.5");
  assertEquals(rig.leased().length, wants.length);
});

Deno.test("attaches at the same time have each their own resolver [windows T52]", async () => {
  await using rig = await withNetwork();
  const names = ["a.local", "b.local", "c.local"];
  await Promise.all(names.map((dnsDomain, i) => rig.attach(`c${i}`, undefined, { dnsDomain })));
  const domains = [...rig.hns.endpoints.values()].map(({ name, doc }) => [name, (doc.Dns as Doc).Domain]);
  assertEquals(Object.fromEntries(domains), {
    "zlayer-c0": "a.local",
    "zlayer-c1": "b.local",
    "zlayer-c2": "c.local",
  });
});

Deno.test("an attach that had to wait for an earlier one's end has no more time than others", async () => {
  await using rig = await withNetwork();
  const { namespaceGuid } = await rig.attach("c1");
  const slow = (): Fault => ({
    until: new Promise((resolve) => void rig.node.clock.after(14_000, () => resolve())),
  });
  let slowCalls = 0;
  rig.library.onCall = ({ name }, _index, when) => {
    if (when === "before" && /^(Modify|Delete)/.test(name) && ++slowCalls <= 2) return slow();
  };
  const detach = rig.detach(namespaceGuid!);
  const late = assertRejects(() => rig.attach("c1"), DeadlineError, "container c1 was not attached in time");
  await rig.drive(Promise.all([detach, late]), 500);
  assertEquals([left(rig), rig.leased(), rig.store.containerEndpoints.size], [[], [], 0]);
});
