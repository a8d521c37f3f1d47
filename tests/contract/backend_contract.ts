/**
 * What every `NetworkBackend` does: one suite for the fake, Linux and Windows, in parts, since not every system joins
 * its containers by links.
 *
 * The backend acts, an observer that knows nothing of it looks. Links are named `zt…`; each test removes its own.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import type {
  ContainerLinkSpec,
  DevicePeer,
  DeviceSpec,
  NetworkBackend,
  ServiceNetworkSpec,
} from "../../core/backend/backend.ts";
import {
  AlreadyExistsError,
  InvalidConfigError,
  NotFoundError,
  UnsupportedError,
} from "../../core/errors.ts";
import { parseIp } from "../../core/ip/address.ts";
import { formatPrefix, parsePrefix } from "../../core/ip/prefix.ts";
import { waitFor } from "../support/wait_for.ts";

/** A link as someone sees who knows nothing of the backend. */
export interface ObservedLink {
  readonly kind: string;
  readonly tag: string;
  readonly up: boolean;
  readonly master?: string;
  readonly mtuBytes: number;
  /** `10.0.0.1/24`, link-local ones left out. */
  readonly addresses: readonly string[];
}

/** The host as someone else sees and changes it. */
export interface HostObserver {
  link(name: string): Promise<ObservedLink | undefined>;
  /** Makes a bridge as another program would. */
  makeBridge(name: string, tag?: string): Promise<void>;
  deleteByHand(name: string): Promise<void>;
}

/** A process in a network namespace of its own. */
export interface ContractContainer {
  readonly pid: number;
  /** Ends the process; its namespace goes with it. */
  kill(): Promise<void>;
  link(name: string): Promise<{ readonly addresses: readonly string[]; readonly mac: string } | undefined>;
}

/** What a backend is tested with. */
export interface ContractRig extends AsyncDisposable {
  readonly backend: NetworkBackend;
  readonly host: HostObserver;
  /** Pid of a process in the namespace that the backend works in. */
  readonly ownPid: number;
  startContainer(): Promise<ContractContainer>;
}

const INSTALLATION = "zlayer-overlayd/contract/0123456789abcdef";
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

function key(byte: number): Uint8Array<ArrayBuffer> {
  // Clamped as X25519 keys are (RFC 7748 §5), so that kernels return what they were given.
  return Uint8Array.from({ length: 32 }, (_, i) => i === 0 ? byte & 0xf8 : i === 31 ? 0x40 : byte);
}

function peer(byte: number, fields: Partial<DevicePeer> = {}): DevicePeer {
  return {
    publicKey: Uint8Array.from({ length: 32 }, (_, i) => i === 31 ? byte & 0x7f : byte),
    allowedIps: [parsePrefix(`10.215.${byte}.0/24`)!],
    keepaliveSeconds: 25,
    ...fields,
  };
}

const DEVICE: DeviceSpec = {
  name: "ztwg0",
  tag: `${INSTALLATION}:global`,
  privateKey: key(8),
  listenPort: 51777,
  address: parsePrefix("10.215.0.1/16")!,
  mtuBytes: 1420,
  peers: [peer(1, { endpoint: { ip: parseIp("192.0.2.1")!, port: 51820 } }), peer(2)],
  routes: [parsePrefix("10.216.3.0/24")!],
};

type Body = (rig: ContractRig) => Promise<void>;

const PARTS = {
  networks: networkTests,
  processes: processTests,
  attachments: attachTests,
  removals: removalTests,
  observation: observationTests,
  devices: deviceTests,
  foreignDevices: foreignDeviceTests,
} as const;

/** One part of the suite. */
export type ContractPart = keyof typeof PARTS;

/**
 * Registers the suite.
 *
 * @param name Of the backend, for the names of the tests.
 * @param options `parts`: those that the backend's system has; all unless given.
 */
export function backendContract(
  name: string,
  open: () => Promise<ContractRig>,
  { parts = Object.keys(PARTS) as ContractPart[] }: { readonly parts?: readonly ContractPart[] } = {},
): void {
  const test = (title: string, body: Body): void => {
    Deno.test(`${name}: ${title}`, async () => {
      await using rig = await open();
      await body(rig);
    });
  };
  for (const part of parts) PARTS[part](test);
}

type Register = (title: string, body: Body) => void;

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

function deviceTests(test: Register): void {
  test("without WireGuard devices are refused with the reason; with it they are made", async (rig) => {
    const { wireguard } = await rig.backend.capabilities();
    if (wireguard.kind === "none") {
      assert(wireguard.reason);
      await assertRejects(() => rig.backend.ensureDevice(DEVICE), UnsupportedError, "WireGuard");
      assertEquals(await rig.host.link(DEVICE.name), undefined);
      return;
    }
    await deviceLifeCycle(rig);
    await unsaidEndpoint(rig);
  });

  test("a device that is not there is not found, and removing it is success", async (rig) => {
    await assertRejects(() => rig.backend.readDevice("ztnosuch"), NotFoundError, "ztnosuch");
    const change = { set: [], remove: [], addRoutes: [], removeRoutes: [] };
    await assertRejects(() => rig.backend.changeDevice("ztnosuch", change), NotFoundError, "ztnosuch");
    await rig.backend.removeDevice("ztnosuch", "any");
  });
}

async function unsaidEndpoint({ backend }: ContractRig): Promise<void> {
  await backend.ensureDevice(DEVICE);
  const { endpoint, ...unsaid } = DEVICE.peers[0]!;
  const set = [{ ...unsaid, allowedIps: [] }];
  await backend.changeDevice(DEVICE.name, { set, remove: [], addRoutes: [], removeRoutes: [] });
  const { kind, peers } = await backend.readDevice(DEVICE.name);
  assertEquals(kind, (await backend.capabilities()).wireguard.kind);
  const isSame = (one: DevicePeer): boolean => one.publicKey.join() === unsaid.publicKey.join();
  assertEquals(peers.find(isSame)?.endpoint, endpoint, "a peer set without an endpoint keeps the one it has");
  await backend.removeDevice(DEVICE.name, DEVICE.tag);
}

async function deviceLifeCycle(rig: ContractRig): Promise<void> {
  const { backend, host } = rig;
  for (let i = 0; i < 2; i++) {
    await backend.ensureDevice(DEVICE);
    const link = await host.link(DEVICE.name);
    assertEquals([link?.tag, link?.up, link?.mtuBytes, link?.addresses], [
      DEVICE.tag,
      true,
      1420,
      ["10.215.0.1/16"],
    ]);
  }
  assert(!await backend.isUdpPortFree(DEVICE.listenPort));
  const state = await backend.readDevice(DEVICE.name);
  assertEquals(state.listenPort, DEVICE.listenPort);
  assertEquals(new Set(state.peers.map(describePeer)), new Set(DEVICE.peers.map(describePeer)));
  assertEquals(state.peers.map((one) => one.lastHandshakeUnixSecs), [0, 0]);
  const moved = parsePrefix("10.215.1.0/24")!;
  await backend.changeDevice(DEVICE.name, {
    set: [peer(2, { allowedIps: [parsePrefix("10.215.2.0/24")!, moved], keepaliveSeconds: 0 }), peer(3)],
    remove: [peer(1).publicKey, peer(9).publicKey],
    addRoutes: [parsePrefix("10.217.0.0/16")!],
    removeRoutes: DEVICE.routes,
  });
  const changed = await backend.readDevice(DEVICE.name);
  assertEquals(
    new Set(changed.peers.map(describePeer)),
    new Set([
      describePeer(
        peer(2, { allowedIps: [parsePrefix("10.215.2.0/24")!, moved], keepaliveSeconds: 0 }),
      ),
      describePeer(peer(3)),
    ]),
  );
  await backend.removeDevice(DEVICE.name, "another tag");
  assert(await host.link(DEVICE.name));
  await backend.removeDevice(DEVICE.name, DEVICE.tag);
  assertEquals(await host.link(DEVICE.name), undefined);
  assert(await backend.isUdpPortFree(DEVICE.listenPort));
}

function foreignDeviceTests(test: Register): void {
  test("a device is not made where another's link has its name", foreignDevice);
}

async function foreignDevice(rig: ContractRig): Promise<void> {
  if ((await rig.backend.capabilities()).wireguard.kind === "none") return;
  await rig.host.makeBridge(DEVICE.name, "someone else");
  await assertRejects(
    () => rig.backend.ensureDevice(DEVICE),
    AlreadyExistsError,
    `Kernel link '${DEVICE.name}' already exists`,
  );
  await rig.backend.removeDevice(DEVICE.name, DEVICE.tag);
  assert(await rig.host.link(DEVICE.name));
  await rig.host.deleteByHand(DEVICE.name);
}

/** A peer as text; the order of allowed IPs means nothing. */
function describePeer(one: DevicePeer): string {
  const ips = one.allowedIps.map(formatPrefix).sort().join();
  const endpoint = one.endpoint ? `${one.endpoint.ip.value}:${one.endpoint.port}` : "none";
  return `${one.publicKey.join()} ${endpoint} ${ips} ${one.keepaliveSeconds}`;
}

async function cleanUp(rig: ContractRig, container: ContractContainer): Promise<void> {
  await rig.backend.removeContainerLinks([eth0(), eth1()]);
  await container.kill();
  await rig.backend.removeServiceNetwork(BRIDGE.name, BRIDGE.tag);
}
