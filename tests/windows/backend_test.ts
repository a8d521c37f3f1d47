/** The backend of Windows on the rig's computenetwork.dll: what is attached, found again, and given back. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { WorkerChannel } from "../../core/backend/windows/channel.ts";
import { UnsupportedError } from "../../core/errors.ts";
import { callHcn, type HcnFunction, openComputeNetwork } from "../../ffi/computenetwork.ts";
import { waitFor } from "../support/wait_for.ts";
import { FakeLibrary } from "./support/fake_library.ts";
import { HCN_FUNCTIONS } from "./support/hcn_calls.ts";
import {
  aclPolicy,
  changeDocument,
  ENDPOINT_ID,
  endpointDocument,
  modifyDocument,
  NAMESPACE_DOCUMENT,
  NAMESPACE_ID,
  NETWORK_ID,
  networkDocument,
  V2,
} from "./support/hcn_examples.ts";
import { auditHcn } from "./support/hcn_audit.ts";
import { fakePaths } from "./support/channel_pool.ts";
import { HcnNode, leftOf } from "./support/hcn_node.ts";

const json = JSON.stringify;

Deno.test("every function of the library, through the worker; nothing is kept", async () => {
  using fake = new FakeLibrary("computenetwork.dll");
  fake.request("settle", { ms: 0 });
  const channel = new WorkerChannel(fakePaths());
  const called = new Set<string>();
  const call = async (fn: HcnFunction, more: { handle?: bigint; id?: string; text?: string } = {}) => {
    called.add(fn);
    const reply = await channel.call({ fn, ...more });
    assertEquals([reply.hresult, reply.record], [0, ""], fn);
    return reply;
  };
  const made = {
    Network: (await call("HcnCreateNetwork", { id: NETWORK_ID, text: json(networkDocument()) })).handle!,
    Namespace: (await call("HcnCreateNamespace", { id: NAMESPACE_ID, text: json(NAMESPACE_DOCUMENT) }))
      .handle!,
    Endpoint: 0n,
  };
  const endpoint = { handle: made.Network, id: ENDPOINT_ID, text: json(endpointDocument()) };
  made.Endpoint = (await call("HcnCreateEndpoint", endpoint)).handle!;
  await call("HcnModifyNamespace", { handle: made.Namespace, text: json(modifyDocument("Add")) });
  const ids = { Network: NETWORK_ID, Endpoint: ENDPOINT_ID, Namespace: NAMESPACE_ID };
  for (const kind of ["Endpoint", "Namespace", "Network"] as const) {
    const listed = await call(`HcnEnumerate${kind}s`, { text: json(V2) });
    assertStringIncludes(listed.text!.toLowerCase(), ids[kind]);
    const opened = (await call(`HcnOpen${kind}`, { id: ids[kind] })).handle!;
    const read = await call(`HcnQuery${kind}Properties`, { handle: opened, text: json(V2) });
    assertEquals(JSON.parse(read.text!).ID.toLowerCase(), ids[kind]);
    await call(`HcnClose${kind}`, { handle: opened });
  }
  const stats = JSON.parse(
    (await call("HcnQueryEndpointStats", { handle: made.Endpoint, text: json(V2) })).text!,
  );
  assertEquals([stats.EndpointID.toLowerCase(), stats.BytesSent], [ENDPOINT_ID, 0]);
  const blocked = aclPolicy({ Action: "Block", Priority: 100 });
  await call("HcnModifyEndpoint", { handle: made.Endpoint, text: json(changeDocument("Add", blocked)) });
  const endpointNow = await call("HcnQueryEndpointProperties", { handle: made.Endpoint, text: json(V2) });
  assertEquals(JSON.parse(endpointNow.text!).Policies.at(-1), blocked);
  const dns = { ResourceType: "DNS", RequestType: "Update", Settings: { ServerList: ["10.200.42.1"] } };
  await call("HcnModifyNetwork", { handle: made.Network, text: json(dns) });
  const networkNow = await call("HcnQueryNetworkProperties", { handle: made.Network, text: json(V2) });
  assertEquals(JSON.parse(networkNow.text!).Dns, { ServerList: ["10.200.42.1"] });
  await call("HcnModifyNamespace", { handle: made.Namespace, text: json(modifyDocument("Remove")) });
  for (const kind of ["Endpoint", "Namespace", "Network"] as const) {
    await call(`HcnClose${kind}`, { handle: made[kind] });
    await call(`HcnDelete${kind}`, { id: ids[kind] });
    const gone = await channel.call({ fn: `HcnOpen${kind}`, id: ids[kind] });
    assert(gone.hresult !== 0 && gone.handle === 0n && gone.record !== "", kind);
  }
  channel.close();
  assertEquals([...called].sort(), Object.keys(HCN_FUNCTIONS).sort());
  fake.assertClean();
});

Deno.test("a string that is not freed and a handle that is not closed are seen (negative control)", async () => {
  using fake = new FakeLibrary("computenetwork.dll");
  const library = openComputeNetwork(fakePaths());
  const leaky = { ...library, freeText: () => {} };
  await callHcn(leaky, { fn: "HcnEnumerateNetworks", text: json(V2) });
  await callHcn(library, { fn: "HcnCreateNamespace", id: NAMESPACE_ID, text: json(NAMESPACE_DOCUMENT) });
  const { stringsKept, handlesOpen } = fake.counters();
  assertEquals([stringsKept, handlesOpen], [1, 1]);
  fake.reset();
});

Deno.test("attach, detach by id and by namespace, dedicated service, restarts: records and HNS agree", async () => {
  await using node = await HcnNode.start();
  const a = await node.attach("c1", "10.200.0.5");
  const b = await node.attach("c2");
  assertEquals(auditHcn(node), []);
  const { name } = await node.engine.setupServiceOverlay("db", "dedicated");
  assertEquals(name, "zlayer-overlay-svc-db");
  const c = await node.attach("c3", undefined, "db");
  assertEquals(auditHcn(node), []);
  await node.restart();
  assertEquals(auditHcn(node), []);
  assertEquals(await node.attach("c1", "10.200.0.5"), a, "an attach again finds what is there");
  await node.detach(b.namespaceGuid!);
  await node.detach("c3");
  await node.restart();
  assertEquals(node.state().endpoints.map(({ ip }) => ip), [a.ip]);
  assertEquals(c.kind, "attached");
  await node.engine.teardownServiceOverlay("db");
  await node.detach("c1");
  await node.detach("c1");
  assertEquals(node.state().endpoints, []);
  assertEquals(auditHcn(node), []);
});

Deno.test("an endpoint, a namespace and a network that nobody knows are seen (negative control)", async () => {
  await using node = await HcnNode.start();
  await node.attach("c1", "10.200.0.5");
  const stray = crypto.randomUUID();
  node.fake.request("put", { kind: "namespace", object: { id: stray, document: NAMESPACE_DOCUMENT } });
  const network = networkDocument({ Name: "zlayer-overlay-svc-gone" });
  node.fake.request("put", { kind: "network", object: { id: NETWORK_ID, document: network } });
  const endpoint = { id: ENDPOINT_ID, network: NETWORK_ID, ip: "10.200.42.5", document: endpointDocument() };
  node.fake.request("put", { kind: "endpoint", object: endpoint });
  assertEquals(auditHcn(node), [
    `endpoints: ${ENDPOINT_ID} leaked`,
    `namespaces: ${stray} leaked`,
    "network zlayer-overlay-svc-gone leaked",
  ]);
});

Deno.test("everything goes at the end when that is asked for, and the marker with it", async () => {
  await using node = await HcnNode.start();
  await node.attach("c1");
  await node.engine.setupServiceOverlay("db", "dedicated");
  await node.attach("c2", undefined, "db");
  const { containers } = node.backend;
  await node.engine.removeAll();
  assertEquals(await containers.purge("zlayer"), []);
  const { networks, endpoints, namespaces } = node.state();
  assertEquals([networks.length, endpoints.length, namespaces.length], [0, 0, 1]);
  assertEquals(leftOf(node.fake), []);
});

Deno.test("what only Linux has is refused in words; a service's network is a name", async () => {
  await using node = await HcnNode.start();
  const { backend } = node;
  for (
    const ask of [
      () => backend.identify(4),
      () => backend.attachContainer(),
      () => backend.mendContainerLink(),
    ]
  ) {
    await assertRejects(ask, UnsupportedError, "only supported on Linux");
  }
  await backend.removeContainerLinks();
  const before = node.fake.calls().length;
  const shared = await node.engine.setupServiceOverlay("web", "shared");
  assertEquals(node.fake.calls().length, before, "no HCN object for a shared service");
  assertEquals(
    (await backend.inventory()).some(({ name, kind }) => name === shared.name && kind === "bridge"),
    true,
  );
  await node.engine.teardownServiceOverlay("web");
  assertEquals((await backend.inventory()).some(({ kind }) => kind === "bridge"), false);
  await assertRejects(
    () =>
      node.engine.attachContainer({
        handle: { platform: "linux_pid", pid: 4 },
        service: "web",
        joinGlobal: false,
      }),
    UnsupportedError,
    "only supported on Linux",
  );
});

Deno.test("an endpoint that the regular look at everything reads is not deleted under it", async () => {
  await using node = await HcnNode.start();
  await node.attach("c1", "10.200.0.5");
  node.fake.script({ function: "HcnQueryEndpointProperties", action: "hang" });
  const sweep = node.engine.sweepContainers();
  await waitFor("the look hangs", () => node.fake.counters().hanging === 1);
  const before = node.fake.calls().length;
  const detach = node.detach("c1");
  await waitFor(
    "the detach comes to the endpoint",
    () => node.fake.calls().slice(before).includes("HcnModifyNamespace"),
  );
  node.fake.request("release");
  await Promise.all([sweep, detach]);
  assertEquals(auditHcn(node), []);
});
