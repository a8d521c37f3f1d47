/** The devices' half of the Windows backend: the address shared with HCN, and what is said without Wintun. */
import { assertEquals, assertNotEquals, assertRejects, assertStringIncludes } from "@std/assert";
import type { DeviceSpec } from "../../core/backend/backend.ts";
import { AlreadyExistsError, UnsupportedError } from "../../core/errors.ts";
import { parseIp } from "../../core/ip/address.ts";
import { parsePrefix } from "../../core/ip/prefix.ts";
import { type HcnNetworkEntry, withHcnNetwork } from "../../core/marker.ts";
import { openIpHelper } from "../../ffi/iphlpapi.ts";
import { encodeUnicastAddress } from "../../ffi/windows/unicast_address_row.ts";
import { waitFor } from "../support/wait_for.ts";
import { node, specOf } from "./support/device_rig.ts";
import { fakePath } from "./support/fake_library.ts";
import { NETWORK_ID } from "./support/hcn_examples.ts";
import { WintunHost } from "./support/wintun_host.ts";

const VNIC = "1688849977540608";
const NETWORK: HcnNetworkEntry = {
  owner: "base",
  kind: "hcn-internal",
  name: "zlayer-overlay",
  id: NETWORK_ID,
  subnet: "10.200.1.0/28",
};

Deno.test("the node's address goes to the adapter of our network, packets pass both, and the device is told of [windows T82]", async () => {
  await using host = new WintunHost();
  const { devices } = host;
  const own = specOf(node(1), []);
  const changes: string[] = [];
  const stop = await host.backend.watch((name) => changes.push(name));
  await host.backend.ensureDevice(own);
  // A look while it was made may have found it without an address.
  changes.length = 0;
  await devices.yieldAddress(own.address.address);
  assertEquals(host.dump().addresses, []);
  assertEquals(changes, []);
  await assertRejects(() => devices.admitAdapter(own.address.address), Error, "no adapter of this host");
  // The watch may see the same and tell of it once more.
  const toldOf = () => [...new Set(changes.splice(0))];
  assertEquals(toldOf(), [own.name]);
  host.stack.request("interface", { luid: VNIC, alias: "vEthernet (zlayer-overlay)" });
  const row = encodeUnicastAddress({
    luid: BigInt(VNIC),
    address: Uint8Array.of(10, 200, 1, 1),
    prefixLength: 28,
  });
  assertEquals(openIpHelper(fakePath("iphlpapi_fake.dll")).createAddress(row), 0);
  await host.marker.update((marker) => withHcnNetwork(marker, NETWORK));
  changes.length = 0;
  await devices.admitAdapter(parseIp("10.200.1.1")!);
  assertEquals(toldOf(), [own.name]);
  for (const { luid, v4 } of host.dump().interfaces) {
    if (luid === VNIC) assertEquals([v4.forwarding, v4.weakHostSend, v4.weakHostReceive], [1, 1, 1]);
  }
  await host.backend.ensureDevice(own);
  const { interfaces, addresses } = host.dump();
  assertEquals(addresses.map(({ luid }) => luid), [VNIC]);
  for (const { v4 } of interfaces) assertEquals([v4.weakHostSend, v4.forwarding], [1, 1]);
  const [device] = await host.backend.inventory();
  assertEquals(device?.addresses, [own.address]);
  stop();
  host.stack.request("interface", { luid: VNIC, present: false });
});

Deno.test("[windows T82] an adapter of another name keeps the address from the device, whatever networks are ours", async () => {
  await using host = new WintunHost();
  host.stack.request("interface", { luid: VNIC, alias: "vEthernet (Default Switch)" });
  const address = Uint8Array.of(10, 200, 1, 1);
  const row = encodeUnicastAddress({ luid: BigInt(VNIC), address, prefixLength: 28 });
  assertEquals(openIpHelper(fakePath("iphlpapi_fake.dll")).createAddress(row), 0);
  await host.marker.update((marker) => withHcnNetwork(marker, NETWORK));
  await assertRejects(
    () => host.backend.ensureDevice(specOf(node(1), [])),
    AlreadyExistsError,
    "vEthernet (Default Switch)",
  );
  host.stack.request("interface", { luid: VNIC, present: false });
});

Deno.test("[windows T86] close() comes back when sessions have ended and adapters are gone", async () => {
  await using host = new WintunHost();
  for (const n of [1, 2]) await host.backend.ensureDevice(specOf(node(n), []));
  host.wintun.script({ function: "WintunCloseAdapter", action: "delay", ms: 50, times: 2 });
  await host.backend.close();
  assertEquals(host.wintun.calls().slice(4).toSorted(), [
    ...["WintunCloseAdapter", "WintunCloseAdapter"],
    ...["WintunEndSession", "WintunEndSession"],
  ]);
  assertEquals(host.wintun.request("adapters").adapters, []);
});

/** What somebody may do to a device, given its LUID. */
const STRAYS: { name: string; op: string; more: Record<string, unknown> }[] = [
  { name: "removes its address", op: "address", more: { address: "10.200.1.1", present: false } },
  {
    name: "removes the route to its network",
    op: "route",
    more: { destination: "10.200.0.0/16", present: false },
  },
  { name: "removes another route", op: "route", more: { destination: "10.201.0.0/16", present: false } },
  { name: "changes its MTU", op: "mtu", more: { bytes: 1280 } },
  { name: "switches forwarding off", op: "flags", more: { forwarding: false } },
];

for (const { name, op, more } of STRAYS) {
  Deno.test(`a device is told of when somebody ${name}, and the next ensure mends it`, async () => {
    await using host = new WintunHost();
    const own = specOf(node(1), [], { routes: [parsePrefix("10.201.0.0/16")!] });
    const changes: string[] = [];
    const stop = await host.backend.watch((name) => changes.push(name));
    await host.backend.ensureDevice(own);
    changes.length = 0;
    const picture = async () => [host.dump(), await host.backend.inventory()];
    const before = await picture();
    const luid = host.dump().interfaces[0].luid;
    // What the backend does itself is seen, and no device told of for it.
    const { told } = host.stack.counters();
    host.stack.request(op, { luid, ...more });
    await waitFor("the change told", () => host.stack.counters().told! > told!);
    await waitFor("the news", () => changes.length > 0);
    assertEquals(new Set(changes), new Set([own.name]));
    assertNotEquals(await host.backend.inventory(), before[1]);
    await host.backend.ensureDevice(own);
    assertEquals(sorted(await picture()), sorted(before));
    stop();
    await host.backend.removeDevice(own.name, own.tag);
    assertEquals(host.stack.counters().notificationsOpen, 0, "neither the watch's nor the data path's");
  });
}

for (const which of ["device", "adapter"] as const) {
  Deno.test(`a device whose network's adapter has the address is told of when the ${which} lets nothing pass any more`, async () => {
    await using host = new WintunHost();
    const own = specOf(node(1), []);
    await deviceBesideNetwork(host, own);
    const flags = (): unknown[] => host.dump().interfaces.map(({ luid, v4 }) => [luid, v4]).toSorted();
    const before = flags();
    const luid = host.dump().interfaces.find((one) => (one.luid === VNIC) === (which === "adapter")).luid;
    const changes: string[] = [];
    const stop = await host.backend.watch((name) => changes.push(name));
    for (const flag of ["forwarding", "weakHostSend", "weakHostReceive"]) {
      host.stack.request("flags", { luid, [flag]: false });
      await waitFor("the news", () => changes.length > 0);
      assertEquals((await host.backend.inventory())[0]!.isBarred, true, flag);
      await host.backend.ensureDevice(own);
      assertEquals(flags(), before, flag);
      assertEquals((await host.backend.inventory())[0]!.isBarred, undefined, flag);
      changes.length = 0;
    }
    stop();
    host.stack.request("interface", { luid: VNIC, present: false });
  });
}

/** A device and a container network of ours whose adapter on the host has the device's address. */
async function deviceBesideNetwork(host: WintunHost, own: DeviceSpec): Promise<void> {
  await host.marker.update((marker) => withHcnNetwork(marker, NETWORK));
  host.stack.request("interface", {
    luid: VNIC,
    alias: "vEthernet (zlayer-overlay)",
    address: "10.200.1.1/28",
  });
  await host.devices.admitAdapter(own.address.address);
  await host.backend.ensureDevice(own);
}

/** Routes and addresses come in no order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(sorted).sort((a, b) => JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);
  }
  if (typeof value !== "object" || value === null) return typeof value === "bigint" ? String(value) : value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, sorted(one)]));
}

Deno.test("while an address is yielded no device takes it back; reclaimed, it is told of and set again", async () => {
  await using host = new WintunHost();
  const own = specOf(node(1), []);
  const changes: string[] = [];
  await host.backend.ensureDevice(own);
  await host.devices.yieldAddress(own.address.address);
  const stop = await host.backend.watch((name) => changes.push(name));
  await host.backend.ensureDevice(own);
  assertEquals(host.dump().addresses, [], "a repair meanwhile leaves it alone");
  assertEquals((await host.backend.inventory())[0]!.addresses, [own.address], "and none is asked for");
  changes.length = 0;
  host.devices.reclaimAddress(own.address.address);
  assertEquals(changes, [own.name]);
  await host.backend.ensureDevice(own);
  assertEquals(host.dump().addresses.length, 1);
  stop();
});

Deno.test("without wintun.dll it is said where it should be", async () => {
  await using host = new WintunHost("Z:\\nowhere\\wintun.dll");
  const { wireguard } = await host.backend.capabilities();
  assertStringIncludes(wireguard.reason!, "www.wintun.net");
  await assertRejects(
    () => host.backend.ensureDevice(specOf(node(1), [])),
    UnsupportedError,
    "www.wintun.net",
  );
});
