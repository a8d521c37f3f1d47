/** Networks that containers are attached to; part of `contract.ts`. */

import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import type { ContainerNetworkSpec } from "../../../core/backend/containers.ts";
import {
  InvalidConfigError,
  OverlayError,
  PermissionError,
  PreconditionError,
} from "../../../core/errors.ts";
import {
  ACCESS_DENIED,
  BASE,
  BASE_NAME,
  type ContainersRegister,
  type ContainersRig,
  counts,
  DB,
  DB_NAME,
  endpoint,
  id,
  networkNames,
  NO_SERVER,
  place,
  prefix,
} from "./rig.ts";

/** See the module. */
export function networkTests(test: ContainersRegister): void {
  ensureTests(test);
  foundTests(test);
  removalTests(test);
}

function ensureTests(test: ContainersRegister): void {
  for (const [what, spec, name, owner] of TARGETS) {
    test(`ensureNetwork() makes the ${what} as specified; again, and after a restart, it is the same`, async (rig) => {
      await rig.containers.ensureNetwork(spec);
      const made = rig.host.state().networks;
      assertEquals(made.map((one) => [one.name, one.type, one.subnet]), [[name, "Internal", subnetOf(spec)]]);
      assertEquals(marked(rig), [`${owner} hcn-internal ${made[0]!.id} ${subnetOf(spec)}`]);
      rig.host.taken();
      await rig.containers.ensureNetwork(spec);
      assertEquals(rig.host.taken(), ["OpenNetwork"], "one look at what was made");
      rig.reopen();
      await rig.containers.ensureNetwork(spec);
      assertEquals(rig.host.state().networks, made);
      assertEquals(rig.host.taken().filter((call) => !/^(Enumerate|Open|Query)/.test(call)), []);
    });

    test(`present() shows whether the ${what} is gone: only then it is looked for anew`, async (rig) => {
      await rig.containers.ensureNetwork(spec);
      await rig.containers.present();
      rig.host.taken();
      await rig.containers.ensureNetwork(spec);
      assertEquals(rig.host.taken(), ["OpenNetwork"], "it was there");
      await rig.host.deleteByHand("Network", rig.host.state().networks[0]!.id);
      await rig.containers.present();
      rig.host.taken();
      await rig.containers.ensureNetwork(spec);
      assertEquals(
        rig.host.taken(),
        ["OpenNetwork", "EnumerateNetworks", "CreateNetwork"],
        "once, by the marker",
      );
    });

    test(`ensureNetwork() of the ${what} many times at once makes one`, async (rig) => {
      await Promise.all(Array.from({ length: 5 }, () => rig.containers.ensureNetwork(spec)));
      assertEquals(networkNames(rig), [name]);
      assertEquals(rig.host.taken().filter((call) => call === "CreateNetwork").length, 1);
    });
  }

  test("ensureNetwork() clears host bits, and refuses a subnet that cannot be before anything is asked", async (rig) => {
    await rig.containers.ensureNetwork({ ...BASE, subnet: prefix("10.200.0.5/28") });
    assertEquals(rig.host.state().networks.map(({ subnet }) => subnet), ["10.200.0.0/28"]);
    rig.host.taken();
    for (const subnet of ["10.9.0.0/31", "10.9.0.1/32", "fd00::/64"]) {
      const spec = { ...DB, subnet: prefix(subnet) };
      await assertRejects(() => rig.containers.ensureNetwork(spec), InvalidConfigError, subnet);
    }
    assertEquals(rig.host.taken(), []);
  });

  test("ensureNetwork() that is refused says why and by whom, and leaves no trace", async (rig) => {
    rig.host.fail("CreateNetwork", ACCESS_DENIED);
    const error = await assertRejects(() => rig.containers.ensureNetwork(BASE), PermissionError);
    assertStringIncludes(error.message, BASE_NAME);
    assertStringIncludes(error.message, "0x80070005");
    assertEquals([counts(rig), marked(rig)], [[0, 0, 0], []]);
    await rig.containers.ensureNetwork(BASE);
    assertEquals(networkNames(rig), [BASE_NAME]);
  });

  test("ensureNetwork() takes a network that it cannot read while the service restarts for no other", async (rig) => {
    rig.host.plantNetwork({ id: id(1), name: BASE_NAME, type: "Internal", subnet: subnetOf(BASE) });
    rig.host.fail("QueryNetworkProperties", NO_SERVER, 3);
    await assertRejects(() => rig.drive(rig.containers.ensureNetwork(BASE)), OverlayError);
    assertEquals(rig.host.taken().includes("CreateNetwork"), false);
    await rig.containers.ensureNetwork(BASE);
    assertEquals(rig.host.state().networks.map((one) => one.id), [id(1)]);
  });

  test("ensureNetwork() takes no list of networks for no networks", async (rig) => {
    rig.host.fail("EnumerateNetworks", ACCESS_DENIED, 2);
    await assertRejects(() => rig.containers.ensureNetwork(BASE), PermissionError);
    assertEquals(counts(rig), [0, 0, 0]);
    // The second was not asked for: a refusal of that kind is final.
    await assertRejects(() => rig.containers.ensureNetwork(BASE), PermissionError);
  });
}

const TARGETS: readonly (readonly [string, ContainerNetworkSpec, string, string])[] = [
  ["base network", BASE, BASE_NAME, "base"],
  ["network of a service", DB, DB_NAME, "service:db"],
];

function foundTests(test: ContainersRegister): void {
  for (const [what, spec, name, owner] of TARGETS) {
    test(`ensureNetwork() adopts a ${what} that nobody noted, and notes it`, async (rig) => {
      rig.host.plantNetwork({ id: id(1), name, type: "Internal", subnet: subnetOf(spec) });
      await rig.containers.ensureNetwork(spec);
      assertEquals(rig.host.state().networks.map((one) => one.id), [id(1)]);
      assertEquals(marked(rig), [`${owner} hcn-internal ${id(1)} ${subnetOf(spec)}`]);
    });

    test(`ensureNetwork() makes the ${what} anew for another subnet, unless something is on it`, async (rig) => {
      await rig.containers.ensureNetwork(spec);
      const other = { ...spec, subnet: prefix("10.200.7.0/28") };
      await rig.containers.ensureNetwork(other);
      const [made, ...more] = rig.host.state().networks;
      assertEquals([made!.subnet, more], ["10.200.7.0/28", []]);
      assertEquals(marked(rig), [`${owner} hcn-internal ${made!.id} 10.200.7.0/28`]);
      rig.host.plantEndpoint({ id: id(2), name: "anyone's", network: made!.id, ip: "10.200.7.5" });
      const before = rig.host.state();
      const error = await assertRejects(() => rig.containers.ensureNetwork(spec), PreconditionError);
      for (const part of [name, subnetOf(spec), "10.200.7.0/28"]) assertStringIncludes(error.message, part);
      assertEquals(rig.host.state(), before);
    });

    test(`ensureNetwork() leaves another's network alone that is called as the ${what}`, async (rig) => {
      rig.host.plantNetwork({ id: id(1), name, type: "NAT", subnet: subnetOf(spec) });
      const before = rig.host.state();
      const error = await assertRejects(() => rig.containers.ensureNetwork(spec), PreconditionError);
      for (const part of [name, id(1)]) assertStringIncludes(error.message, part);
      assertEquals([rig.host.state(), marked(rig)], [before, []]);
    });

    test(`a ${what} deleted by hand is made again by ensureNetwork(), with its id`, async (rig) => {
      await rig.containers.ensureNetwork(spec);
      const [gone] = rig.host.state().networks;
      await rig.host.deleteByHand("Network", gone!.id);
      await rig.containers.ensureNetwork(spec);
      const [made, ...more] = rig.host.state().networks;
      assertEquals([made!.name, made!.id === gone!.id, more], [name, true, []]);
      assertEquals(marked(rig), [`${owner} hcn-internal ${made!.id} ${subnetOf(spec)}`]);
    });

    test(`a ${what} deleted by hand is made again by the attach that needs it, with its id`, async (rig) => {
      await rig.containers.ensureNetwork(spec);
      const [gone] = rig.host.state().networks;
      await rig.host.deleteByHand("Network", gone!.id);
      const address = prefix(spec === BASE ? "10.200.0.5/28" : "10.200.0.21/28");
      await rig.containers.attach(endpoint(rig, 5, { network: spec, address }));
      const [made] = rig.host.state().networks;
      assertEquals([made!.name, made!.id === gone!.id], [name, true]);
      assertEquals(marked(rig), [`${owner} hcn-internal ${made!.id} ${subnetOf(spec)}`]);
      assertEquals(await rig.containers.inspect(place(5)), "whole");
    });
  }

  test("ensureNetwork() believes a note only as far as the network it names is what is wanted", async (rig) => {
    await rig.containers.ensureNetwork(BASE);
    const [noted] = rig.host.state().networks;
    await rig.host.deleteByHand("Network", noted!.id);
    rig.host.plantNetwork({ ...noted!, name: "someone-else" });
    rig.reopen();
    await rig.containers.ensureNetwork(BASE);
    assertEquals(networkNames(rig), ["someone-else", BASE_NAME].sort());
    assertEquals(marked(rig).length, 1);
  });

  test("networks that only begin as ours do are nobody's business of ours", async (rig) => {
    const subnet = "10.201.0.0/28";
    rig.host.plantNetwork({ id: id(1), name: `${BASE_NAME}-2`, type: "NAT", subnet });
    rig.host.plantNetwork({ id: id(2), name: "zlayer-dev-overlay", type: "Internal", subnet });
    await rig.containers.ensureNetwork(BASE);
    assertEquals(networkNames(rig), ["zlayer-dev-overlay", BASE_NAME, `${BASE_NAME}-2`].sort());
    assertEquals(rig.containers.networkName({ deployment: "zlayer-dev" }), "zlayer-dev-overlay");
    assertEquals(rig.containers.networkName({ deployment: "" }), BASE_NAME, "until a deployment is known");
    assertEquals(rig.containers.networkName(DB), DB_NAME);
  });
}

function removalTests(test: ContainersRegister): void {
  test("removeNetwork() removes a service's network with all that is on it, and nothing else", async (rig) => {
    await rig.containers.ensureNetwork(BASE);
    await rig.containers.attach(endpoint(rig, 5));
    const address = prefix("10.200.0.22/28");
    await rig.containers.attach(endpoint(rig, 6, { network: DB, address }));
    await rig.containers.removeNetwork(DB);
    assertEquals(networkNames(rig), [BASE_NAME]);
    assertEquals(counts(rig), [1, 1, 1]);
    assertEquals(await rig.containers.inspect(place(5)), "whole");
    assertEquals(marked(rig).map((text) => text.split(" ")[0]), ["base"]);
    await rig.containers.removeNetwork(DB);
    await rig.containers.removeNetwork({ ...DB, service: "never-there" });
    assertEquals(counts(rig), [1, 1, 1]);
  });

  test("removeNetwork() finds the network by its name after a restart without a note", async (rig) => {
    rig.host.plantNetwork({ id: id(1), name: DB_NAME, type: "Internal", subnet: subnetOf(DB) });
    await rig.containers.removeNetwork(DB);
    assertEquals(counts(rig), [0, 0, 0]);
  });

  test("removeNetwork() leaves another's endpoint on the network, which then stays and is known", async (rig) => {
    await rig.containers.attach(endpoint(rig, 6, { network: DB, address: prefix("10.200.0.22/28") }));
    const [network] = rig.host.state().networks;
    rig.host.plantEndpoint({ id: id(1), name: "anyone's", network: network!.id, ip: "10.200.0.25" });
    await assertRejects(() => rig.containers.removeNetwork(DB), OverlayError);
    assertEquals(rig.host.state().endpoints.map(({ name }) => name), ["anyone's"]);
    assertEquals([networkNames(rig), marked(rig).length], [[DB_NAME], 1]);
    await rig.host.deleteByHand("Endpoint", id(1));
    await rig.containers.removeNetwork(DB);
    assertEquals([counts(rig), marked(rig)], [[0, 0, 0], []]);
  });

  test("removeNetwork() of another subnet than the network has leaves it and what is on it", async (rig) => {
    await rig.containers.attach(endpoint(rig, 6, { network: DB, address: prefix("10.200.0.22/28") }));
    const before = [rig.host.state(), marked(rig)];
    await rig.containers.removeNetwork({ ...DB, subnet: prefix("10.200.7.0/28") });
    assertEquals([rig.host.state(), marked(rig)], before);
  });

  test("removeNetwork() that fails half-way is finished by the next", async (rig) => {
    await rig.containers.attach(endpoint(rig, 6, { network: DB, address: prefix("10.200.0.22/28") }));
    rig.host.fail("DeleteEndpoint", NO_SERVER, 3);
    await assertRejects(() => rig.drive(rig.containers.removeNetwork(DB)), OverlayError);
    assertEquals(networkNames(rig), [DB_NAME]);
    assertEquals(marked(rig).length, 1);
    await rig.containers.removeNetwork(DB);
    assertEquals([counts(rig), marked(rig)], [[0, 0, 0], []]);
  });
}

function subnetOf(spec: ContainerNetworkSpec): string {
  return spec.service === undefined ? "10.200.0.0/28" : "10.200.0.16/28";
}

/** Entries of networks in the marker, as text. */
function marked({ marker }: ContainersRig): string[] {
  return marker.map((entry) => `${entry.owner} ${entry.kind} ${entry.id} ${entry.subnet}`).sort();
}
