/** Attach, detach and inspection of containers; part of `contract.ts`. */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  DeadlineError,
  IncompleteUndoError,
  OverlayError,
  PermissionError,
  TeardownError,
  UnavailableError,
} from "../../../core/errors.ts";
import { waitFor } from "../../support/wait_for.ts";
import {
  ACCESS_DENIED,
  BASE,
  BASE_NAME,
  type ContainersRegister,
  type ContainersRig,
  counts,
  DEPLOYMENT,
  endpoint,
  id,
  NO_SERVER,
  NOT_READY,
  place,
  prefix,
  REFUSED,
  SYSTEM_NAMESPACE,
} from "./rig.ts";

/** See the module. */
export function placeTests(test: ContainersRegister): void {
  attachTests(test);
  rollbackTests(test);
  repairTests(test);
  detachTests(test);
  goneTests(test);
  claimTests(test);
}

function repairTests(test: ContainersRegister): void {
  test("repair() makes an endpoint again that was deleted, on its network, and is fine when nothing is wrong", async (rig) => {
    const { mac } = await rig.containers.attach(endpoint(rig, 5));
    const before = rig.host.state();
    const spec = { ...endpoint(rig, 5), ...(mac === undefined ? {} : { mac }) };
    assertEquals(await rig.containers.repair(spec), "whole");
    assertEquals(rig.host.state(), before);
    await rig.host.deleteByHand("Endpoint", id(5));
    await rig.host.deleteByHand("Network", before.networks[0]!.id);
    const { allEndpoints, namespaces } = await rig.containers.present();
    assertEquals([allEndpoints.has(id(5)), namespaces.has(id(105))], [false, true]);
    assertEquals(await rig.containers.repair(spec), "whole");
    assertEquals(rig.host.state(), before);
    assertEquals(await rig.containers.inspect(place(5)), "whole");
    assertEquals([...(await rig.containers.present()).allEndpoints], [id(5)]);
  });

  test("repair() puts an endpoint that is on another network on its own", async (rig) => {
    await rig.containers.attach(endpoint(rig, 5));
    const before = rig.host.state();
    await rig.host.deleteByHand("Endpoint", id(5));
    rig.host.plantNetwork({ id: id(50), name: "another", type: "Internal", subnet: "10.200.7.0/28" });
    rig.host.plantEndpoint({ id: id(5), name: "zlayer-c5", network: id(50), ip: "10.200.7.5" });
    assertEquals(await rig.containers.repair(endpoint(rig, 5)), "whole");
    assertEquals(rig.host.state().endpoints, before.endpoints);
    assertEquals(await rig.containers.inspect(place(5)), "whole");
  });

  test("repair() makes nothing where the namespace is gone", async (rig) => {
    await rig.containers.attach(endpoint(rig, 5));
    await rig.containers.detach(place(5));
    assertEquals(await rig.containers.repair(endpoint(rig, 5)), "lost");
    assertEquals(counts(rig), [1, 0, 0]);
  });
}

function attachTests(test: ContainersRegister): void {
  test("attach() makes endpoint and namespace as specified, on a network that it makes if need be", async (rig) => {
    assertEquals((await rig.containers.attach(endpoint(rig, 5))).namespace, id(105));
    const { networks, endpoints, namespaces } = rig.host.state();
    assertEquals(networks.map(({ name }) => name), [BASE_NAME]);
    assertEquals(endpoints, [{ id: id(5), name: "zlayer-c5", network: networks[0]!.id, ip: "10.200.0.5" }]);
    assertEquals(namespaces, [{ id: id(105), endpoints: [id(5)] }]);
    assertEquals(await rig.containers.inspect(place(5)), "whole");
    rig.reopen();
    assertEquals(await rig.containers.inspect(place(5)), "whole", "also for another process");
  });

  test("attach() of many at once, and detach of them, mixes nothing up", async (rig) => {
    const all = [2, 3, 4, 5, 6, 7, 8, 9];
    await Promise.all(all.map((n) => rig.containers.attach(endpoint(rig, n))));
    assertEquals(counts(rig), [1, 8, 8]);
    assertEquals(
      await Promise.all(all.map((n) => rig.containers.inspect(place(n)))),
      all.map(() => "whole" as const),
    );
    await Promise.all(all.slice(1).map((n) => rig.containers.detach(place(n))));
    assertEquals(rig.host.state().endpoints.map((one) => one.id), [id(2)]);
    assertEquals(await rig.containers.inspect(place(2)), "whole");
  });

  test("attach() again with an address or ids that are taken is refused and hurts nobody", async (rig) => {
    await rig.containers.attach(endpoint(rig, 5));
    const before = rig.host.state();
    const address = prefix("10.200.0.5/28");
    const error = await assertRejects(
      () => rig.drive(rig.containers.attach(endpoint(rig, 6, { address }))),
      OverlayError,
    );
    for (const part of ["zlayer-c6", "10.200.0.5/28", BASE_NAME]) assertStringIncludes(error.message, part);
    assertEquals(rig.host.state(), before);
    const other = prefix("10.200.0.7/28");
    for (const taken of [{ endpoint: id(5) }, { namespace: id(105) }]) {
      await assertRejects(
        () => rig.containers.attach(endpoint(rig, 7, { address: other, ...taken })),
        OverlayError,
      );
      assertEquals(rig.host.state(), before, JSON.stringify(taken));
    }
    await rig.containers.detach(place(5));
    await rig.containers.attach(endpoint(rig, 5));
    assertEquals(rig.host.state(), before, "the same ids and address once more");
  });

  test("attach() tells the id that the host has given the namespace before it puts anything in", async (rig) => {
    const told: (readonly [string, readonly number[]])[] = [];
    rig.host.assignNamespace(id(999));
    const spec = endpoint(rig, 5, {
      onNamespace: (namespace) => Promise.resolve(void told.push([namespace, counts(rig)])),
    });
    assertEquals((await rig.containers.attach(spec)).namespace, id(999));
    assertEquals(told, [[id(999), [1, 0, 1]]]);
    assertEquals(await rig.containers.inspect({ ...place(5), namespace: id(999) }), "whole");
    rig.host.assignNamespace(id(998));
    rig.host.fail("CreateEndpoint", REFUSED);
    rig.host.taken();
    await assertRejects(() => rig.containers.attach(endpoint(rig, 6)), OverlayError);
    assertEquals(
      rig.host.taken().filter((call) => call === "DeleteNamespace").length,
      1,
      "the real one alone",
    );
    assertEquals(counts(rig), [1, 1, 1]);
  });

  test("attach() waits for a network of its own making to be ready, and for no other", async (rig) => {
    rig.host.fail("CreateEndpoint", NOT_READY, 3);
    await rig.drive(rig.containers.attach(endpoint(rig, 5)));
    assertEquals(rig.host.taken().filter((call) => call === "CreateEndpoint").length, 4);
    rig.reopen();
    rig.host.fail("CreateEndpoint", NOT_READY);
    await assertRejects(() => rig.containers.attach(endpoint(rig, 6)), OverlayError, "10.200.0.6/28");
    assertEquals(counts(rig), [1, 1, 1]);
  });

  test("attach() asks again while the service is just restarting", async (rig) => {
    await rig.containers.ensureNetwork(BASE);
    for (const call of ["CreateNamespace", "CreateEndpoint", "ModifyNamespace"]) {
      rig.host.fail(call, NO_SERVER, 2);
      await rig.drive(rig.containers.attach(endpoint(rig, 5)));
      assertEquals(await rig.containers.inspect(place(5)), "whole", call);
      await rig.containers.detach(place(5));
    }
  });
}

/** What goes wrong in an attach, and what must be undone then. */
const FAILURES: readonly { readonly name: string; readonly arm: (rig: ContainersRig) => void }[] = [
  { name: "the namespace is refused", arm: ({ host }) => host.fail("CreateNamespace", REFUSED) },
  { name: "the endpoint is refused", arm: ({ host }) => host.fail("CreateEndpoint", REFUSED) },
  { name: "nobody answers for the endpoint", arm: ({ host }) => host.fail("CreateEndpoint", NO_SERVER, 3) },
  { name: "it may not go in", arm: ({ host }) => host.fail("ModifyNamespace", ACCESS_DENIED) },
  { name: "it cannot be looked at", arm: ({ host }) => host.fail("QueryEndpointProperties", REFUSED) },
  { name: "it has another address", arm: ({ host }) => host.assignAddress("10.200.0.9") },
  { name: "the service has forgotten all", arm: ({ host }) => host.hang("CreateEndpoint") },
];

function rollbackTests(test: ContainersRegister): void {
  for (const { name, arm } of FAILURES) {
    test(`attach() undoes what it did when ${name}`, async (rig) => {
      await rig.containers.attach(endpoint(rig, 2));
      const before = rig.host.state();
      arm(rig);
      const failed = assertRejects(
        () => rig.drive(rig.containers.attach(endpoint(rig, 5))),
        OverlayError,
      );
      if (name.includes("forgotten")) {
        await rig.drive(hung(rig));
        rig.host.restart();
        rig.host.release();
      }
      await failed;
      assertEquals(rig.host.state(), name.includes("forgotten") ? EMPTY : before);
      await rig.containers.attach(endpoint(rig, 5));
      assertEquals(await rig.containers.inspect(place(5)), "whole");
    });
  }

  test("attach() that cannot undo says so, and a detach finishes it", async (rig) => {
    await rig.containers.ensureNetwork(BASE);
    rig.host.fail("ModifyNamespace", ACCESS_DENIED);
    rig.host.fail("DeleteEndpoint", ACCESS_DENIED);
    rig.host.fail("DeleteNamespace", ACCESS_DENIED);
    const error = await assertRejects(
      () => rig.containers.attach(endpoint(rig, 5)),
      IncompleteUndoError,
      "c5",
    );
    assertEquals([error.code, error.cause instanceof PermissionError], ["permission_denied", true]);
    assertEquals(counts(rig), [1, 1, 1]);
    assertEquals(await rig.containers.inspect(place(5)), "broken");
    await rig.containers.detach(place(5));
    assertEquals(counts(rig), [1, 0, 0]);
  });

  test("attach() whose time is up undoes what it did", async (rig) => {
    const late = rig.containers.attach(endpoint(rig, 5, { giveUpAtMs: rig.nowMs() }));
    await assertRejects(() => late, DeadlineError, "c5");
    assertEquals(counts(rig), [1, 0, 0]);
    for (const call of ["CreateNamespace", "CreateEndpoint", "ModifyNamespace"]) {
      rig.host.hang(call);
      const slow = assertRejects(
        () => rig.containers.attach(endpoint(rig, 5, { giveUpAtMs: rig.nowMs() + 1000 })),
        OverlayError,
        call,
      );
      await hung(rig);
      rig.advance(1001);
      await rig.drive(slow);
      // Nothing is closed or deleted under a call that still runs; what that leaves is removed by whoever knows it.
      rig.host.release();
      await rig.drive(waitFor("all is back", () => rig.host.problems().length === 0));
      await rig.containers.detach(place(5));
      assertEquals(counts(rig), [1, 0, 0], call);
    }
    assert(rig.containers.trouble === undefined, "nothing is wrong with the service");
  });
}

function detachTests(test: ContainersRegister): void {
  test("detach() removes endpoint and namespace, of that container alone; again it is success", async (rig) => {
    await rig.containers.attach(endpoint(rig, 2));
    const before = rig.host.state();
    await rig.containers.attach(endpoint(rig, 5));
    for (let i = 0; i < 2; i++) {
      await rig.containers.detach(place(5));
      assertEquals(rig.host.state(), before);
      assertEquals(await rig.containers.inspect(place(5)), "gone");
    }
  });

  test("detach() after a restart, and of what somebody has half removed, removes the rest", async (rig) => {
    await rig.containers.attach(endpoint(rig, 3));
    await rig.containers.attach(endpoint(rig, 4));
    rig.reopen();
    await rig.host.deleteByHand("Endpoint", id(3));
    assertEquals(await rig.containers.inspect(place(3)), "broken");
    await rig.containers.detach(place(3));
    assertEquals(await rig.containers.inspect(place(3)), "gone");
    await rig.containers.detach({ endpoints: [id(4)] });
    assertEquals(await rig.containers.inspect(place(4)), "broken", "its namespace is left");
    await rig.containers.detach(place(4));
    assertEquals(counts(rig), [1, 0, 0]);
  });

  test("detach() leaves a namespace that holds another's endpoint, and the system's own", async (rig) => {
    await rig.containers.attach(endpoint(rig, 5));
    const [network] = rig.host.state().networks;
    rig.host.plantEndpoint({ id: id(1), name: "anyone's", network: network!.id, ip: "10.200.0.9" });
    rig.host.plantNamespace({ id: id(105), endpoints: [id(5), id(1)] });
    await rig.containers.detach(place(5));
    assertEquals(rig.host.state().namespaces, [{ id: id(105), endpoints: [id(1)] }]);
    rig.host.plantEndpoint({ id: id(6), name: "zlayer-c6", network: network!.id, ip: "10.200.0.6" });
    rig.host.taken();
    await rig.containers.detach({ namespace: SYSTEM_NAMESPACE, endpoints: [id(6)] });
    assertEquals(rig.host.state().endpoints.map((one) => one.id), [id(1)]);
    assertEquals(rig.host.taken().filter((call) => /Namespace$/.test(call)), ["OpenNamespace"]);
  });

  test("detach() goes on when something fails, tells all of it, and is finished by the next", async (rig) => {
    await rig.containers.attach(endpoint(rig, 5));
    rig.host.fail("ModifyNamespace", ACCESS_DENIED);
    rig.host.fail("DeleteEndpoint", ACCESS_DENIED);
    const error = await assertRejects(() => rig.containers.detach(place(5)), TeardownError, id(105));
    // An endpoint that is in it keeps the namespace.
    assertEquals([error.errors.length, counts(rig)], [3, [1, 1, 1]]);
    await rig.containers.detach(place(5));
    assertEquals(counts(rig), [1, 0, 0]);
    await rig.containers.attach(endpoint(rig, 5));
    rig.host.fail("DeleteNamespace", NO_SERVER, 3);
    const failed = await assertRejects(() => rig.drive(rig.containers.detach(place(5))), TeardownError);
    assert(failed.errors[0] instanceof UnavailableError);
    assertEquals(counts(rig), [1, 0, 1]);
    await rig.containers.detach(place(5));
    assertEquals(counts(rig), [1, 0, 0]);
  });
}

function goneTests(test: ContainersRegister): void {
  test("detach() is not kept from a namespace by the id of an endpoint that is gone", async (rig) => {
    await rig.containers.attach(endpoint(rig, 5));
    const [network] = rig.host.state().networks;
    rig.host.plantEndpoint({ id: id(1), name: "anyone's", network: network!.id, ip: "10.200.0.9" });
    rig.host.plantNamespace({ id: id(105), endpoints: [id(5), id(1)] });
    await rig.host.deleteByHand("Endpoint", id(1));
    await rig.containers.detach(place(5));
    assertEquals(counts(rig), [1, 0, 0]);
  });
}

function claimTests(test: ContainersRegister): void {
  test("claim() knows a namespace by what is in it: all ours, or it is none of our business", async (rig) => {
    const { containers, host } = rig;
    await containers.attach(endpoint(rig, 5));
    rig.reopen();
    assertEquals(await rig.containers.claim(DEPLOYMENT, id(105)), [id(5)]);
    assertEquals(await rig.containers.claim("zlayer-dev", id(105)), undefined, "another deployment's");
    const [network] = host.state().networks;
    host.plantEndpoint({ id: id(1), name: "anyone's", network: network!.id, ip: "10.200.0.9" });
    host.plantNamespace({ id: id(105), endpoints: [id(5), id(1)] });
    assertEquals(await rig.containers.claim(DEPLOYMENT, id(105)), undefined, "one in it is not ours");
    host.plantNamespace({ id: id(200), endpoints: [] });
    assertEquals(await rig.containers.claim(DEPLOYMENT, id(200)), undefined, "nothing shows whose it is");
    assertEquals(await rig.containers.claim(DEPLOYMENT, id(201)), undefined, "there is none");
    assertEquals(await rig.containers.claim(DEPLOYMENT, SYSTEM_NAMESPACE), undefined);
  });

  test("claim() takes no namespace by references to endpoints that are gone alone", async (rig) => {
    const { containers, host } = rig;
    await containers.attach(endpoint(rig, 5));
    host.plantEndpoint({
      id: id(6),
      name: "zlayer-c6",
      network: host.state().networks[0]!.id,
      ip: "10.200.0.6",
    });
    host.plantNamespace({ id: id(105), endpoints: [id(5), id(6)] });
    await host.deleteByHand("Endpoint", id(6));
    assertEquals([...await containers.claim(DEPLOYMENT, id(105)) ?? []].sort(), [id(5), id(6)]);
    await host.deleteByHand("Endpoint", id(5));
    assertEquals(await containers.claim(DEPLOYMENT, id(105)), undefined);
  });

  test("ids are read in any form, and new ones are unlike", ({ containers }) => {
    const text = "AABBCCDD-EEFF-0011-2233-445566778899";
    for (const form of [text, `{${text}}`, text.toLowerCase()]) {
      assertEquals(containers.parseId(form), text.toLowerCase());
    }
    for (const bad of ["", "web-1", `{${text}`, text.slice(1), `${text}0`]) {
      assertEquals(containers.parseId(bad), undefined, bad);
    }
    const [a, b] = [containers.newId(), containers.newId()];
    assertEquals([containers.parseId(a), a === b], [a, false]);
    return Promise.resolve();
  });
}

const EMPTY = { networks: [], endpoints: [], namespaces: [] };

/** Resolves when a call hangs. */
async function hung({ host }: ContainersRig): Promise<void> {
  await waitFor("a call hangs", () => host.hanging() === 1);
}
