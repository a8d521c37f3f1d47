/** Networks of dedicated services, and the marker's two facts about them. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { libraryChannel } from "../../../../core/backend/windows/channel.ts";
import { PreconditionError, UnsupportedError } from "../../../../core/errors.ts";
import type { MarkerEntry } from "../../../../core/marker.ts";
import { openComputeNetwork } from "../../../../ffi/computenetwork.ts";
import { ContainerRig, guid, SLICE } from "../../../support/container_rig.ts";

const NAME = "zlayer-overlay-svc-web";

function webEntry(rig: ContainerRig): MarkerEntry {
  return rig.networks.find((entry) => entry.owner === "service:web")!;
}

Deno.test("a dedicated service has an internal network, whatever the uplink [windows T36]", async () => {
  await using rig = await ContainerRig.start(SLICE, (rig) => rig.uplinkAdapter = "Ethernet 2");
  const reply = await rig.engine.setupServiceOverlay("web", "dedicated");
  assertEquals([reply.name, reply.mode], [NAME, "dedicated"]);
  const [network] = [...rig.hns.networks.values()];
  assertEquals([network!.name, network!.type, network!.subnet], [NAME, "Internal", reply.dedicated!.subnet]);
  const entry = webEntry(rig);
  assertEquals([entry.kind, entry.name, entry.id], ["hcn-internal", NAME, network!.id]);
});

Deno.test("a shared service has no network of its own [windows T36]", async () => {
  await using rig = await ContainerRig.start();
  const reply = await rig.engine.setupServiceOverlay("web", "shared");
  assertMatch(reply.name, /^zl-.*-b$/);
  assertEquals(rig.library.taken(), []);
  assertEquals(rig.hns.networks.size, 0);
});

Deno.test("the entry of a dedicated device is no network, and survives beside one [windows T37]", async () => {
  const first = await ContainerRig.start();
  const { dedicated } = await first.engine.setupServiceOverlay("web", "dedicated");
  const planted = webEntry(first);
  await first[Symbol.asyncDispose]();
  await using rig = await ContainerRig.start(
    SLICE,
    (rig) =>
      rig.plantMarker({
        ...planted,
        kind: "wg-dedicated",
        name: planted.interface!,
        id: planted.wg_public_key!,
      }),
  );
  const reply = await rig.engine.setupServiceOverlay("web", "dedicated");
  assertEquals(reply.dedicated!.wgPublicKey, dedicated!.wgPublicKey, "the identity was reused");
  assertEquals(webEntry(rig), { ...planted, id: [...rig.hns.networks.keys()][0]! });
});

Deno.test("after a restart the network is reopened and its entry unchanged [windows T38]", async () => {
  await using rig = await ContainerRig.start();
  await rig.engine.setupServiceOverlay("web", "dedicated");
  const before = webEntry(rig);
  assert(before.wg_private_key !== undefined && before.kind === "hcn-internal");
  const calls: string[] = [];
  rig.library.onCall = ({ name }): void => void calls.push(name);
  await rig.restart();
  await rig.engine.setupServiceOverlay("web", "dedicated");
  assertEquals(webEntry(rig), before);
  assert(calls.includes("OpenNetwork") && !calls.includes("CreateNetwork"), calls.join());
});

Deno.test("a set-up whose network cannot be made is undone, its identity kept", async () => {
  await using rig = await ContainerRig.start();
  rig.library.next("CreateNetwork", { hresult: 0x80070005 | 0 });
  await assertRejects(() => rig.engine.setupServiceOverlay("web", "dedicated"));
  assertEquals([rig.hns.networks.size, rig.store.services.size], [0, 0]);
  await rig.engine.setupServiceOverlay("web", "dedicated");
  assertEquals(rig.hns.networks.size, 1);
});

Deno.test("a container of a dedicated service is on its network, with an address of it [windows T53]", async (t) => {
  await using rig = await ContainerRig.start();
  const { dedicated } = await rig.engine.setupServiceOverlay("web", "dedicated");
  const subnet = dedicated!.subnet;
  const host = (n: number): string => subnet.replace(/\d+\/28$/, (tail) => `${parseInt(tail) + n}`);
  const rows = [
    { name: "an address inside its subnet is taken", id: "c1", ip: host(5), want: host(5) },
    {
      name: "one of the node's slice is not, but one of the service",
      id: "c2",
      ip: "10.200.0.5",
      want: host(2),
    },
    { name: "nor is the gateway", id: "c3", ip: host(1), want: host(3) },
    { name: "nor one in use", id: "c4", ip: host(5), want: host(4) },
    { name: "none wanted", id: "c5", ip: undefined, want: host(6) },
  ];
  for (const { name, id, ip, want } of rows) {
    await t.step(name, async () => {
      assertEquals((await rig.attach(id, ip)).ip, want);
      const endpoint = [...rig.hns.endpoints.values()].find((one) => one.name === `zlayer-${id}`)!;
      assertEquals([rig.hns.networks.get(endpoint.network)!.name, endpoint.length], [NAME, 28]);
    });
  }
  assert(rig.leased().every((lease) => lease.endsWith(" service:web")));
});

Deno.test("addresses of a service go back to the service [windows T60]", async () => {
  await using rig = await ContainerRig.start();
  await rig.engine.setupServiceOverlay("web", "dedicated");
  const before = await rig.engine.allocateIp("none", false);
  await rig.engine.releaseIp(before);
  const { ip, namespaceGuid } = await rig.attach("c1");
  await rig.detach(namespaceGuid!);
  assertEquals(rig.leased(), []);
  assertEquals((await rig.attach("c2")).ip, ip);
  assertEquals(await rig.engine.allocateIp("none", false), before, "the node's pool is as it was");
});

Deno.test("a service that only the marker tells of is dedicated all the same", async () => {
  await using rig = await ContainerRig.start(SLICE, (rig) => {
    rig.hns.plant.network(guid(4), NAME, "Internal", "10.200.4.16/28");
    const entry = {
      owner: "service:web",
      kind: "hcn-internal",
      name: NAME,
      id: guid(4),
      subnet: "10.200.4.16/28",
    };
    rig.plantMarker(entry);
  });
  assertEquals((await rig.attach("c1", "10.200.0.5")).ip, "10.200.4.18");
  await rig.engine.teardownServiceOverlay("web");
  assertEquals([rig.hns.networks.size, rig.hns.endpoints.size, rig.networks.length], [0, 0, 0]);
  assertEquals(rig.leased(), []);
});

Deno.test("a network that was in the way of a set-up stays as it is, and so do its containers", async (t) => {
  const before = await ContainerRig.start();
  const wanted = (await before.engine.setupServiceOverlay("web", "dedicated")).dedicated!.subnet;
  await before[Symbol.asyncDispose]();
  const other = "10.200.4.16/28";
  const rows = [
    { name: "somebody else's", type: "NAT", subnet: other, isMarked: false },
    { name: "somebody else's, of the same subnet", type: "NAT", subnet: wanted, isMarked: false },
    { name: "ours, of another subnet", type: "Internal", subnet: other, isMarked: false },
    { name: "ours, as the marker knows", type: "Internal", subnet: other, isMarked: true },
  ];
  for (const { name, type, subnet, isMarked } of rows) {
    await t.step(name, async () => {
      await using rig = await ContainerRig.start(SLICE, (rig) => {
        rig.hns.plant.network(guid(4), NAME, type, subnet);
        rig.hns.plant.namespace(guid(5));
        rig.hns.plant.endpoint(guid(6), "zlayer-a", guid(4), { ip: "10.200.4.18", namespace: guid(5) });
        const entry = { owner: "service:web", name: NAME, id: guid(4), subnet: "10.200.4.16/28" };
        if (isMarked) rig.plantMarker({ ...entry, kind: "hcn-internal" });
      });
      await assertRejects(() => rig.engine.setupServiceOverlay("web", "dedicated"), PreconditionError, NAME);
      assertEquals(rig.store.services.size, 0, "the set-up itself is undone");
      assertEquals([...rig.hns.networks.keys()], [guid(4)]);
      assertEquals(rig.hns.endpoints.get(guid(6))?.namespace, guid(5));
      assertEquals(rig.networks.map(({ id }) => id), isMarked ? [guid(4)] : []);
    });
  }
});

Deno.test("where there is no HNS, a dedicated service's set-up is undone all the same, and purge has nothing to do", async () => {
  await using rig = await ContainerRig.start(SLICE, (rig) => {
    rig.openChannel = () => libraryChannel(openComputeNetwork({ computenetwork: "/none", ole32: "/none" }));
  });
  await assertRejects(() => rig.engine.setupServiceOverlay("web", "dedicated"), UnsupportedError);
  const { detail } = await rig.engine.status(true);
  assertEquals([detail!.services, detail!.pending], [[], []]);
  assertEquals(await rig.containers.purge("zlayer"), []);
});

Deno.test("the address of a container taken over before its service was set up is not given to another [windows T70]", async () => {
  const first = await ContainerRig.start();
  const { subnet } = (await first.engine.setupServiceOverlay("web", "dedicated")).dedicated!;
  const { ip } = await first.attach("a");
  await first[Symbol.asyncDispose]();
  await using rig = await ContainerRig.start(SLICE, ({ hns: { plant } }) => {
    plant.network(guid(4), NAME, "Internal", subnet);
    plant.namespace(guid(5));
    plant.endpoint(guid(6), "zlayer-a", guid(4), { ip, namespace: guid(5) });
  });
  await rig.engine.setupServiceOverlay("web", "dedicated");
  assert((await rig.attach("c1")).ip !== ip);
  await rig.detach(guid(5));
  assertEquals((await rig.attach("c2")).ip, ip);
});

Deno.test("the addresses of a service that only the marker told of are free when it is gone", async () => {
  await using rig = await ContainerRig.start(SLICE, (rig) => {
    const subnet = "10.200.0.8/29";
    rig.hns.plant.network(guid(4), NAME, "Internal", subnet);
    rig.plantMarker({ owner: "service:web", kind: "hcn-internal", name: NAME, id: guid(4), subnet });
  });
  await rig.attach("c1");
  await rig.engine.teardownServiceOverlay("web");
  assertEquals((await rig.attach("c2", "10.200.0.9", { service: "db" })).ip, "10.200.0.9");
});
