/** The node's base network and those of dedicated services: found, adopted, made, made anew, refused. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  InvalidConfigError,
  PermissionError,
  PreconditionError,
  UnavailableError,
  UnsupportedError,
} from "../../../../core/errors.ts";
import type { MarkerEntry } from "../../../../core/marker.ts";
import { openComputeNetwork } from "../../../../ffi/computenetwork.ts";
import { libraryChannel } from "../../../../core/backend/windows/channel.ts";
import { BASE, ContainerRig, guid, SLICE } from "../../../support/container_rig.ts";
import { globalRequest } from "../../../support/engine_rig.ts";

const OTHER = "10.200.9.0/28";

function baseEntry(changes: Partial<MarkerEntry> = {}): MarkerEntry {
  return { owner: "base", kind: "hcn-internal", name: BASE, id: guid(1), subnet: SLICE, ...changes };
}

/** Calls that looked for or changed networks, without those of the endpoint that came after. */
function networkCalls(rig: ContainerRig): string[] {
  const names = rig.library.taken();
  return names.slice(0, names.indexOf("CreateNamespace"));
}

Deno.test("the first attach makes the base network, and the marker tells of it [windows T20]", async () => {
  await using rig = await ContainerRig.start();
  const start = rig.node.clock.monotonicMs();
  await rig.attach("c1");
  assertEquals(networkCalls(rig), ["EnumerateNetworks", "CreateNetwork"]);
  const [network] = [...rig.hns.networks.values()];
  assertEquals([network!.name, network!.type, network!.subnet], [BASE, "Internal", SLICE]);
  assertEquals(rig.networks, [baseEntry({ id: network!.id })]);
  assert(rig.node.clock.monotonicMs() - start < 200, "nothing slept");
});

Deno.test("a network that the marker knows is opened and used [windows T21]", async () => {
  await using rig = await ContainerRig.start(SLICE, (rig) => {
    rig.hns.plant.network(guid(1), BASE, "Internal", SLICE);
    rig.plantMarker(baseEntry());
  });
  await rig.attach("c1");
  assertEquals(networkCalls(rig), ["OpenNetwork", "QueryNetworkProperties"]);
  assertEquals(rig.networks, [baseEntry()]);
});

Deno.test("a marker of a network that is gone is replaced [windows T22]", async () => {
  await using rig = await ContainerRig.start(SLICE, (rig) => rig.plantMarker(baseEntry()));
  await rig.attach("c1");
  assertEquals(networkCalls(rig), ["OpenNetwork", "EnumerateNetworks", "CreateNetwork"]);
  assertEquals(rig.networks, [baseEntry({ id: [...rig.hns.networks.keys()][0]! })]);
});

Deno.test("a network of the name is adopted, and the marker holds it then [windows T23]", async () => {
  await using rig = await ContainerRig.start(SLICE, (rig) => {
    rig.hns.plant.network(guid(2), BASE, "Internal", SLICE);
    rig.plantMarker(baseEntry());
  });
  await rig.attach("c1");
  assert(!networkCalls(rig).includes("CreateNetwork"));
  assertEquals(rig.networks, [baseEntry({ id: guid(2) })]);
});

Deno.test("a network of another name is not used, whatever the marker says [windows T24]", async () => {
  await using rig = await ContainerRig.start(SLICE, (rig) => {
    rig.hns.plant.network(guid(1), "somebody-elses", "Internal", SLICE);
    rig.plantMarker(baseEntry());
  });
  await rig.attach("c1");
  assertEquals(rig.networks[0]!.id === guid(1), false);
  assertEquals([...rig.hns.networks.values()].map(({ name }) => name), ["somebody-elses", BASE]);
});

Deno.test("a network of another subnet is made anew if nothing is on it [windows T25]", async () => {
  await using rig = await ContainerRig.start(
    SLICE,
    (rig) => rig.hns.plant.network(guid(1), BASE, "Internal", OTHER),
  );
  await rig.attach("c1");
  assertEquals(rig.hns.networks.has(guid(1)), false);
  assertEquals([...rig.hns.networks.values()].map(({ subnet }) => subnet), [SLICE]);
});

Deno.test("a network of another subnet that is in use is an error that names both [windows T25]", async (t) => {
  const id = "aabbccdd-eeff-4011-8233-445566778899";
  for (const how of ["comparesText", "ignoresFilters", "isOld"] as const) {
    await t.step(`a service that ${how}`, async () => {
      await using rig = await ContainerRig.start(SLICE, (rig) => {
        rig.hns[how] = true;
        rig.hns.plant.network(id, BASE, "Internal", OTHER);
        rig.hns.plant.endpoint(guid(7), "foo", id, { ip: "10.200.9.5" });
      });
      const error = await assertRejects(() => rig.attach("c1"), PreconditionError);
      assertStringIncludes(error.message, SLICE);
      assertStringIncludes(error.message, OTHER);
      assert(rig.hns.networks.has(id) && rig.hns.endpoints.has(guid(7)));
      assertEquals(rig.leased(), []);
    });
  }
});

Deno.test("a network of the name and a foreign type is an error, and stays [windows T26]", async (t) => {
  for (const type of ["NAT", "Transparent", "L2Bridge"]) {
    await t.step(type, async () => {
      await using rig = await ContainerRig.start(
        SLICE,
        (rig) => rig.hns.plant.network(guid(1), BASE, type, SLICE),
      );
      const remedy = type === "Transparent" ? "set ZLAYER_HCN_UPLINK_ADAPTER" : "not of this daemon's making";
      await assertRejects(() => rig.attach("c1"), PreconditionError, remedy);
      assert(rig.hns.networks.has(guid(1)));
    });
  }
});

Deno.test("when somebody was faster, the network that is there is adopted [windows T27]", async () => {
  await using rig = await ContainerRig.start();
  rig.library.onCall = ({ name }, _index, when) => {
    if (name !== "CreateNetwork" || when === "after") return;
    rig.hns.plant.network(guid(3), BASE, "Internal", SLICE);
  };
  await rig.attach("c1");
  assertEquals(rig.networks, [baseEntry({ id: guid(3) })]);
  assertEquals(rig.hns.networks.size, 1);
});

Deno.test("an uplink adapter makes the base network transparent, a blank one does not [windows T28]", async (t) => {
  const rows = [
    { adapter: "  Ethernet 2 ", type: "Transparent", kind: "hcn-transparent" },
    { adapter: "   ", type: "Internal", kind: "hcn-internal" },
    { adapter: undefined, type: "Internal", kind: "hcn-internal" },
  ];
  for (const { adapter, type, kind } of rows) {
    await t.step(`${adapter}`, async () => {
      await using rig = await ContainerRig.start(SLICE, (rig) => rig.uplinkAdapter = adapter);
      await rig.attach("c1");
      const [network] = [...rig.hns.networks.values()];
      assertEquals([network!.type, rig.networks[0]!.kind], [type, kind]);
      const policies = network!.doc.Policies as { Settings: unknown }[] | undefined;
      const want = type === "Transparent" ? { NetworkAdapterName: "Ethernet 2" } : undefined;
      assertEquals(policies?.[0]?.Settings, want);
    });
  }
});

Deno.test("a refusal for want of rights says so, and the marker stays [windows T29]", async () => {
  await using rig = await ContainerRig.start();
  rig.library.next("CreateNetwork", { hresult: 0x80070005 | 0, record: '{"Error":"Access is denied."}' });
  const error = await assertRejects(() => rig.attach("c1"), PermissionError);
  assertEquals(rig.library.taken().at(-1), "CreateNetwork", "nobody looks for what was refused");
  assertStringIncludes(error.message, "HcnCreateNetwork: 0x80070005 E_ACCESSDENIED: Access is denied.");
  assertStringIncludes(error.message, "access denied");
  assertStringIncludes(error.message, BASE);
  assertEquals(rig.networks, []);
  assertEquals(rig.leased(), []);
});

Deno.test("the marker tells of a network before it is made, also when nobody learns whether it was", async (t) => {
  await t.step("while it is being made", async () => {
    await using rig = await ContainerRig.start();
    let seen: unknown;
    rig.library.onCall = ({ name, id }, _index, when) => {
      if (name === "CreateNetwork" && when === "before") seen = [id, rig.networks];
    };
    await rig.attach("c1");
    assertEquals(seen, [rig.networks[0]!.id, [baseEntry({ id: rig.networks[0]!.id })]]);
  });
  await t.step("when the answer never comes", async () => {
    await using rig = await ContainerRig.start();
    const { promise, resolve } = Promise.withResolvers<void>();
    rig.library.next("CreateNetwork", { until: promise });
    await assertRejects(() => rig.drive(rig.attach("c1"), 500), UnavailableError);
    resolve();
    await rig.drive(rig.engine.reconcile());
    assertEquals(rig.networks.map(({ id }) => id), [...rig.hns.networks.keys()]);
  });
  await t.step("and as before when it was refused", async () => {
    await using rig = await ContainerRig.start(SLICE, (rig) => rig.plantMarker(baseEntry({ id: guid(7) })));
    rig.library.next("CreateNetwork", { hresult: 0x80070005 | 0 });
    await assertRejects(() => rig.attach("c1"), PermissionError);
    assertEquals(rig.networks, [baseEntry({ id: guid(7) })]);
  });
});

Deno.test("attaches at the same time make one network [windows T30]", async () => {
  await using rig = await ContainerRig.start();
  await Promise.all(["a", "b", "c", "d"].map((id) => rig.attach(id)));
  assertEquals(rig.library.taken().filter((name) => name === "CreateNetwork").length, 1);
});

Deno.test("a network that cannot be read is passed over [windows T31]", async () => {
  await using rig = await ContainerRig.start(SLICE, (rig) => {
    rig.hns.ignoresFilters = true;
    rig.hns.plant.network(guid(1), "broken", "Internal", OTHER);
    rig.hns.plant.network(guid(2), BASE, "Internal", SLICE);
  });
  rig.library.next("QueryNetworkProperties", { hresult: 0x803b001b | 0 });
  await rig.attach("c1");
  assertEquals(rig.networks, [baseEntry({ id: guid(2) })]);
});

Deno.test("a network whose name only begins with the wanted one is another, and stays", async () => {
  await using rig = await ContainerRig.start(SLICE, (rig) => {
    rig.hns.ignoresFilters = true;
    rig.hns.plant.network(guid(1), `${BASE}-svc-db`, "Internal", OTHER);
  });
  await rig.attach("c1");
  assertEquals([...rig.hns.networks.values()].map(({ name }) => name), [`${BASE}-svc-db`, BASE]);
});

Deno.test("a service that refuses filters is asked without one", async () => {
  await using rig = await ContainerRig.start(
    SLICE,
    (rig) => rig.hns.plant.network(guid(2), BASE, "Internal", SLICE),
  );
  rig.library.next("EnumerateNetworks", { hresult: 0x80070057 | 0 });
  await rig.attach("c1");
  assertEquals(rig.networks, [baseEntry({ id: guid(2) })]);
});

Deno.test("answers of version 1 do as well [windows T12]", async () => {
  await using rig = await ContainerRig.start(SLICE, (rig) => {
    rig.hns.isOld = true;
    rig.hns.plant.network(guid(2), BASE, "Internal", SLICE);
  });
  const { namespaceGuid } = await rig.attach("c1");
  assertEquals(rig.networks, [baseEntry({ id: guid(2) })]);
  await rig.detach(namespaceGuid!);
  assertEquals([rig.hns.endpoints.size, rig.hns.namespaces.size], [0, 1]);
});

Deno.test("a list that cannot be had is an error, and no reason to make a network [windows T32]", async (t) => {
  const faults = [{ hresult: 0x80070005 | 0 }, { text: "not json" }];
  for (const fault of faults) {
    await t.step(JSON.stringify(fault), async () => {
      await using rig = await ContainerRig.start();
      rig.library.next("EnumerateNetworks", fault);
      await assertRejects(() => rig.attach("c1"));
      assertEquals(rig.hns.networks.size, 0);
      assertEquals(rig.leased(), []);
    });
  }
});

Deno.test("a marker that cannot be written is a warning [windows T33]", async () => {
  await using rig = await ContainerRig.start();
  rig.files.isReadOnly = true;
  await rig.attach("c1");
  assertEquals(rig.networks, []);
  assert(rig.node.log.records.some(({ level, message }) => level === "warn" && message.includes("marker")));
});

Deno.test("names go by the deployment [windows T34]", async (t) => {
  for (const [deployment, want] of [["zlayer-dev", "zlayer-dev-overlay"], ["", "zlayer-overlay"]] as const) {
    await t.step(want, async () => {
      await using rig = await ContainerRig.start(null);
      await rig.setUp(SLICE, deployment);
      await rig.attach("c1");
      assertEquals([...rig.hns.networks.values()].map(({ name }) => name), [want]);
    });
  }
});

Deno.test("without the library an attach says what is missing, and the rest works [windows T35]", async () => {
  const library = openComputeNetwork({ computenetwork: "/nonexistent/hcn", ole32: "/nonexistent/ole32" });
  await using rig = await ContainerRig.start(SLICE, (rig) => rig.openChannel = () => libraryChannel(library));
  await assertRejects(() => rig.attach("c1"), UnsupportedError, "no Host Networking Service");
  assertEquals((await rig.engine.status(true)).detail!.attachments, []);
  assertEquals(rig.leased(), []);
});

Deno.test("subnets that HCN cannot have are refused before it is asked [windows T5]", async (t) => {
  for (const slice of ["10.200.0.0/31", "10.200.0.4/32"]) {
    await t.step(slice, async () => {
      await using rig = await ContainerRig.start(null);
      // A /32 has no address for the node itself.
      await rig.setUp(slice).catch(() => {});
      await rig.settled();
      await assertRejects(() => rig.attach("c1"), Error, slice);
      assertEquals(rig.library.taken(), []);
    });
  }
  await using rig = await ContainerRig.start(null);
  const request = globalRequest({ sliceCidr: "not-a-cidr" });
  await assertRejects(
    () => rig.engine.setupGlobalOverlay(request, rig.node.context),
    InvalidConfigError,
    "not-a-cidr",
  );
  const v6 = globalRequest({ clusterCidr: "fd00::/48", sliceCidr: "fd00::/64" });
  await rig.engine.setupGlobalOverlay(v6, rig.node.context);
  await rig.settled();
  await assertRejects(() => rig.attach("c1"), InvalidConfigError, "IPv6");
  assertEquals(rig.library.taken(), []);
});

Deno.test("a slice with host bits is the network it lies in [windows T6]", async () => {
  await using rig = await ContainerRig.start("10.200.0.5/28");
  await rig.attach("c1");
  const [network] = [...rig.hns.networks.values()];
  assertEquals([network!.subnet, network!.gateway], [SLICE, "10.200.0.1"]);
});

Deno.test("a network that vanished is made anew by the next attach", async () => {
  await using rig = await ContainerRig.start();
  await rig.attach("c1");
  rig.hns.restart();
  const { namespaceGuid } = await rig.drive(rig.attach("c2"));
  assert(rig.hns.namespaces.has(namespaceGuid!));
  assertEquals(rig.networks[0]!.id, [...rig.hns.networks.keys()][0]);
});

Deno.test("a node that is given another slice has a network of that, once the old one is empty [windows T25]", async () => {
  await using rig = await ContainerRig.start();
  await rig.attach("c1");
  await rig.setUp(OTHER);
  await assertRejects(() => rig.attach("c2"), PreconditionError, `${OTHER} is wanted`);
  await rig.detach("c1");
  assertEquals((await rig.attach("c2")).ip.replace(/\d+$/, ""), "10.200.9.");
  assertEquals([...rig.hns.networks.values()].map(({ name, subnet }) => [name, subnet]), [[BASE, OTHER]]);
});

Deno.test("what the marker knows is used only if its type is one of ours, and is entered as what it is", async (t) => {
  await t.step("another type", async () => {
    await using rig = await ContainerRig.start(SLICE, (rig) => {
      rig.hns.plant.network(guid(1), BASE, "NAT", SLICE);
      rig.plantMarker(baseEntry());
    });
    await assertRejects(() => rig.attach("c1"), PreconditionError, "NAT");
    assert(rig.hns.networks.has(guid(1)));
  });
  await t.step("an entry that does not tell its kind rightly", async () => {
    await using rig = await ContainerRig.start(SLICE, (rig) => {
      rig.uplinkAdapter = "Ethernet 2";
      rig.hns.plant.network(guid(1), BASE, "Transparent", SLICE);
      rig.plantMarker(baseEntry());
    });
    await rig.attach("c1");
    assertEquals(rig.networks, [baseEntry({ kind: "hcn-transparent" })]);
  });
});

Deno.test("where the filter by name is ignored, only a network of the name is adopted", async () => {
  await using rig = await ContainerRig.start(SLICE, (rig) => {
    rig.hns.ignoresFilters = true;
    rig.hns.plant.network(guid(1), "zlayer-dev-overlay", "Internal", SLICE);
  });
  await rig.attach("c1");
  assertEquals([...rig.hns.networks.values()].map(({ name }) => name), ["zlayer-dev-overlay", BASE]);
});
