/** What no record tells of, what is gone from HCN, and purge. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { UnsupportedError } from "../../../../core/errors.ts";
import { BASE, ContainerRig, guid, SLICE } from "../../../support/container_rig.ts";
import { HOST_DEFAULT } from "../../../support/fake_hcn/service.ts";

const NETWORK = guid(1), FOREIGN = guid(2), NAMESPACE = guid(3);

/** What the reference and others left behind, before our daemon first starts. */
function leftovers(rig: ContainerRig): void {
  const { plant } = rig.hns;
  plant.network(NETWORK, BASE, "Internal", SLICE);
  plant.network(FOREIGN, "zlayer-dev-overlay", "Internal", "10.201.0.0/28");
  plant.namespace(NAMESPACE);
  plant.namespace(guid(4));
  plant.endpoint(guid(10), "zlayer-a", NETWORK, { ip: "10.200.0.7", namespace: NAMESPACE });
  plant.endpoint(guid(11), "zlayer-dev-b", FOREIGN, { ip: "10.201.0.7", namespace: guid(4) });
  plant.endpoint(guid(12), "foo", NETWORK, { ip: "10.200.0.8" });
  plant.endpoint(guid(13), "zlayer-c", FOREIGN, { ip: "10.201.0.8" });
  plant.endpoint(guid(14), "zlayerish", NETWORK, { ip: "10.200.0.9" });
}

Deno.test("the first set-up takes over what is ours, and only that [windows T70]", async (t) => {
  for (const isOld of [false, true]) {
    await t.step(isOld ? "answers of version 1" : "answers of version 2", async () => {
      await using rig = await ContainerRig.start(SLICE, (rig) => {
        leftovers(rig);
        rig.hns.isOld = isOld;
      });
      const records = [...rig.store.containerEndpoints.values()];
      assertEquals(records.map(({ containerId, ip, pool }) => [containerId, ip, pool]), [[
        "a",
        "10.200.0.7",
        "node",
      ]]);
      assertEquals(rig.leased(), ["10.200.0.7 node"]);
      for (let i = 0; i < 10; i++) {
        const name = `n${i}`;
        const { ip } = await rig.attach(name).catch(() => ({ ip: "" }));
        assert(ip !== "10.200.0.7");
      }
      await rig.detach(NAMESPACE);
      assertEquals([rig.hns.endpoints.has(guid(10)), rig.hns.namespaces.has(NAMESPACE)], [false, false]);
      for (const id of [guid(11), guid(12), guid(13), guid(14)]) assert(rig.hns.endpoints.has(id), id);
    });
  }
});

Deno.test("containers are taken over also where no WireGuard device can be made", async () => {
  await using rig = await ContainerRig.start(null, leftovers);
  rig.node.host.wireguard = false;
  await assertRejects(() => rig.setUp(SLICE), UnsupportedError);
  await rig.settled();
  assertEquals(rig.leased(), ["10.200.0.7 node"]);
});

Deno.test("a container taken over is attached again to whatever service", async () => {
  await using rig = await ContainerRig.start(SLICE, leftovers);
  const reply = await rig.attach("a");
  assertEquals([reply.ip, reply.namespaceGuid], ["10.200.0.7", NAMESPACE]);
});

Deno.test("a container taken over on another network, or without an address, is attached anew", async (t) => {
  const place = { ip: "10.200.0.7", namespace: NAMESPACE };
  const rows = [
    { name: "its service is dedicated now", mode: "dedicated", found: place },
    { name: "its endpoint tells no address", mode: "shared", found: { ...place, ip: "" } },
  ] as const;
  for (const { name, mode, found } of rows) {
    await t.step(name, async () => {
      await using rig = await ContainerRig.start(SLICE, ({ hns: { plant } }) => {
        plant.network(NETWORK, BASE, "Internal", SLICE);
        plant.namespace(NAMESPACE);
        plant.endpoint(guid(10), "zlayer-a", NETWORK, found);
      });
      const { name: network } = await rig.engine.setupServiceOverlay("web", mode);
      const { ip, namespaceGuid } = await rig.attach("a");
      const [endpoint, ...others] = [...rig.hns.endpoints.values()];
      assertEquals([endpoint!.ip, endpoint!.namespace, others], [ip, namespaceGuid!, []]);
      assertEquals(
        rig.hns.networks.get(endpoint!.network)!.name,
        mode === "dedicated" ? network : BASE,
      );
      assert(!rig.hns.namespaces.has(NAMESPACE));
    });
  }
});

Deno.test("an endpoint of ours in no namespace goes when two sweeps have seen it [windows T71]", async () => {
  await using rig = await ContainerRig.start(SLICE, (rig) => {
    leftovers(rig);
    rig.hns.plant.endpoint(guid(15), "zlayer-d", NETWORK, { ip: "10.200.0.10" });
  });
  assert(rig.hns.endpoints.has(guid(15)));
  await rig.engine.sweepContainers();
  assert(!rig.hns.endpoints.has(guid(15)));
  for (const id of [guid(10), guid(11), guid(12), guid(13), guid(14)]) assert(rig.hns.endpoints.has(id), id);
});

Deno.test("a sweep follows after ten minutes [windows T71]", async () => {
  await using rig = await ContainerRig.start(SLICE, (rig) => {
    leftovers(rig);
    rig.hns.plant.endpoint(guid(15), "zlayer-d", NETWORK, { ip: "10.200.0.10" });
  });
  const later = (ms: number): Promise<void> =>
    new Promise((resolve) => void rig.node.clock.after(ms, resolve));
  await rig.drive(later(590_000), 10_000);
  await rig.settled();
  assert(rig.hns.endpoints.has(guid(15)));
  await rig.drive(later(20_000), 10_000);
  await rig.settled();
  assert(!rig.hns.endpoints.has(guid(15)));
});

Deno.test("an endpoint that found a namespace meanwhile stays [windows T71]", async () => {
  await using rig = await ContainerRig.start(SLICE, (rig) => {
    leftovers(rig);
    rig.hns.plant.endpoint(guid(15), "zlayer-d", NETWORK, { ip: "10.200.0.10" });
  });
  rig.hns.endpoints.get(guid(15))!.namespace = guid(4);
  await rig.engine.sweepContainers();
  assert(rig.hns.endpoints.has(guid(15)));
  assertEquals(rig.leased().includes("10.200.0.10 node"), true);
});

Deno.test("the system's namespace is neither changed nor deleted [windows T72]", async () => {
  await using rig = await ContainerRig.start(SLICE, (rig) => {
    leftovers(rig);
    rig.hns.plant.endpoint(guid(16), "zlayer-e", NETWORK, { ip: "10.200.0.11", namespace: HOST_DEFAULT });
  });
  await rig.engine.sweepContainers();
  await rig.engine.sweepContainers();
  assert(rig.hns.endpoints.has(guid(16)));
  rig.library.taken();
  await rig.detach(HOST_DEFAULT);
  const calls = rig.library.calls.filter(({ id }) => id === HOST_DEFAULT).map(({ name }) => name);
  assertEquals(calls.filter((name) => /^(Modify|Delete)/.test(name)), []);
  assert(rig.hns.namespaces.has(HOST_DEFAULT));
});

Deno.test("a sweep that cannot list changes nothing [windows T73]", async (t) => {
  for (const list of ["EnumerateNetworks", "EnumerateEndpoints", "EnumerateNamespaces"]) {
    await t.step(list, async () => {
      await using rig = await ContainerRig.start();
      const { namespaceGuid } = await rig.attach("c1");
      const network = [...rig.hns.networks.keys()][0]!;
      rig.hns.plant.endpoint(guid(15), "zlayer-d", network, { ip: "10.200.0.10" });
      await rig.engine.sweepContainers();
      // The short look that comes first lists as well.
      for (const _ of ["look", "sweep"]) rig.library.next(list, { hresult: 0x80070005 | 0 });
      await rig.engine.sweepContainers();
      assertEquals([rig.store.containerEndpoints.size, rig.hns.endpoints.size], [1, 2]);
      for (const _ of ["look", "sweep"]) rig.library.next(list, { text: "not json" });
      await rig.engine.sweepContainers();
      assertEquals([rig.store.containerEndpoints.size, rig.hns.endpoints.size], [1, 2]);
      assert(rig.hns.namespaces.has(namespaceGuid!));
    });
  }
});

Deno.test("a container that is gone from HCN is forgotten, its address free, and status tells of it", async (t) => {
  const problem = async ({ engine }: ContainerRig): Promise<string> =>
    (await engine.status(true)).detail!.containers!.problem ?? "";
  const quiet: Record<string, (rig: ContainerRig, namespace: string) => unknown> = {
    "until it is detached by its namespace": (rig, namespace) => rig.detach(`{${namespace.toUpperCase()}}`),
    "until it is detached by its id": (rig) => rig.detach("c1"),
    "until it is attached again": (rig) => rig.attach("c1"),
    "for an hour": (rig) => rig.node.clock.advance(3_600_000),
  };
  for (const [name, end] of Object.entries(quiet)) {
    await t.step(name, async () => {
      await using rig = await ContainerRig.start();
      const { namespaceGuid } = await rig.attach("c1", "10.200.0.5");
      await rig.attach("c2", "10.200.0.6");
      rig.hns.endpoints.delete([...rig.hns.endpoints.keys()][0]!);
      rig.hns.namespaces.delete(namespaceGuid!);
      await rig.settled();
      await rig.drive(rig.engine.reconcile());
      assertStringIncludes(await problem(rig), "c1 (10.200.0.5)");
      assertStringIncludes(await problem(rig), "stop it, attach it again");
      await rig.detach("c3");
      assertStringIncludes(await problem(rig), "c1 (10.200.0.5)");
      await end(rig, namespaceGuid!);
      assertEquals(await problem(rig), "");
    });
  }
  await using rig = await ContainerRig.start();
  const { namespaceGuid } = await rig.attach("c1", "10.200.0.5");
  await rig.attach("c2", "10.200.0.6");
  const [endpoint] = [...rig.hns.endpoints.keys()];
  rig.hns.endpoints.delete(endpoint!);
  rig.hns.namespaces.delete(namespaceGuid!);
  await rig.settled();
  assertEquals(rig.leased(), ["10.200.0.6 node"]);
  assertEquals([...rig.store.containerEndpoints.values()].map(({ containerId }) => containerId), ["c2"]);
});

Deno.test("of two endpoints with one address the one that goes leaves the other its lease", async () => {
  await using rig = await ContainerRig.start(SLICE, ({ hns: { plant } }) => {
    plant.network(NETWORK, BASE, "Internal", SLICE);
    plant.network(guid(5), `${BASE}-svc-db`, "Internal", SLICE);
    for (const [i, network] of [NETWORK, guid(5)].entries()) {
      plant.namespace(guid(6 + i));
      plant.endpoint(guid(10 + i), "zlayer-a", network, { ip: "10.200.0.7", namespace: guid(6 + i) });
    }
  });
  const pools = (): string[] => [...rig.store.containerEndpoints.values()].map(({ pool }) => pool);
  assertEquals([pools(), rig.leased()], [["node", "external"], ["10.200.0.7 node"]]);
  await rig.detach(guid(7));
  assertEquals([pools(), rig.leased()], [["node"], ["10.200.0.7 node"]]);
  await rig.detach(guid(6));
  assertEquals([pools(), rig.leased()], [[], []]);
});

Deno.test("a namespace that a container is in has an owner, whoever that is", async () => {
  await using rig = await ContainerRig.start(SLICE, ({ hns }) => {
    for (const id of [guid(5), guid(6)]) hns.plant.namespace(id);
    hns.namespaces.get(guid(5))!.containers = ["8f2a6c41"];
  });
  for (const isOld of [false, true]) {
    rig.hns.isOld = isOld;
    assertEquals(await rig.containers.ownerless(), [guid(6)]);
  }
});

Deno.test("purge removes also what an earlier deployment has left, with its containers [daemon 55]", async () => {
  await using rig = await ContainerRig.start();
  await rig.attach("c1");
  await rig.setUp(SLICE, "prod");
  await rig.attach("c2");
  assertEquals([...rig.hns.networks.values()].map(({ name }) => name), [BASE, "prod-overlay"]);
  assertEquals(rig.networks.map(({ id }) => id).sort(), [...rig.hns.networks.keys()].sort());
  assertEquals(await rig.containers.purge("prod"), []);
  assertEquals([rig.hns.networks.size, rig.hns.endpoints.size, rig.hns.namespaces.size], [0, 0, 1]);
});

Deno.test("purge removes every network of ours, known or not, and goes on after a failure [windows T76] [windows T77] [daemon 55] [daemon 56] [daemon 57]", async (t) => {
  const plant = (rig: ContainerRig): void => {
    leftovers(rig);
    rig.hns.plant.network(guid(20), "under-a-foreign-name", "Internal", "10.203.0.0/28");
    rig.hns.plant.network(guid(21), `${BASE}-svc-db`, "Internal", "10.200.5.0/28");
    rig.hns.plant.network(guid(22), `${BASE}-svc-web`, "Internal", "10.200.6.0/28");
    rig.hns.endpoints.delete(guid(12));
    rig.hns.endpoints.delete(guid(14));
    rig.plantMarker(
      { owner: "base", kind: "hcn-internal", name: BASE, id: NETWORK, subnet: SLICE },
      {
        owner: "service:web",
        kind: "hcn-internal",
        name: `${BASE}-svc-web`,
        id: guid(22),
        subnet: "10.200.6.0/28",
      },
      { owner: "service:old", kind: "hcn-transparent", name: "x", id: guid(20), subnet: "10.203.0.0/28" },
      { owner: "service:wg", kind: "wg-dedicated", name: "zl-wg", id: guid(13), subnet: "10.200.7.0/28" },
      { owner: "service:bad", kind: "hcn-internal", name: "bad", id: "no-guid", subnet: "10.200.8.0/28" },
    );
  };
  for (const isOld of [false, true]) {
    await t.step(isOld ? "all of it, by answers of version 1" : "all of it", async () => {
      await using rig = await ContainerRig.start(null, plant);
      rig.hns.isOld = isOld;
      const failures = await rig.containers.purge("zlayer");
      assertEquals(failures, ["network bad of the marker has no GUID: no-guid"]);
      assertEquals([...rig.hns.networks.keys()], [FOREIGN]);
      assertEquals([...rig.hns.endpoints.keys()].sort(), [guid(11), guid(13)]);
      assertEquals([...rig.hns.namespaces.keys()].sort(), [guid(4), HOST_DEFAULT].sort());
      assertEquals(await rig.containers.purge("zlayer"), failures, "twice is fine");
    });
  }
  await t.step("one that cannot be deleted", async () => {
    await using rig = await ContainerRig.start(null, plant);
    rig.library.next("DeleteNetwork", { hresult: 0x80070005 | 0 });
    const failures = await rig.containers.purge("zlayer");
    assertEquals(failures.length, 2);
    assertEquals(rig.hns.networks.size, 2);
  });
});
