/**
 * What every `NetworkBackend` does: one suite for the fake, Linux and Windows, in parts, since not every system joins
 * its containers by links. How Windows joins them is `containers/contract.ts`.
 *
 * The backend acts, an observer that knows nothing of it looks. Links are named `zt…`; each test removes its own.
 */

import { assert, assertEquals } from "@std/assert";
import { formatPrefix } from "../../core/ip/prefix.ts";
import { waitFor } from "../support/wait_for.ts";
import {
  attachTests,
  cleanUp,
  eth0,
  noLinkTests,
  processTests,
  removalTests,
} from "./container_link_contract.ts";
import type { Body, ContractRig, Register } from "./contract_rig.ts";
import { deviceTests, foreignDeviceTests, noDeviceTests } from "./device_contract.ts";
import { BRIDGE, networkEntryTests, networkTests } from "./service_network_contract.ts";

const PARTS = {
  networks: networkTests,
  networkEntries: networkEntryTests,
  processes: processTests,
  attachments: attachTests,
  removals: removalTests,
  observation: observationTests,
  noLinks: noLinkTests,
  devices: deviceTests,
  foreignDevices: foreignDeviceTests,
  noDevices: noDeviceTests,
} as const;

/** One part of the suite. */
export type ContractPart = keyof typeof PARTS;

/** Every part, with whether a system runs it: `true`, or why not. */
export type PartTable = Readonly<Record<ContractPart, true | string>>;

/** A system that joins containers by links and has WireGuard. */
export const WITH_LINKS: PartTable = {
  networks: true,
  networkEntries: true,
  processes: true,
  attachments: true,
  removals: true,
  observation: true,
  noLinks: "containers are joined by links",
  devices: true,
  foreignDevices: true,
  noDevices: "there is WireGuard",
};

const BY_HCN = "containers are joined by HCN: containers/contract.ts has this part's tests for that";

/** Windows. */
export const WINDOWS: PartTable = {
  networks:
    "a service's network is no link; networkEntries has what is left, and containers/contract.ts HCN's",
  networkEntries: true,
  processes: BY_HCN,
  attachments: BY_HCN,
  removals: BY_HCN,
  observation: "needs a link to be deleted by hand; the tests of devices do it with a device",
  noLinks: true,
  devices: true,
  foreignDevices: "Wintun renames another's adapter of that name, it does not refuse",
  noDevices: "there is WireGuard",
};

/** The same system without WireGuard. */
export function withoutDevices(table: PartTable): PartTable {
  const why = "there is no WireGuard";
  return { ...table, devices: why, foreignDevices: why, noDevices: true };
}

/**
 * Registers the suite.
 *
 * @param name Of the backend, for the names of the tests.
 * @param options `parts`: those that the backend's system runs; by default those of one with links and WireGuard.
 */
export function backendContract(
  name: string,
  open: () => Promise<ContractRig>,
  { parts = WITH_LINKS }: { readonly parts?: PartTable } = {},
): void {
  const test = (title: string, body: Body): void => {
    Deno.test(`${name}: ${title}`, async () => {
      await using rig = await open();
      await body(rig);
    });
  };
  for (const part of Object.keys(PARTS) as ContractPart[]) if (parts[part] === true) PARTS[part](test);
}

function observationTests(test: Register): void {
  test("inventory() lists what is tagged, and removeEntry() removes it while it is", async (rig) => {
    await rig.backend.ensureServiceNetwork(BRIDGE);
    await rig.host.makeBridge("ztforeign", "someone else");
    const container = await rig.startContainer();
    const netns = await rig.backend.identify(container.pid);
    await rig.backend.attachContainer({ netns, links: [eth0()] });
    const entries = await rig.backend.inventory();
    const veth = entries.find((entry) => entry.name === "zteth0");
    assertEquals([veth?.kind, veth?.tag, veth?.up, veth?.master], ["veth", eth0().tag, true, BRIDGE.name]);
    const bridge = entries.find((entry) => entry.name === BRIDGE.name);
    assertEquals([bridge?.kind, bridge?.mtuBytes], ["bridge", 1420]);
    assert(bridge?.addresses.map(formatPrefix).includes("10.213.1.1/28"));
    assert(!entries.some((entry) => entry.name === "ztforeign"));
    await rig.backend.removeEntry({ ...veth!, tag: "another tag" });
    assert(await rig.host.link("zteth0"));
    await rig.backend.removeEntry(veth!);
    assertEquals(await rig.host.link("zteth0"), undefined);
    await rig.host.deleteByHand("ztforeign");
    await cleanUp(rig, container);
  });

  test("watch() tells when something of ours is deleted by hand, until it is stopped", async (rig) => {
    await rig.backend.ensureServiceNetwork(BRIDGE);
    const names: string[] = [];
    const stop = await rig.backend.watch((name) => names.push(name));
    await rig.host.deleteByHand(BRIDGE.name);
    await waitFor("the deletion is told", () => names.includes(BRIDGE.name));
    stop();
    names.length = 0;
    await rig.backend.ensureServiceNetwork(BRIDGE);
    await rig.backend.removeServiceNetwork(BRIDGE.name, BRIDGE.tag);
    assertEquals(names, []);
  });
}
