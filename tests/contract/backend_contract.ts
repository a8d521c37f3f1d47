/**
 * What every `NetworkBackend` does: one suite for the fake, Linux and Windows, in parts, since not every system joins
 * its containers by links. How Windows joins them is `containers/contract.ts`.
 *
 * The backend acts, an observer that knows nothing of it looks. Links are named `zt…`; each test removes its own.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import type { ContainerLinkSpec, ServiceNetworkSpec } from "../../core/backend/backend.ts";
import {
  AlreadyExistsError,
  InvalidConfigError,
  NotFoundError,
  UnsupportedError,
} from "../../core/errors.ts";
import { parseIp } from "../../core/ip/address.ts";
import { formatPrefix, parsePrefix } from "../../core/ip/prefix.ts";
import { waitFor } from "../support/wait_for.ts";
import {
  type Body,
  type ContractContainer,
  type ContractRig,
  INSTALLATION,
  type Register,
} from "./contract_rig.ts";
import { deviceTests, foreignDeviceTests, noDeviceTests } from "./device_contract.ts";

const BRIDGE: ServiceNetworkSpec = {
  name: "ztbr0",
  tag: `${INSTALLATION}:service-web`,
  gateway: parsePrefix("10.213.1.1/28")!,
  mtuBytes: 1420,
};

function eth0(host = "zteth0", last = 2): ContainerLinkSpec {
  return {
    hostName: host,
    tag: `${INSTALLATION}:attachment-${host}`,
    containerName: "eth0",
    mac: Uint8Array.of(2, 0, 0, 0, 0, last),
    address: parsePrefix(`10.213.1.${last}/28`)!,
    mtuBytes: 1420,
    uplink: { kind: "bridge", bridge: BRIDGE.name, gateway: BRIDGE.gateway.address },
  };
}

function eth1(host = "zteth1"): ContainerLinkSpec {
  return {
    hostName: host,
    tag: `${INSTALLATION}:attachment-${host}`,
    containerName: "eth1",
    mac: Uint8Array.of(2, 0, 0, 0, 1, 7),
    address: parsePrefix("10.214.0.7/32")!,
    mtuBytes: 1420,
    uplink: { kind: "routed", gateway: parseIp("10.214.0.1")!, routes: [parsePrefix("10.214.0.0/16")!] },
  };
}

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

function networkTests(test: Register): void {
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
function networkEntryTests(test: Register): void {
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

function processTests(test: Register): void {
  test("identify() tells containers apart and knows them again", async (rig) => {
    const [a, b] = [await rig.startContainer(), await rig.startContainer()];
    const identity = await rig.backend.identify(a.pid);
    assertEquals(await rig.backend.identify(a.pid), identity);
    assert((await rig.backend.identify(b.pid)).inode !== identity.inode);
    assert(await rig.backend.isAlive(identity));
    assert(
      !await rig.backend.isAlive({ ...identity, startTicks: identity.startTicks + 1n }),
      "another start",
    );
    assert(!await rig.backend.isAlive({ ...identity, inode: identity.inode + 1n }), "another namespace");
    assert(!await rig.backend.isAlive({ ...identity, bootId: "another boot" }), "another boot");
    await a.kill();
    assert(!await rig.backend.isAlive(identity));
    await assertRejects(() => rig.backend.identify(a.pid), NotFoundError, String(a.pid));
    await b.kill();
  });

  test("identify() refuses a process of the backend's own namespace", async (rig) => {
    await assertRejects(() => rig.backend.identify(rig.ownPid), InvalidConfigError, "namespace");
  });
}

function attachTests(test: Register): void {
  test("attachContainer() connects a container as specified", async (rig) => {
    await rig.backend.ensureServiceNetwork(BRIDGE);
    const container = await rig.startContainer();
    const netns = await rig.backend.identify(container.pid);
    await rig.backend.attachContainer({ netns, links: [eth0(), eth1()] });
    assertEquals(await rig.host.link("zteth0"), {
      kind: "veth",
      tag: eth0().tag,
      up: true,
      master: BRIDGE.name,
      mtuBytes: 1420,
      addresses: [],
    });
    const routed = await rig.host.link("zteth1");
    assertEquals([routed?.up, routed?.master, routed?.tag], [true, undefined, eth1().tag]);
    const inside = await container.link("eth0");
    assertEquals(inside, { addresses: ["10.213.1.2/28"], mac: "02:00:00:00:00:02" });
    assertEquals((await container.link("eth1"))?.addresses, ["10.214.0.7/32"]);
    await cleanUp(rig, container);
  });

  test("attachContainer() refuses an interface name that the container has, and leaves nothing", async (rig) => {
    await rig.backend.ensureServiceNetwork(BRIDGE);
    const container = await rig.startContainer();
    const netns = await rig.backend.identify(container.pid);
    await rig.backend.attachContainer({ netns, links: [eth0()] });
    const second = { netns, links: [eth0("ztother", 3)] };
    await assertRejects(() => rig.backend.attachContainer(second), AlreadyExistsError, "eth0");
    assertEquals(await rig.host.link("ztother"), undefined);
    assertEquals((await container.link("eth0"))?.addresses, ["10.213.1.2/28"]);
    await cleanUp(rig, container);
  });

  test("attachContainer() undoes the first link when the second fails", async (rig) => {
    await rig.backend.ensureServiceNetwork(BRIDGE);
    const container = await rig.startContainer();
    const netns = await rig.backend.identify(container.pid);
    const broken: ContainerLinkSpec = {
      ...eth1(),
      uplink: { kind: "bridge", bridge: "ztnosuch", gateway: BRIDGE.gateway.address },
    };
    await assertRejects(
      () => rig.backend.attachContainer({ netns, links: [eth0(), broken] }),
      NotFoundError,
      "ztnosuch",
    );
    assertEquals([await rig.host.link("zteth0"), await rig.host.link("zteth1")], [undefined, undefined]);
    assertEquals([await container.link("eth0"), await container.link("eth1")], [undefined, undefined]);
    await cleanUp(rig, container);
  });

  test("attachContainer() of a process that is gone, or another, fails and leaves nothing", async (rig) => {
    await rig.backend.ensureServiceNetwork(BRIDGE);
    const container = await rig.startContainer();
    const netns = await rig.backend.identify(container.pid);
    const other = { ...netns, inode: netns.inode + 1n };
    await assertRejects(() => rig.backend.attachContainer({ netns: other, links: [eth0()] }), NotFoundError);
    await container.kill();
    await assertRejects(() => rig.backend.attachContainer({ netns, links: [eth0()] }), NotFoundError);
    assertEquals(await rig.host.link("zteth0"), undefined);
    await cleanUp(rig, container);
  });

  test("attachContainer() leaves another's link of that name alone", async (rig) => {
    await rig.backend.ensureServiceNetwork(BRIDGE);
    await rig.host.makeBridge("zteth0", "someone else");
    const before = await rig.host.link("zteth0");
    const container = await rig.startContainer();
    const netns = await rig.backend.identify(container.pid);
    await assertRejects(
      () => rig.backend.attachContainer({ netns, links: [eth0()] }),
      AlreadyExistsError,
      "zteth0",
    );
    assertEquals(await rig.host.link("zteth0"), before);
    await rig.host.deleteByHand("zteth0");
    await cleanUp(rig, container);
  });

  test("mendContainerLink() joins a link to its bridge again, and says when it is gone", async (rig) => {
    await rig.backend.ensureServiceNetwork(BRIDGE);
    const container = await rig.startContainer();
    const netns = await rig.backend.identify(container.pid);
    await rig.backend.attachContainer({ netns, links: [eth0()] });
    await rig.host.deleteByHand(BRIDGE.name);
    await assertRejects(() => rig.backend.mendContainerLink(eth0()), NotFoundError, BRIDGE.name);
    await rig.backend.ensureServiceNetwork(BRIDGE);
    assert(await rig.backend.mendContainerLink(eth0()));
    const link = await rig.host.link("zteth0");
    assertEquals([link?.master, link?.up], [BRIDGE.name, true]);
    assertEquals((await container.link("eth0"))?.addresses, ["10.213.1.2/28"]);
    await rig.host.deleteByHand("zteth0");
    assert(!await rig.backend.mendContainerLink(eth0()));
    await cleanUp(rig, container);
  });
}

function removalTests(test: Register): void {
  test("removeContainerLinks() removes what is there and carries the tag", async (rig) => {
    await rig.backend.ensureServiceNetwork(BRIDGE);
    const container = await rig.startContainer();
    const netns = await rig.backend.identify(container.pid);
    await rig.backend.attachContainer({ netns, links: [eth0(), eth1()] });
    await rig.backend.removeContainerLinks([
      { hostName: "zteth0", tag: "another tag" },
      { hostName: "zteth1", tag: eth1().tag },
      { hostName: "ztnosuch", tag: "any" },
    ]);
    assert(await rig.host.link("zteth0"));
    assertEquals(await rig.host.link("zteth1"), undefined);
    assertEquals(await container.link("eth1"), undefined);
    await cleanUp(rig, container);
    await rig.backend.removeContainerLinks([eth0(), eth1()]);
  });

  test("removeContainerLinks() of many at once removes them all", async (rig) => {
    await rig.backend.ensureServiceNetwork(BRIDGE);
    const containers = await Promise.all(Array.from({ length: 8 }, () => rig.startContainer()));
    const links = containers.map((_, i) => eth0(`ztmany${i}`, 2 + i));
    await Promise.all(containers.map(async (container, i) => {
      const netns = await rig.backend.identify(container.pid);
      await rig.backend.attachContainer({ netns, links: [links[i]!] });
    }));
    await Promise.all(links.map((link) => rig.backend.removeContainerLinks([link])));
    for (const link of links) assertEquals(await rig.host.link(link.hostName), undefined);
    await Promise.all(containers.map((container) => container.kill()));
    await rig.backend.removeServiceNetwork(BRIDGE.name, BRIDGE.tag);
  });
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

/** Of a system whose containers are not joined by links. */
function noLinkTests(test: Register): void {
  test("what needs a container's process is refused in words and changes nothing", async ({ backend, ownPid }) => {
    const netns = { pid: ownPid, startTicks: 1n, device: 1n, inode: 1n, bootId: "any" };
    await backend.ensureServiceNetwork(BRIDGE);
    const before = await backend.inventory();
    for (
      const ask of [
        () => backend.identify(ownPid),
        () => backend.isAlive(netns),
        () => backend.attachContainer({ netns, links: [eth0()] }),
        () => backend.mendContainerLink(eth0()),
      ]
    ) {
      await assertRejects(ask, UnsupportedError, "only supported on Linux");
    }
    // None was ever made.
    await backend.removeContainerLinks([eth0(), eth1()]);
    assertEquals(await backend.inventory(), before);
    await backend.removeServiceNetwork(BRIDGE.name, BRIDGE.tag);
  });
}

async function cleanUp(rig: ContractRig, container: ContractContainer): Promise<void> {
  await rig.backend.removeContainerLinks([eth0(), eth1()]);
  await container.kill();
  await rig.backend.removeServiceNetwork(BRIDGE.name, BRIDGE.tag);
}
