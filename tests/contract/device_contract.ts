/** What every `NetworkBackend` does with WireGuard devices; part of `backend_contract.ts`. */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import type { DevicePeer, DeviceSpec } from "../../core/backend/backend.ts";
import { AlreadyExistsError, NotFoundError, UnsupportedError } from "../../core/errors.ts";
import { parseIp } from "../../core/ip/address.ts";
import { formatPrefix, parsePrefix } from "../../core/ip/prefix.ts";
import { waitFor } from "../support/wait_for.ts";
import { type ContractRig, INSTALLATION, type Register } from "./contract_rig.ts";

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

/** Of a system with WireGuard. */
export function deviceTests(test: Register): void {
  test("a device is made as specified, changed in place and removed by its owner", deviceLifeCycle);
  test(
    "inventory() lists a device as it is, and removeEntry() removes it while it is its owner's",
    listedDevice,
  );
  test("watch() tells when a device is deleted by hand, until it is stopped", watchedDevice);
  test("a peer set without an endpoint keeps the one it has", unsaidEndpoint);
  test("a device of another tag is not taken over, and stays as it is", anothersDevice);
  missingDeviceTests(test);
}

/** Of a system without WireGuard. */
export function noDeviceTests(test: Register): void {
  test("without WireGuard devices are refused with the reason", async ({ backend, host }) => {
    const { wireguard } = await backend.capabilities();
    assertEquals(wireguard.kind, "none");
    assert(wireguard.reason);
    await assertRejects(() => backend.ensureDevice(DEVICE), UnsupportedError, "WireGuard");
    assertEquals(await host.link(DEVICE.name), undefined);
  });
  missingDeviceTests(test);
}

function missingDeviceTests(test: Register): void {
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

async function anothersDevice({ backend, host }: ContractRig): Promise<void> {
  await backend.ensureDevice(DEVICE);
  const before = await host.link(DEVICE.name);
  const theirs = { ...DEVICE, tag: `${INSTALLATION}:service-web`, privateKey: key(16), mtuBytes: 1380 };
  const error = await assertRejects(() => backend.ensureDevice(theirs), AlreadyExistsError, "already exists");
  assertStringIncludes(error.message, DEVICE.name);
  assertEquals(await host.link(DEVICE.name), before);
  assertEquals((await backend.readDevice(DEVICE.name)).listenPort, DEVICE.listenPort);
  await backend.removeDevice(DEVICE.name, theirs.tag);
  assert(await host.link(DEVICE.name));
  await backend.removeDevice(DEVICE.name, DEVICE.tag);
  await backend.ensureDevice(theirs);
  await backend.removeDevice(DEVICE.name, theirs.tag);
}

async function listedDevice({ backend, host }: ContractRig): Promise<void> {
  await backend.ensureDevice(DEVICE);
  const entry = (await backend.inventory()).find(({ name }) => name === DEVICE.name)!;
  const { kind, tag, up, mtuBytes, addresses, routes } = entry;
  // Linux shows a device in user space as the TUN that it is.
  assert(kind === "wireguard" || kind === "tun", kind);
  assertEquals([tag, up, mtuBytes], [DEVICE.tag, true, DEVICE.mtuBytes]);
  assert(addresses.map(formatPrefix).includes(formatPrefix(DEVICE.address)));
  assert(routes.map(formatPrefix).includes(formatPrefix(DEVICE.routes[0]!)));
  await backend.removeEntry({ ...entry, tag: "another tag" });
  assert(await host.link(DEVICE.name));
  await backend.removeEntry(entry);
  assertEquals(await host.link(DEVICE.name), undefined);
  assertEquals((await backend.inventory()).filter(({ name }) => name === DEVICE.name), []);
}

async function watchedDevice({ backend, host }: ContractRig): Promise<void> {
  await backend.ensureDevice(DEVICE);
  const names: string[] = [];
  const stop = await backend.watch((name) => names.push(name));
  await host.deleteByHand(DEVICE.name);
  await waitFor("the deletion is told", () => names.includes(DEVICE.name));
  await assertRejects(() => backend.readDevice(DEVICE.name), NotFoundError, DEVICE.name);
  await backend.ensureDevice(DEVICE);
  assert((await host.link(DEVICE.name))?.up);
  stop();
  names.length = 0;
  await backend.removeDevice(DEVICE.name, DEVICE.tag);
  assertEquals(names, []);
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

/** Of a system with WireGuard, where links of all kinds share their names. */
export function foreignDeviceTests(test: Register): void {
  test("a device is not made where another's link has its name", foreignDevice);
}

async function foreignDevice(rig: ContractRig): Promise<void> {
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
