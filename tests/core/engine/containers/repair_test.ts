/** What was deleted from outside is made again, as it was; what cannot be is told, with what to do. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { MarkerEntry } from "../../../../core/marker.ts";
import type { ContainerEndpointRecord } from "../../../../core/state/records.ts";
import { BASE, ContainerRig, guid, SLICE, tick } from "../../../support/container_rig.ts";
import { HOST_DEFAULT } from "../../../support/fake_hcn/service.ts";

const DENIED = { hresult: 0x80070005 | 0 };

function recordOf(rig: ContainerRig, containerId: string): ContainerEndpointRecord {
  return [...rig.store.containerEndpoints.values()].find((one) => one.containerId === containerId)!;
}

/** State and problem of each container. */
async function states(rig: ContainerRig): Promise<Record<string, string>> {
  const { detail } = await rig.engine.status(true);
  return Object.fromEntries(
    detail!.attachments.map(({ handle, state, problem }) => [handle, problem ?? state]),
  );
}

/** The problem that status tells of HCN as a whole. */
async function trouble(rig: ContainerRig): Promise<string | undefined> {
  return (await rig.engine.status(true)).detail!.containers!.problem;
}

/** Times of the calls of a function while the clock goes on. */
async function timesOf(rig: ContainerRig, name: string, ms: number): Promise<number[]> {
  const { clock } = rig.node;
  const start = clock.monotonicMs();
  const times: number[] = [];
  rig.library.onCall = (call, _index, when) => {
    if (call.name === name && when === "before") times.push((clock.monotonicMs() - start) / 1000);
  };
  await rig.drive(new Promise<void>((resolve) => void clock.after(ms, resolve)), 1000);
  await rig.settled();
  rig.library.onCall = () => {};
  return times;
}

/** A node with two containers. */
async function withContainers(): Promise<ContainerRig> {
  const rig = await ContainerRig.start();
  await rig.attach("bystander", "10.200.0.9");
  await rig.attach("c1", "10.200.0.5", { dnsServer: "10.200.0.1", dnsDomain: "overlay.local" });
  rig.library.calls.length = 0;
  return rig;
}

Deno.test("an endpoint that was deleted is made again as it was, in the same namespace, within 30 s", async () => {
  await using rig = await withContainers();
  const record = recordOf(rig, "c1");
  const before = rig.hns.endpoints.get(record.endpoint)!;
  await rig.attach("later", undefined, { dnsServer: "10.200.0.2" });
  rig.hns.endpoints.delete(record.endpoint);
  assertEquals(await timesOf(rig, "CreateEndpoint", 31_000), [30]);
  const after = rig.hns.endpoints.get(record.endpoint)!;
  assertEquals(after, { ...before, doc: { ...before.doc, MacAddress: before.mac } });
  assertEquals(recordOf(rig, "c1"), record);
  assertEquals([...new Set(Object.values(await states(rig)))], ["ready"]);
  assertEquals(await rig.attach("c1"), {
    kind: "attached",
    ip: "10.200.0.5",
    namespaceGuid: record.namespace,
  });
});

Deno.test("an endpoint that was taken out of its namespace is put back by the sweep", async () => {
  await using rig = await withContainers();
  const { endpoint, namespace } = recordOf(rig, "c1");
  delete rig.hns.endpoints.get(endpoint)!.namespace;
  await rig.engine.sweepContainers();
  assertEquals(rig.hns.endpoints.get(endpoint)!.namespace, namespace);
  assert(!rig.library.taken().includes("CreateEndpoint"));
});

Deno.test("where HCN does not take the former hardware address, the endpoint has another one", async () => {
  await using rig = await withContainers();
  const { endpoint, namespace, mac } = recordOf(rig, "c1");
  assert(mac !== undefined);
  rig.hns.endpoints.delete(endpoint);
  rig.hns.refusesMacs = true;
  await rig.settled();
  const made = rig.hns.endpoints.get(endpoint)!;
  assertEquals([made.ip, made.namespace, made.mac === mac], ["10.200.0.5", namespace, false]);
});

Deno.test("a namespace is not made again: status says what to do, and an attach heals it", async () => {
  await using rig = await withContainers();
  const { endpoint, namespace } = recordOf(rig, "c1");
  rig.hns.namespaces.delete(namespace);
  delete rig.hns.endpoints.get(endpoint)!.namespace;
  for (let pass = 0; pass < 3; pass++) {
    await rig.drive(rig.engine.sweepContainers());
    const { "container:c1": problem } = await states(rig);
    assertStringIncludes(problem!, `its namespace ${namespace} is gone`);
    assertStringIncludes(problem!, "attach it again and start it");
    assert(!rig.library.taken().some((name) => /^Create/.test(name)));
  }
  const reply = await rig.attach("c1", "10.200.0.5");
  assertEquals([reply.ip, reply.namespaceGuid === namespace], ["10.200.0.5", false]);
  assertEquals((await states(rig))["container:c1"], "ready");
  assertEquals(rig.hns.endpoints.size, 2);
});

Deno.test("a repair that fails is told and tried again, ever less often, until it works", async () => {
  await using rig = await withContainers();
  const record = recordOf(rig, "c1");
  rig.hns.endpoints.delete(record.endpoint);
  rig.library.next("CreateEndpoint", ...Array.from({ length: 6 }, () => DENIED));
  const times = await timesOf(rig, "CreateEndpoint", 1_000_000);
  assertEquals(times, [30, 60, 120, 240, 480, 960]);
  assertStringIncludes((await states(rig))["container:c1"]!, "access denied");
  assertEquals((await states(rig))["container:bystander"], "ready");
  assertEquals(recordOf(rig, "c1"), record);
  assertEquals(await timesOf(rig, "CreateEndpoint", 1_300_000), [560]);
  assertEquals((await states(rig))["container:c1"], "ready");
});

Deno.test("nothing is asked of a service that hangs; when it is back, what is missing is made at once", async () => {
  await using rig = await withContainers();
  const { endpoint, namespace } = recordOf(rig, "c1");
  rig.hns.endpoints.delete(endpoint);
  rig.library.next("CreateEndpoint", ...Array.from({ length: 5 }, () => DENIED));
  assertEquals((await timesOf(rig, "CreateEndpoint", 490_000)).length, 5);
  assert((await states(rig))["container:c1"] !== "ready");
  const hung = Promise.withResolvers<void>();
  rig.library.onCall = ({ name }) => name === "EnumerateNetworks" ? { until: hung.promise } : undefined;
  const until = async (isSo: () => boolean): Promise<void> => {
    for (let i = 0; i < 400 && !isSo(); i++) await moment(rig);
    assert(isSo());
  };
  await until(() => rig.containers.trouble !== undefined);
  rig.library.taken();
  rig.node.log.records.length = 0;
  for (let i = 0; i < 120; i++) await moment(rig);
  assertEquals(rig.node.log.records.filter(({ message }) => message.startsWith("a pass")), []);
  assertEquals(rig.library.taken().filter((name) => name !== "EnumerateNetworks"), [], "probes alone");
  hung.resolve();
  rig.library.onCall = () => {};
  const start = rig.node.clock.monotonicMs();
  await until(() => rig.hns.endpoints.get(endpoint)?.namespace === namespace);
  assert(rig.node.clock.monotonicMs() - start < 2000);
  await rig.settled();
  assertEquals((await states(rig))["container:c1"], "ready");
});

/** A moment of the clock. */
async function moment(rig: ContainerRig): Promise<void> {
  rig.node.clock.advance(500);
  await tick();
}

Deno.test("a base network that is gone is made again under its id, with the endpoints that were on it", async () => {
  await using rig = await withContainers();
  const [network] = [...rig.hns.networks.values()];
  const marked = rig.networks;
  const ids = [...rig.hns.endpoints.keys()].sort();
  rig.hns.networks.clear();
  rig.hns.endpoints.clear();
  rig.hns.settleMs = 1500;
  await rig.settled();
  const [made] = [...rig.hns.networks.values()];
  assertEquals([made!.id, made!.name, made!.subnet], [network!.id, BASE, SLICE]);
  assertEquals([...rig.hns.endpoints.keys()].sort(), ids);
  assertEquals(rig.networks, marked);
  assertEquals(await states(rig), { "container:bystander": "ready", "container:c1": "ready" });
});

Deno.test("an id that HCN does not take again is replaced, in the marker too", async () => {
  await using rig = await withContainers();
  const [network] = [...rig.hns.networks.keys()];
  rig.hns.networks.clear();
  rig.hns.endpoints.clear();
  rig.library.next("CreateNetwork", { hresult: 0x80070057 | 0 });
  await rig.settled();
  const [made] = [...rig.hns.networks.keys()];
  assertEquals([rig.networks.map(({ id }) => id), made === network], [[made!], false]);
  assertEquals((await states(rig))["container:c1"], "ready");
});

Deno.test("the network of a dedicated service is made again, its marker entry as it was", async () => {
  await using rig = await ContainerRig.start();
  await rig.engine.setupServiceOverlay("db", "dedicated");
  const entry = (): MarkerEntry => rig.networks.find(({ owner }) => owner === "service:db")!;
  const before = entry();
  assert(before.wg_private_key !== undefined);
  rig.hns.networks.clear();
  await rig.settled();
  assertEquals([...rig.hns.networks.keys()], [before.id]);
  assertEquals(entry(), before);
  const { ip } = await rig.attach("c1", undefined, { service: "db" });
  const record = recordOf(rig, "c1");
  rig.hns.networks.clear();
  rig.hns.endpoints.clear();
  await rig.settled();
  assertEquals([...rig.hns.networks.keys()], [before.id]);
  assertEquals(rig.hns.endpoints.get(record.endpoint)!.ip, ip);
});

Deno.test("a network that cannot be made again is told of until it can", async () => {
  await using rig = await ContainerRig.start();
  await rig.engine.setupServiceOverlay("db", "dedicated");
  rig.hns.networks.clear();
  rig.library.next("CreateNetwork", DENIED, DENIED);
  assertEquals(await timesOf(rig, "CreateNetwork", 61_000), [30, 60]);
  assertStringIncludes((await trouble(rig))!, `HCN network ${BASE}-svc-db was removed from outside`);
  assertStringIncludes((await trouble(rig))!, "access denied");
  assertEquals(await timesOf(rig, "CreateNetwork", 100_000), [59]);
  assertEquals(await trouble(rig), undefined);
});

Deno.test("a look that fails is told of until one works, or nothing is left to look for", async () => {
  await using rig = await withContainers();
  const fails = (): void => rig.library.next("EnumerateNamespaces", DENIED);
  fails();
  await rig.settled();
  assertStringIncludes(
    (await trouble(rig))!,
    "containers cannot be looked after: cannot list HCN namespaces",
  );
  fails();
  await rig.settled();
  const told = rig.node.log.records.filter(({ message }) => message === "cannot look after the containers");
  assertEquals(told.length, 1, "the log is told once");
  await rig.settled();
  assertEquals(await trouble(rig), undefined);
  fails();
  await rig.settled();
  for (const id of ["c1", "bystander"]) await rig.detach(id);
  await rig.settled();
  assertEquals(await trouble(rig), undefined);
});

Deno.test("a network that a teardown is removing is not made again", async () => {
  await using rig = await ContainerRig.start();
  await rig.engine.setupServiceOverlay("db", "dedicated");
  const held = Promise.withResolvers<void>();
  rig.library.next("DeleteNetwork", { until: held.promise });
  const teardown = rig.engine.teardownServiceOverlay("db");
  for (let i = 0; i < 20; i++) await tick();
  rig.hns.networks.clear();
  let isOver = false;
  void rig.engine.sweepContainers().then(() => isOver = true);
  for (let i = 0; i < 50 && !isOver; i++) await tick();
  assert(isOver, "and the look does not wait for the teardown");
  held.resolve();
  await rig.drive(teardown);
  assertEquals([rig.hns.networks.size, rig.store.services.size], [0, 0]);
});

Deno.test("a container that is being detached is not mended", async () => {
  await using rig = await withContainers();
  const { endpoint } = recordOf(rig, "c1");
  const held = Promise.withResolvers<void>();
  rig.library.next("DeleteNamespace", { until: held.promise });
  const detach = rig.detach("c1");
  for (let i = 0; i < 50 && rig.hns.endpoints.has(endpoint); i++) await tick();
  assert(!rig.hns.endpoints.has(endpoint));
  const look = rig.engine.sweepContainers();
  for (let i = 0; i < 20; i++) await tick();
  assertEquals(rig.hns.endpoints.has(endpoint), false);
  held.resolve();
  await rig.drive(Promise.all([detach, look]));
  assertEquals([rig.hns.endpoints.has(endpoint), recordOf(rig, "c1")], [false, undefined]);
});

Deno.test("the system's namespace is not changed to mend what was in it [windows T72]", async () => {
  await using rig = await ContainerRig.start(SLICE, (rig) => {
    rig.hns.plant.network(guid(1), BASE, "Internal", SLICE);
    rig.hns.plant.endpoint(guid(2), "zlayer-e", guid(1), { ip: "10.200.0.11", namespace: HOST_DEFAULT });
  });
  rig.hns.endpoints.delete(guid(2));
  await rig.drive(rig.engine.sweepContainers());
  assertEquals(rig.library.taken().filter((name) => /^(Modify|Create)/.test(name)), []);
  assertStringIncludes((await states(rig))["container:e"]!, "is gone too");
});

Deno.test("what was taken over without an address cannot be mended, and that is said", async () => {
  await using rig = await ContainerRig.start(SLICE, (rig) => {
    rig.hns.plant.network(guid(1), BASE, "Internal", SLICE);
    rig.hns.plant.namespace(guid(3));
    rig.hns.plant.endpoint(guid(2), "zlayer-e", guid(1), { ip: "", namespace: guid(3) });
  });
  rig.hns.endpoints.delete(guid(2));
  await rig.drive(rig.engine.sweepContainers());
  assertStringIncludes((await states(rig))["container:e"]!, "detach e and attach it again");
});

Deno.test("where nothing of ours should be in HCN, it is not asked", async () => {
  await using rig = await ContainerRig.start();
  assertEquals(await timesOf(rig, "EnumerateEndpoints", 300_000), []);
  assertEquals(rig.hns.networks.size, 0);
});
