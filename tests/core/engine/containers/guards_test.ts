/** What keeps two pieces of work on one container from spoiling each other, and half of a place from being taken for all. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { AlreadyExistsError, DeadlineError, PreconditionError } from "../../../../core/errors.ts";
import type { StateStore } from "../../../../core/state/state_store.ts";
import { BASE, ContainerRig, guid, SLICE } from "../../../support/container_rig.ts";
import { hookedStore } from "../../../support/engine_operations.ts";

const NETWORK = guid(1), NAMESPACE = guid(3), ENDPOINT = guid(10);

/** One container that an earlier daemon left on the base network. */
function leftover({ hns: { plant } }: ContainerRig, ip = "10.200.0.7"): void {
  plant.network(NETWORK, BASE, "Internal", SLICE);
  plant.namespace(NAMESPACE);
  plant.endpoint(ENDPOINT, "zlayer-a", NETWORK, { ip, namespace: NAMESPACE });
}

/** Ids in HCN but for networks and the system's namespace. */
function left({ hns }: ContainerRig): number {
  return hns.endpoints.size + hns.namespaces.size - 1;
}

Deno.test("a container that is detached while its service is taken down is removed once", async () => {
  await using rig = await ContainerRig.start();
  await rig.engine.setupServiceOverlay("web", "dedicated");
  await rig.attach("c1");
  rig.library.taken();
  await rig.drive(Promise.all([rig.engine.teardownServiceOverlay("web"), rig.detach("c1")]));
  assertEquals(rig.library.taken().filter((name) => name === "DeleteEndpoint").length, 1);
  assertEquals([left(rig), rig.leased(), rig.hns.networks.size], [0, [], 0]);
});

Deno.test("an endpoint that was taken out of its namespace is no whole place", async () => {
  await using rig = await ContainerRig.start();
  const first = await rig.attach("c1");
  delete [...rig.hns.endpoints.values()][0]!.namespace;
  const second = await rig.drive(rig.attach("c1"));
  assert(first.namespaceGuid !== second.namespaceGuid);
  assertEquals([...rig.hns.endpoints.values()].map(({ namespace }) => namespace), [second.namespaceGuid]);
});

Deno.test("what is gone when its turn comes is not taken over", async (t) => {
  for (const isHomeKept of [false, true]) {
    await t.step(isHomeKept ? "its namespace keeps its id" : "its namespace too", async () => {
      await using rig = await ContainerRig.start(null, leftover);
      let opens = 0;
      rig.library.onCall = ({ name, id }, _index, when) => {
        // The look at everything is the first; then comes the second look, just before it is taken over.
        if (name !== "OpenEndpoint" || id !== ENDPOINT || when === "after" || ++opens !== 2) return;
        rig.hns.delete("Endpoint", ENDPOINT);
        if (!isHomeKept) rig.hns.namespaces.delete(NAMESPACE);
      };
      await rig.setUp(SLICE);
      assert(opens >= 2);
      assertEquals([rig.store.containerEndpoints.size, rig.leased()], [0, []]);
    });
  }
});

Deno.test("one object that cannot be read does not hide the others; a service that fails is no answer", async (t) => {
  const more = (rig: ContainerRig): void => {
    leftover(rig);
    rig.hns.plant.namespace(guid(4));
    rig.hns.plant.endpoint(guid(11), "zlayer-b", NETWORK, { ip: "10.200.0.8", namespace: guid(4) });
  };
  const rows = [
    { name: "it is refused", faults: [{ hresult: 0x803b001b | 0 }], want: ["b"] },
    { name: "the service is gone", faults: Array(3).fill({ hresult: 0x800706ba | 0 }), want: [] },
  ];
  for (const { name, faults, want } of rows) {
    await t.step(name, async () => {
      await using rig = await ContainerRig.start(null, more);
      rig.library.next("QueryEndpointProperties", ...faults);
      await rig.setUp(SLICE);
      assertEquals([...rig.store.containerEndpoints.values()].map(({ containerId }) => containerId), want);
    });
  }
});

Deno.test("an address outside of the slice that a container has is not given to another", async () => {
  await using rig = await ContainerRig.start(SLICE, (rig) => leftover(rig, "10.200.77.5"));
  await assertRejects(() => rig.attach("c1", "10.200.77.5"), AlreadyExistsError, "in use by container a");
  assertEquals(rig.library.taken(), []);
});

Deno.test("a service whose set-up or teardown broke off takes no containers", async () => {
  await using rig = await ContainerRig.start();
  await rig.engine.setupServiceOverlay("web", "dedicated");
  rig.library.next("DeleteNetwork", { hresult: 0x80070005 | 0 });
  await assertRejects(() => rig.engine.teardownServiceOverlay("web"));
  await assertRejects(() => rig.attach("c1"), PreconditionError, "service web is not set up");
});

Deno.test("a place that is made and cannot be recorded is removed again", async () => {
  await using rig = await ContainerRig.start();
  await rig.attach("first");
  await rig.engine.stop();
  rig.store.close();
  let isFull = false;
  const fail = (label: string): void => {
    if (isFull && /attach_container windows: done/.test(label)) throw new Error("the disk is full");
  };
  await rig.boot({ store: (store: StateStore) => hookedStore(store, fail) });
  await rig.settled();
  isFull = true;
  await assertRejects(() => rig.attach("c1"), Error, "the disk is full");
  await rig.settled();
  assertEquals([left(rig), rig.store.containerEndpoints.size, rig.leased().length], [2, 1, 1]);
});

Deno.test("a detach that cannot be recorded is an error, and nothing is removed for it", async () => {
  await using rig = await ContainerRig.start();
  await rig.attach("c1");
  await rig.engine.stop();
  rig.store.close();
  let isFull = false;
  const fail = (label: string): void => {
    if (isFull && /detach_container windows: intent/.test(label)) throw new Error("the disk is full");
  };
  await rig.boot({ store: (store: StateStore) => hookedStore(store, fail) });
  await rig.settled();
  isFull = true;
  await assertRejects(() => rig.detach("c1"), Error, "the disk is full");
  assertEquals([left(rig), rig.leased().length], [2, 1]);
  isFull = false;
  await rig.detach("c1");
  assertEquals([left(rig), rig.leased()], [0, []]);
});

Deno.test("what was made by a call whose answer was lost is removed at once, its address with it", async () => {
  await using rig = await ContainerRig.start();
  await rig.attach("first");
  rig.library.next("CreateEndpoint", { hresult: 0x800706be | 0, isDone: true });
  await assertRejects(() => rig.drive(rig.attach("c1")), Error, "exists");
  assertEquals([left(rig), rig.store.containerEndpoints.size, rig.leased().length], [2, 1, 1]);
});

Deno.test("an attach gives up 25 s after it was asked for, whichever call it waits for", async () => {
  await using rig = await ContainerRig.start();
  await rig.attach("first");
  const { clock } = rig.node;
  rig.library.onCall = ({ name }, _index, when) => {
    if (when === "after" || !/^(QueryNamespaceProperties|OpenNetwork)$/.test(name)) return;
    return { until: new Promise((done) => void clock.after(14_000, () => done())) };
  };
  await assertRejects(
    () => rig.drive(rig.attach("c1")),
    DeadlineError,
    "HcnOpenNetwork did not come back in time",
  );
  await rig.drive(new Promise<void>((done) => void clock.after(5_000, done)));
  rig.library.onCall = () => {};
  await rig.settled();
  assertEquals([left(rig), rig.store.containerEndpoints.size, rig.leased().length], [2, 1, 1]);
});

Deno.test("an attach that is done after its caller was answered is undone", async () => {
  await using rig = await ContainerRig.start();
  await rig.attach("first");
  const { clock } = rig.node;
  rig.library.onCall = ({ name }, _index, when) => {
    // All is made in time; then handles are closed slowly.
    if (when === "after" || !/^Close(Endpoint|Namespace)$/.test(name)) return;
    return { until: new Promise((done) => void clock.after(14_700, () => done())) };
  };
  await assertRejects(() => rig.drive(rig.attach("c1")), DeadlineError, "not attached in time");
  rig.library.onCall = () => {};
  await rig.settled();
  assertEquals([left(rig), rig.store.containerEndpoints.size, rig.leased().length], [2, 1, 1]);
});

Deno.test("an engine that was stopped leaves no timer of its containers", async () => {
  await using rig = await ContainerRig.start();
  await rig.attach("c1");
  await rig.engine.stop();
  assertEquals(rig.node.clock.pendingTimers, 0);
});
