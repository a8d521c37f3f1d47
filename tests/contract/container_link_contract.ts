/** What a `NetworkBackend` does that joins containers by links, and one that does not; part of `backend_contract.ts`. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import type { ContainerLinkSpec } from "../../core/backend/backend.ts";
import {
  AlreadyExistsError,
  InvalidConfigError,
  NotFoundError,
  UnsupportedError,
} from "../../core/errors.ts";
import { parseIp } from "../../core/ip/address.ts";
import { parsePrefix } from "../../core/ip/prefix.ts";
import { type ContractContainer, type ContractRig, INSTALLATION, type Register } from "./contract_rig.ts";
import { BRIDGE } from "./service_network_contract.ts";

/** The link of a container to its service's network. */
export function eth0(host = "zteth0", last = 2): ContainerLinkSpec {
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

/** Containers are told apart by process and namespace. */
export function processTests(test: Register): void {
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

/** Links are made whole or not at all. */
export function attachTests(test: Register): void {
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

/** Links are removed by their owner alone. */
export function removalTests(test: Register): void {
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

/** Of a system whose containers are not joined by links. */
export function noLinkTests(test: Register): void {
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

/** Takes away what a test of links leaves. */
export async function cleanUp(rig: ContractRig, container: ContractContainer): Promise<void> {
  await rig.backend.removeContainerLinks([eth0(), eth1()]);
  await container.kill();
  await rig.backend.removeServiceNetwork(BRIDGE.name, BRIDGE.tag);
}
