/** What every `NetworkBackend` does with the networks of services; part of `backend_contract.ts`. */

import { assertEquals, assertRejects } from "@std/assert";
import type { ServiceNetworkSpec } from "../../core/backend/backend.ts";
import { AlreadyExistsError } from "../../core/errors.ts";
import { formatPrefix, parsePrefix } from "../../core/ip/prefix.ts";
import { type ContractRig, INSTALLATION, type Register } from "./contract_rig.ts";

/** The service's network of all parts. */
export const BRIDGE: ServiceNetworkSpec = {
  name: "ztbr0",
  tag: `${INSTALLATION}:service-web`,
  gateway: parsePrefix("10.213.1.1/28")!,
  mtuBytes: 1420,
};

/** Of a system where a service's network is a link. */
export function networkTests(test: Register): void {
  test("ensureServiceNetwork() makes the bridge as specified, and again changes nothing", async (rig) => {
    for (let i = 0; i < 2; i++) {
      await rig.backend.ensureServiceNetwork(BRIDGE);
      assertEquals(await rig.host.link(BRIDGE.name), {
        kind: "bridge",
        tag: BRIDGE.tag,
        up: true,
        mtuBytes: 1420,
        addresses: ["10.213.1.1/28"],
      });
    }
    await rig.backend.removeServiceNetwork(BRIDGE.name, BRIDGE.tag);
  });

  test("ensureServiceNetwork() mends address and MTU", async (rig) => {
    await rig.backend.ensureServiceNetwork({
      ...BRIDGE,
      gateway: parsePrefix("10.213.9.1/24")!,
      mtuBytes: 1500,
    });
    await rig.backend.ensureServiceNetwork(BRIDGE);
    const link = await rig.host.link(BRIDGE.name);
    assertEquals([link?.addresses, link?.mtuBytes], [["10.213.1.1/28"], 1420]);
    await rig.backend.removeServiceNetwork(BRIDGE.name, BRIDGE.tag);
  });

  test("ensureServiceNetwork() adopts an untagged bridge of that name", async (rig) => {
    await rig.host.makeBridge(BRIDGE.name);
    await rig.backend.ensureServiceNetwork(BRIDGE);
    assertEquals((await rig.host.link(BRIDGE.name))?.tag, BRIDGE.tag);
    await rig.backend.removeServiceNetwork(BRIDGE.name, BRIDGE.tag);
  });

  test("ensureServiceNetwork() leaves another's bridge alone and names it", async (rig) => {
    await rig.host.makeBridge(BRIDGE.name, "someone else");
    const before = await rig.host.link(BRIDGE.name);
    await assertRejects(() => rig.backend.ensureServiceNetwork(BRIDGE), AlreadyExistsError, BRIDGE.name);
    await rig.backend.removeServiceNetwork(BRIDGE.name, BRIDGE.tag);
    assertEquals(await rig.host.link(BRIDGE.name), before);
    await rig.host.deleteByHand(BRIDGE.name);
  });

  test("removeServiceNetwork() of what is gone is success", async (rig) => {
    await rig.backend.ensureServiceNetwork(BRIDGE);
    await rig.backend.removeServiceNetwork(BRIDGE.name, BRIDGE.tag);
    assertEquals(await rig.host.link(BRIDGE.name), undefined);
    await rig.backend.removeServiceNetwork(BRIDGE.name, BRIDGE.tag);
  });
}

/** What the backend itself says of a service's network, whatever that is on its system. */
export function networkEntryTests(test: Register): void {
  const entry = async ({ backend }: ContractRig): Promise<unknown> => {
    const found = (await backend.inventory()).filter(({ name }) => name === BRIDGE.name);
    return found.map(({ kind, tag, up, mtuBytes, addresses }) => ({
      kind,
      tag,
      up,
      mtuBytes,
      addresses: addresses.filter(({ address }) => address.family === 4).map(formatPrefix),
    }));
  };
  const wanted = { kind: "bridge", tag: BRIDGE.tag, up: true, mtuBytes: 1420, addresses: ["10.213.1.1/28"] };

  test("a service's network is in the inventory once, as it was last specified", async (rig) => {
    await rig.backend.ensureServiceNetwork({
      ...BRIDGE,
      gateway: parsePrefix("10.213.9.1/24")!,
      mtuBytes: 1500,
    });
    for (let i = 0; i < 2; i++) {
      await rig.backend.ensureServiceNetwork(BRIDGE);
      assertEquals(await entry(rig), [wanted]);
    }
    await rig.backend.removeServiceNetwork(BRIDGE.name, BRIDGE.tag);
    assertEquals(await entry(rig), []);
  });

  test("a service's network is removed by its owner alone; again it is success", async (rig) => {
    const [mine, theirs] = [BRIDGE.tag, `${INSTALLATION}:service-other`];
    const removals = [
      (tag: string) => rig.backend.removeServiceNetwork(BRIDGE.name, tag),
      async (tag: string) => {
        const found = (await rig.backend.inventory()).find(({ name }) => name === BRIDGE.name);
        if (found) await rig.backend.removeEntry({ ...found, tag });
      },
    ];
    for (const remove of removals) {
      await rig.backend.ensureServiceNetwork(BRIDGE);
      await remove(theirs);
      assertEquals(await entry(rig), [wanted]);
      await remove(mine);
      assertEquals(await entry(rig), []);
      await remove(mine);
    }
  });
}
