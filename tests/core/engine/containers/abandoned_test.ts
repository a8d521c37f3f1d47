/** With `--remove-abandoned`: what was taken over and has had no container in it for ten minutes goes. */
import { assert, assertEquals } from "@std/assert";
import { BASE, ContainerRig, guid, SLICE } from "../../../support/container_rig.ts";
import { HOST_DEFAULT } from "../../../support/fake_hcn/service.ts";

const NETWORK = guid(1), EMPTY = guid(3), FULL = guid(4);
const TEN_MINUTES = 600_000;

/** Two containers of an earlier daemon: one namespace has a container in it, the other has none. */
function leftovers(rig: ContainerRig): void {
  const { plant, namespaces } = rig.hns;
  plant.network(NETWORK, BASE, "Internal", SLICE);
  for (const [i, id] of [EMPTY, FULL].entries()) {
    plant.namespace(id);
    plant.endpoint(guid(10 + i), `zlayer-c${i}`, NETWORK, { ip: `10.200.0.${5 + i}`, namespace: id });
  }
  namespaces.get(FULL)!.containers = ["8f2a6c41"];
}

/** A node with the flag, after its first sweep. */
function start(prepare = (_rig: ContainerRig): void => {}): Promise<ContainerRig> {
  return ContainerRig.start(SLICE, (rig) => {
    rig.removeAbandoned = true;
    leftovers(rig);
    prepare(rig);
  });
}

/** Sweeps after some time. The timer that sweeps every ten minutes does so too, from its own start. */
async function sweepAfter(rig: ContainerRig, ms: number): Promise<void> {
  rig.node.clock.advance(ms);
  await rig.drive(rig.engine.sweepContainers());
}

function containers(rig: ContainerRig): string[] {
  return [...rig.store.containerEndpoints.values()].map(({ containerId }) => containerId).sort();
}

Deno.test("an endpoint and its namespace go when two sweeps ten minutes apart saw no container", async (t) => {
  for (const isOld of [false, true]) {
    await t.step(isOld ? "version 1: no Containers" : "version 2: no Container resource", async () => {
      await using rig = await start((rig) => rig.hns.isOld = isOld);
      assertEquals(containers(rig), ["c0", "c1"]);
      await sweepAfter(rig, TEN_MINUTES - 10_000);
      assertEquals(containers(rig), ["c0", "c1"], "one sweep more, but too soon");
      await sweepAfter(rig, 10_000);
      assertEquals(containers(rig), ["c1"]);
      assertEquals([rig.hns.namespaces.has(EMPTY), rig.hns.endpoints.has(guid(10))], [false, false]);
      assertEquals([rig.hns.namespaces.has(FULL), rig.hns.endpoints.has(guid(11))], [true, true]);
      assertEquals(rig.leased(), ["10.200.0.6 node"]);
      await sweepAfter(rig, 3 * TEN_MINUTES);
      assertEquals(containers(rig), ["c1"], "one that has a container stays for ever");
    });
  }
});

Deno.test("the regular sweeps are far enough apart", async () => {
  await using rig = await start();
  const { clock } = rig.node;
  await rig.drive(new Promise<void>((resolve) => void clock.after(TEN_MINUTES + 5000, resolve)), 10_000);
  await rig.settled();
  assertEquals(containers(rig), ["c1"]);
});

Deno.test("without the flag everything that was taken over stays", async () => {
  await using rig = await ContainerRig.start(SLICE, leftovers);
  for (let i = 0; i < 4; i++) await sweepAfter(rig, TEN_MINUTES);
  assertEquals(containers(rig), ["c0", "c1"]);
  assert(rig.hns.namespaces.has(EMPTY));
});

Deno.test("a sweep that sees a container, or cannot tell, begins the time anew", async (t) => {
  const rows: { name: string; during: (rig: ContainerRig) => void; after: (rig: ContainerRig) => void }[] = [
    {
      name: "a container came and went",
      during: (rig) => rig.hns.namespaces.get(EMPTY)!.containers = ["c"],
      after: (rig) => rig.hns.namespaces.get(EMPTY)!.containers = [],
    },
    {
      name: "the namespace could not be read",
      during: (rig) =>
        rig.library.onCall = ({ name }) =>
          name === "QueryNamespaceProperties" ? { hresult: 0x803b001b | 0 } : undefined,
      after: (rig) => rig.library.onCall = () => {},
    },
  ];
  for (const { name, during, after } of rows) {
    await t.step(name, async () => {
      await using rig = await start();
      during(rig);
      await sweepAfter(rig, TEN_MINUTES);
      after(rig);
      await sweepAfter(rig, 1000);
      await sweepAfter(rig, TEN_MINUTES - 2000);
      assertEquals(containers(rig), ["c0", "c1"]);
      await sweepAfter(rig, 2000);
      assertEquals(containers(rig), ["c1"]);
    });
  }
});

Deno.test("what its caller has attached again is not abandoned, nor is what this daemon attached", async () => {
  await using rig = await start();
  const { namespaceGuid } = await rig.attach("c0");
  assertEquals(namespaceGuid, EMPTY);
  await rig.attach("c2");
  for (let i = 0; i < 3; i++) await sweepAfter(rig, TEN_MINUTES);
  assertEquals(containers(rig), ["c0", "c1", "c2"]);
  await rig.restart();
  for (let i = 0; i < 3; i++) await sweepAfter(rig, TEN_MINUTES);
  assertEquals(containers(rig), ["c0", "c1", "c2"], "nor after a restart");
});

Deno.test("the time begins anew with the daemon, and what was taken over stays so", async () => {
  await using rig = await start();
  rig.node.clock.advance(TEN_MINUTES - 1000);
  await rig.restart();
  await rig.drive(rig.engine.sweepContainers());
  assertEquals(containers(rig), ["c0", "c1"]);
  await sweepAfter(rig, TEN_MINUTES);
  assertEquals(containers(rig), ["c1"]);
});

Deno.test("a namespace that holds an endpoint of others, and the system's, stay with all in them [windows T72]", async () => {
  await using rig = await start((rig) => {
    rig.hns.plant.endpoint(guid(12), "foo", NETWORK, { ip: "10.200.0.8", namespace: EMPTY });
    rig.hns.plant.endpoint(guid(13), "zlayer-e", NETWORK, { ip: "10.200.0.9", namespace: HOST_DEFAULT });
  });
  for (let i = 0; i < 4; i++) await sweepAfter(rig, TEN_MINUTES);
  assertEquals(containers(rig), ["c0", "c1", "e"]);
  assertEquals([...rig.hns.endpoints.keys()].sort(), [10, 11, 12, 13].map(guid));
  assertEquals([rig.hns.namespaces.has(EMPTY), rig.hns.namespaces.has(HOST_DEFAULT)], [true, true]);
});

Deno.test("two endpoints of ours in one namespace go together", async () => {
  await using rig = await start((rig) =>
    rig.hns.plant.endpoint(guid(12), "zlayer-c2", NETWORK, { ip: "10.200.0.8", namespace: EMPTY })
  );
  await sweepAfter(rig, TEN_MINUTES);
  assertEquals(containers(rig), ["c1"]);
  assertEquals([...rig.hns.endpoints.keys()], [guid(11)]);
  assert(!rig.hns.namespaces.has(EMPTY));
});

Deno.test("a removal that fails is finished later", async () => {
  await using rig = await start();
  rig.library.next("DeleteNamespace", { hresult: 0x80070005 | 0 });
  await sweepAfter(rig, TEN_MINUTES);
  await rig.settled();
  assert(rig.node.log.records.some(({ message }) => message === "cannot detach a container yet"));
  assertEquals(containers(rig), ["c1"]);
  assert(!rig.hns.namespaces.has(EMPTY));
});
