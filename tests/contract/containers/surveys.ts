/** Survey and purge; part of `contract.ts`. */

import { assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import type { ContainerSurvey } from "../../../core/backend/containers.ts";
import { PermissionError } from "../../../core/errors.ts";
import {
  ACCESS_DENIED,
  BASE,
  BASE_NAME,
  type ContainersRegister,
  counts,
  DB,
  DB_NAME,
  DEPLOYMENT,
  endpoint,
  id,
  networkNames,
  place,
  prefix,
  REFUSED,
  SYSTEM_NAMESPACE,
} from "./rig.ts";

/** See the module. */
export function surveyTests(test: ContainersRegister): void {
  findingTests(test);
  purgeTests(test);
}

const DB_PLACE = { network: DB, address: prefix("10.200.0.22/28") };

function findingTests(test: ContainersRegister): void {
  test("survey() finds what this or an earlier process attached, with everything a record needs", async (rig) => {
    await rig.containers.attach(endpoint(rig, 5));
    await rig.containers.attach(endpoint(rig, 6, DB_PLACE));
    rig.reopen();
    const survey = await rig.containers.survey(DEPLOYMENT);
    assertEquals(found(survey), [
      {
        endpoint: id(5),
        containerId: "c5",
        networkName: BASE_NAME,
        namespace: id(105),
        ip: "10.200.0.5",
      },
      {
        endpoint: id(6),
        containerId: "c6",
        networkName: DB_NAME,
        service: "db",
        namespace: id(106),
        ip: "10.200.0.22",
      },
    ]);
    assertEquals([...survey.allEndpoints].sort(), [id(5), id(6)]);
    for (const { mac } of survey.endpoints) assertMatch(mac!, /^[0-9A-F]{2}(-[0-9A-F]{2}){5}$/i);
    assertEquals([...survey.emptyNamespaces].sort(), [id(105), id(106)], "no container is in them");
    assertEquals([...survey.namespaces].sort(), [id(105), id(106), SYSTEM_NAMESPACE].sort());
  });

  test("survey() tells ours from others', by name and by network, and what is in no namespace", async (rig) => {
    await rig.containers.ensureNetwork(BASE);
    const base = rig.host.state().networks[0]!.id;
    rig.host.plantNetwork({ id: id(50), name: "foreign", type: "NAT", subnet: "10.9.0.0/24" });
    const plant = (n: number, name: string, network: string, ip: string): void =>
      rig.host.plantEndpoint({ id: id(n), name, network, ip });
    plant(1, "zlayer-left-behind", base, "10.200.0.7");
    plant(2, "zlayer-dev-b", base, "10.200.0.8");
    plant(3, "foo", base, "10.200.0.9");
    plant(4, "zlayer-c", id(50), "10.9.0.5");
    plant(5, "zlayer-", base, "10.200.0.10");
    rig.host.plantNamespace({ id: id(100), endpoints: [id(3), id(4)] });
    const survey = await rig.containers.survey(DEPLOYMENT);
    assertEquals(found(survey), [
      { endpoint: id(1), containerId: "left-behind", networkName: BASE_NAME, ip: "10.200.0.7" },
      // A deployment's name may begin with another's: nothing but the network tells them apart.
      { endpoint: id(2), containerId: "dev-b", networkName: BASE_NAME, ip: "10.200.0.8" },
    ]);
    assertEquals(found(await rig.containers.survey("zlayer-dev")), []);
    assertEquals([...survey.allEndpoints].sort(), [1, 2, 3, 4, 5].map(id));
    await rig.containers.detach({ endpoints: [id(1)] });
    assertEquals(found(await rig.containers.survey(DEPLOYMENT)).map((one) => one.endpoint), [id(2)]);
  });

  test("survey() finds all of an endpoint that another program made, so that it can be taken over", async (rig) => {
    rig.host.plantNetwork({ id: id(50), name: DB_NAME, type: "Internal", subnet: "10.200.0.16/28" });
    rig.host.plantEndpoint({ id: id(7), name: "zlayer-old", network: id(50), ip: "10.200.0.23" });
    rig.host.plantNamespace({ id: id(107), endpoints: [id(7)] });
    const [old] = found(await rig.containers.survey(DEPLOYMENT));
    assertEquals(old, {
      endpoint: id(7),
      containerId: "old",
      networkName: DB_NAME,
      service: "db",
      namespace: id(107),
      ip: "10.200.0.23",
    });
    const taken = { namespace: old!.namespace!, endpoints: [old!.endpoint] };
    assertEquals(await rig.containers.inspect(taken), "whole");
    await rig.containers.detach(taken);
    assertEquals(counts(rig), [1, 0, 0]);
  });

  test("survey() passes over one object that cannot be read, and takes no list for an empty one", async (rig) => {
    await rig.containers.attach(endpoint(rig, 5));
    await rig.containers.attach(endpoint(rig, 6));
    rig.host.fail("QueryEndpointProperties", REFUSED);
    assertEquals(found(await rig.containers.survey(DEPLOYMENT)).length, 1);
    for (const list of ["EnumerateNetworks", "EnumerateEndpoints", "EnumerateNamespaces"]) {
      rig.host.fail(list, ACCESS_DENIED);
      await assertRejects(() => rig.containers.survey(DEPLOYMENT), PermissionError);
    }
    assertEquals(found(await rig.containers.survey(DEPLOYMENT)).length, 2);
  });

  test("survey() of a service that has forgotten everything finds nothing, and attach works", async (rig) => {
    await rig.containers.attach(endpoint(rig, 5));
    rig.host.restart();
    const survey = await rig.containers.survey(DEPLOYMENT);
    assertEquals([found(survey), [...survey.allEndpoints]], [[], []]);
    assertEquals(await rig.containers.inspect(place(5)), "gone");
    await rig.containers.attach(endpoint(rig, 5));
    assertEquals(await rig.containers.inspect(place(5)), "whole");
  });
}

function purgeTests(test: ContainersRegister): void {
  test("ownerless() tells of namespaces that nothing is in; purge() leaves them alone", async (rig) => {
    const { containers, host } = rig;
    await containers.attach(endpoint(rig, 5));
    await containers.attach(endpoint(rig, 6));
    host.plantNamespace({ id: id(300), endpoints: [] });
    assertEquals(await containers.ownerless(), [id(300)]);
    // What keeps only the id of an endpoint that is gone is no better.
    await host.deleteByHand("Endpoint", id(5));
    assertEquals([...await containers.ownerless()].sort(), [id(105), id(300)]);
    assertEquals(await containers.purge(DEPLOYMENT), []);
    assertEquals(host.state().namespaces.map((one) => one.id), [id(105), id(300)]);
    assertEquals([...await containers.ownerless()].sort(), [id(105), id(300)]);
  });

  test("purge() removes all that is ours, noted or only named so, and nothing else; again it is success", async (rig) => {
    await rig.containers.attach(endpoint(rig, 5));
    await rig.containers.attach(endpoint(rig, 6, DB_PLACE));
    rig.host.plantNetwork({
      id: id(50),
      name: `${BASE_NAME}-svc-web`,
      type: "Internal",
      subnet: "10.9.1.0/28",
    });
    rig.host.plantNetwork({
      id: id(51),
      name: "zlayer-dev-overlay",
      type: "Internal",
      subnet: "10.9.2.0/28",
    });
    rig.host.plantEndpoint({ id: id(7), name: "zlayer-dev-x", network: id(51), ip: "10.9.2.5" });
    rig.host.plantNamespace({ id: id(107), endpoints: [id(7)] });
    rig.reopen();
    for (let i = 0; i < 2; i++) {
      assertEquals(await rig.containers.purge(DEPLOYMENT), []);
      const { networks, endpoints, namespaces } = rig.host.state();
      assertEquals(networks.map(({ name }) => name), ["zlayer-dev-overlay"]);
      assertEquals([endpoints.length, namespaces.length], [1, 1]);
    }
  });

  test("purge() removes a namespace of ours that an earlier purge had emptied and no more", async (rig) => {
    await rig.containers.attach(endpoint(rig, 5));
    await rig.host.deleteByHand("Endpoint", id(5));
    rig.host.plantNamespace({ id: id(107), endpoints: [] });
    rig.reopen();
    assertEquals(await rig.containers.purge(DEPLOYMENT, [place(5)]), []);
    assertEquals(rig.host.state().namespaces.map((one) => one.id), [id(107)]);
  });

  test("purge() goes on past what cannot be removed, and tells of it", async (rig) => {
    await rig.containers.attach(endpoint(rig, 5));
    await rig.containers.attach(endpoint(rig, 6, DB_PLACE));
    rig.host.fail("DeleteNetwork", ACCESS_DENIED);
    const [failure, ...more] = await rig.containers.purge(DEPLOYMENT);
    assertEquals(more, []);
    const [left] = networkNames(rig);
    assertEquals(counts(rig), [1, 0, 0]);
    assertStringIncludes(failure!, left!);
    assertStringIncludes(failure!, "0x80070005");
    assertEquals(await rig.containers.purge(DEPLOYMENT), []);
    assertEquals(counts(rig), [0, 0, 0]);
  });

  test("purge() that gets no list removes what the marker knows", async (rig) => {
    await rig.containers.ensureNetwork(BASE);
    rig.host.plantNetwork({ id: id(50), name: DB_NAME, type: "Internal", subnet: "10.200.0.16/28" });
    rig.host.fail("EnumerateNetworks", ACCESS_DENIED);
    const failures = await rig.containers.purge(DEPLOYMENT);
    assertEquals([failures.length, networkNames(rig)], [1, [DB_NAME]]);
    assertStringIncludes(failures[0]!, "cannot list HCN networks");
  });
}

/** Endpoints of a survey by id. */
/** Sorted; hardware addresses, which are the host's choice, left out. */
function found({ endpoints }: ContainerSurvey): ContainerSurvey["endpoints"] {
  return endpoints.map(({ mac: _, ...one }) => one).toSorted((a, b) => a.endpoint < b.endpoint ? -1 : 1);
}
