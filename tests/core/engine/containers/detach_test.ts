/** Detaching: it really deletes, whatever the container is called by, and also what nobody remembers. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { ContainerRig, guid, SLICE } from "../../../support/container_rig.ts";
import { HOST_DEFAULT } from "../../../support/fake_hcn/service.ts";

/** Calls that change something. */
function changes(rig: ContainerRig): string[] {
  return rig.library.taken().filter((name) => /^(Create|Modify|Delete)/.test(name));
}

/** Endpoints and namespaces that are left, the system's own left out. */
function left(rig: ContainerRig): number {
  return rig.hns.endpoints.size + rig.hns.namespaces.size - 1;
}

async function attached(): Promise<{ rig: ContainerRig; guid: string; ip: string }> {
  const rig = await ContainerRig.start();
  const { ip, namespaceGuid } = await rig.attach("c1", "10.200.0.5");
  rig.library.taken();
  return { rig, ip, guid: namespaceGuid! };
}

Deno.test("detach takes the endpoint out, deletes it and its namespace [windows T54]", async () => {
  const { rig, guid, ip } = await attached();
  await using _ = rig;
  await rig.detach(guid);
  assertEquals(changes(rig), ["ModifyNamespace", "DeleteEndpoint", "DeleteNamespace"]);
  assertEquals([left(rig), rig.leased(), rig.store.containerEndpoints.size], [0, [], 0]);
  assertEquals((await rig.attach("c2", ip)).ip, ip);
  rig.library.taken();
  await rig.detach(guid);
  assertEquals(changes(rig), []);
  assertEquals(left(rig), 2);
});

Deno.test("detach by braces and capitals, and by the container's id [windows T55]", async (t) => {
  const spellings = [
    { name: "braces", of: (guid: string): string => `{${guid}}` },
    { name: "capitals", of: (guid: string): string => guid.toUpperCase() },
    { name: "both", of: (guid: string): string => `{${guid.toUpperCase()}}` },
    { name: "the container's id", of: (): string => "c1" },
  ];
  for (const { name, of } of spellings) {
    await t.step(name, async () => {
      const { rig, guid } = await attached();
      await using _ = rig;
      await rig.detach(of(guid));
      assertEquals([left(rig), rig.leased()], [0, []]);
    });
  }
});

Deno.test("a container with a record that cannot be removed now is not tried as one without", async () => {
  const { rig, guid } = await attached();
  await using _ = rig;
  for (const name of ["ModifyNamespace", "DeleteEndpoint"]) {
    rig.library.next(name, { hresult: 0x80070005 | 0 });
  }
  await rig.detach(guid);
  assertEquals(changes(rig).filter((name) => name === "DeleteEndpoint").length, 1);
  assertEquals(rig.store.containerEndpoints.size, 1);
});

Deno.test("detach of junk is fine and asks nothing [windows T55]", async () => {
  const { rig } = await attached();
  await using _ = rig;
  for (const text of ["junk", "", "{}", "c2"]) await rig.detach(text);
  assertEquals([rig.library.taken(), left(rig)], [[], 2]);
});

Deno.test("what is gone from HCN is detached [windows T56]", async (t) => {
  const rows = [
    { name: "the endpoint", spoil: (rig: ContainerRig): void => rig.hns.endpoints.clear() },
    { name: "both", spoil: (rig: ContainerRig): void => rig.hns.restart() },
    {
      name: "the namespace",
      spoil: (rig: ContainerRig): void => {
        for (const id of rig.hns.namespaces.keys()) if (id !== HOST_DEFAULT) rig.hns.namespaces.delete(id);
      },
    },
  ];
  for (const { name, spoil } of rows) {
    await t.step(name, async () => {
      const { rig, guid } = await attached();
      await using _ = rig;
      spoil(rig);
      await rig.detach(guid);
      assertEquals([left(rig), rig.leased(), rig.store.containerEndpoints.size], [0, [], 0]);
    });
  }
});

Deno.test("what cannot be deleted now is deleted later, and the caller need not care [windows T57]", async () => {
  const { rig, guid } = await attached();
  await using _ = rig;
  const gone = { hresult: 0x800706ba | 0 };
  rig.library.next("DeleteEndpoint", gone, gone, gone);
  await rig.drive(rig.detach(guid));
  assertEquals([...rig.store.containerEndpoints.values()].map(({ phase }) => phase), ["removing"]);
  assertEquals(rig.leased(), ["10.200.0.5 node"], "not to be given to another yet");
  assertEquals(rig.hns.namespaces.size, 1, "the rest was done");
  const { detail } = await rig.engine.status(true);
  assertEquals(detail!.attachments[0]!.state, "removing");
  assertStringIncludes(detail!.attachments[0]!.problem!, "HcnDeleteEndpoint: 0x800706ba");
  await rig.drive(new Promise<void>((resolve) => void rig.node.clock.after(31_000, resolve)), 5000);
  await rig.settled();
  assertEquals([left(rig), rig.leased(), rig.store.containerEndpoints.size], [0, [], 0]);
  assertEquals((await rig.engine.status(true)).detail!.attachments, []);
});

Deno.test("after a restart detach still deletes, and no address is given twice [windows T58]", async () => {
  const { rig, guid, ip } = await attached();
  await using _ = rig;
  await rig.restart();
  for (let i = 0; i < 12; i++) assert((await rig.attach(`x${i}`)).ip !== ip);
  await rig.detach(guid);
  assertEquals((await rig.attach("y")).ip, ip);
  assertEquals([...rig.hns.endpoints.values()].some(({ name }) => name === "zlayer-c1"), false);
});

Deno.test("a namespace of others is left alone [windows T59]", async () => {
  const { rig } = await attached();
  await using _ = rig;
  const network = [...rig.hns.networks.keys()][0]!;
  rig.hns.plant.namespace(guid(1));
  rig.hns.plant.endpoint(guid(2), "other-x", network, { ip: "10.200.0.12", namespace: guid(1) });
  rig.hns.plant.endpoint(guid(3), "zlayer-y", network, { ip: "10.200.0.13", namespace: guid(1) });
  rig.hns.plant.namespace(guid(4));
  for (const id of [guid(1), guid(4), guid(5), HOST_DEFAULT]) await rig.detach(id);
  assertEquals(changes(rig), []);
  assert(rig.hns.endpoints.has(guid(2)) && rig.hns.endpoints.has(guid(3)) && rig.hns.namespaces.has(guid(4)));
});

Deno.test("the system's namespace is nobody's to detach, whatever is in it [windows T72]", async () => {
  const { rig } = await attached();
  await using _ = rig;
  const network = [...rig.hns.networks.keys()][0]!;
  rig.hns.plant.endpoint(guid(2), "zlayer-x", network, { ip: "10.200.0.12", namespace: HOST_DEFAULT });
  await rig.detach(HOST_DEFAULT);
  assertEquals(changes(rig), []);
  assert(rig.hns.endpoints.has(guid(2)));
});

Deno.test("a namespace of ours without a record is deleted with all that is in it [windows T59]", async () => {
  const { rig } = await attached();
  await using _ = rig;
  const network = [...rig.hns.networks.keys()][0]!;
  rig.hns.plant.namespace(guid(1));
  rig.hns.plant.endpoint(guid(2), "zlayer-x", network, { ip: "10.200.0.12", namespace: guid(1) });
  rig.hns.plant.endpoint(guid(3), "zlayer-y", network, { ip: "10.200.0.13", namespace: guid(1) });
  await rig.detach(guid(1));
  assertEquals(left(rig), 2, "the attached container");
});

Deno.test("a namespace that somebody put more into stays, without our endpoint", async () => {
  const { rig, guid: namespace } = await attached();
  await using _ = rig;
  const network = [...rig.hns.networks.keys()][0]!;
  rig.hns.plant.endpoint(guid(2), "other-x", network, { ip: "10.200.0.12", namespace });
  await rig.detach(namespace);
  assertEquals([...rig.hns.endpoints.keys()], [guid(2)]);
  assert(rig.hns.namespaces.has(namespace));
  assertEquals(rig.store.containerEndpoints.size, 0);
});

Deno.test("detaching twice at the same time deletes once", async () => {
  const { rig, guid } = await attached();
  await using _ = rig;
  await Promise.all([rig.detach(guid), rig.detach("c1"), rig.detach(guid)]);
  assertEquals(changes(rig), ["ModifyNamespace", "DeleteEndpoint", "DeleteNamespace"]);
});

Deno.test("a service that is taken down lets its containers go first [windows T74]", async () => {
  await using rig = await ContainerRig.start(SLICE);
  await rig.engine.setupServiceOverlay("web", "dedicated");
  await rig.attach("c1");
  await rig.attach("c2");
  await rig.engine.teardownServiceOverlay("web");
  assertEquals([left(rig), rig.hns.networks.size, rig.networks], [0, 0, []]);
  assertEquals([rig.leased(), rig.store.containerEndpoints.size], [[], 0]);
});

Deno.test("a service's network that something still refers to is tried again without it [windows T74]", async () => {
  await using rig = await ContainerRig.start(SLICE);
  await rig.engine.setupServiceOverlay("web", "dedicated");
  rig.library.next("DeleteNetwork", { hresult: 0x803b002c | 0 });
  await rig.engine.teardownServiceOverlay("web");
  assertEquals([rig.hns.networks.size, rig.networks], [0, []]);
  await rig.engine.setupServiceOverlay("web", "dedicated");
  const network = [...rig.hns.networks.keys()][0]!;
  rig.hns.plant.endpoint(guid(2), "foreign", network, { ip: "10.200.0.12" });
  await assertRejects(() => rig.engine.teardownServiceOverlay("web"), Error, "HCN_E_ENTITY_HAS_REFERENCES");
  rig.hns.endpoints.clear();
  await rig.engine.teardownServiceOverlay("web");
  assertEquals([rig.hns.networks.size, rig.networks], [0, []]);
});

Deno.test("a service's network is found by its name when the marker has lost it [windows T74]", async () => {
  await using rig = await ContainerRig.start(SLICE);
  await rig.engine.setupServiceOverlay("web", "dedicated");
  await rig.attach("c1");
  rig.files.files.clear();
  await rig.restart();
  await rig.engine.teardownServiceOverlay("web");
  assertEquals([rig.hns.networks.size, left(rig)], [0, 0]);
});

Deno.test("a service that becomes shared loses its network and keeps nothing of it", async () => {
  await using rig = await ContainerRig.start(SLICE);
  await rig.engine.setupServiceOverlay("web", "dedicated");
  await rig.attach("c1");
  await rig.engine.setupServiceOverlay("web", "shared");
  assertEquals([rig.hns.networks.size, left(rig), rig.networks], [0, 0, []]);
});

Deno.test("neither teardown of the global overlay nor shutdown deletes anything in HCN [windows T75]", async () => {
  await using rig = await ContainerRig.start(SLICE);
  await rig.engine.setupServiceOverlay("web", "dedicated");
  await rig.attach("c1");
  await rig.attach("c2", undefined, { service: "db" });
  rig.library.taken();
  await rig.engine.teardownGlobalOverlay(rig.node.context);
  await rig.engine.shutdown(rig.node.context);
  await rig.engine.stop();
  assertEquals(rig.library.taken().filter((name) => name.startsWith("Delete")), []);
  assertEquals([rig.hns.networks.size, left(rig)], [2, 4]);
  assertEquals(rig.networks.length, 2);
});

Deno.test("--cleanup-on-exit lets all containers go", async () => {
  await using rig = await ContainerRig.start(SLICE);
  await rig.engine.setupServiceOverlay("web", "dedicated");
  await rig.attach("c1");
  await rig.attach("c2", undefined, { service: "db" });
  await rig.engine.removeAll();
  assertEquals([left(rig), rig.leased()], [0, []]);
});
