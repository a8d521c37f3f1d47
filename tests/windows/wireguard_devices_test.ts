/** WireGuard devices in `deno.exe`: real worker, real sockets, rings and IP stack of the rig's fakes. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { WindowsDevices } from "../../core/backend/windows/devices.ts";
import { wintunPlaces } from "../../core/backend/windows/wintun_places.ts";
import { AlreadyExistsError, NotFoundError, PreconditionError, UnsupportedError } from "../../core/errors.ts";
import { SILENT_LOG } from "../../core/log.ts";
import { parseIp } from "../../core/ip/address.ts";
import { parsePrefix } from "../../core/ip/prefix.ts";
import { openIpHelper } from "../../ffi/iphlpapi.ts";
import { encodeUnicastAddress } from "../../ffi/windows/unicast_address_row.ts";
import { Wintun } from "../../ffi/wintun.ts";
import { RecordingLog } from "../support/engine_rig.ts";
import { waitFor } from "../support/wait_for.ts";
import { DeviceRig, node, packetTo, peerOf, rigTest, specOf } from "./support/device_rig.ts";
import { fakePath } from "./support/fake_library.ts";
import { hex } from "./support/wintun_calls.ts";

const [A, B] = [node(1), node(2)];

rigTest(
  "[windows T80] an adapter is made by name, type and fixed GUID, and set up by its LUID",
  async (rig) => {
    const spec = specOf(A, [], { routes: [parsePrefix("10.201.0.0/16")!] });
    for (let i = 0; i < 2; i++) await rig.devices.ensure(spec);
    const { adapters } = rig.wintun.request("adapters");
    const luid = rig.luidOf(A);
    assertEquals(adapters, [{
      name: "zl-1-g",
      tunnelType: "ZLayer",
      guid: "92f5ac19-a2f8-5a62-87ad-0ec2bd8707ec",
      luid,
      session: true,
      capacity: 0x40_0000,
    }]);
    const { interfaces, addresses, routes } = rig.dump();
    assertEquals([interfaces[0].v4.mtu, interfaces[0].v6.mtu, interfaces[0].v4.forwarding], [1420, 1420, 1]);
    for (const family of ["v4", "v6"]) {
      const { dadTransmits, routerDiscovery } = interfaces[0][family];
      assertEquals([dadTransmits, routerDiscovery], [0, 0], family);
    }
    const own = { address: "10.200.1.1", luid, prefixLength: 16, dadState: 4, validLifetime: 0xffff_ffff };
    assertEquals(addresses, [own]);
    const route = { nextHop: "0.0.0.0", luid, prefixLength: 16, metric: 256, protocol: 3 };
    assertEquals(routes.map(({ destination }) => destination).sort(), ["10.200.0.0", "10.201.0.0"]);
    for (const one of routes) assertEquals(one, { ...route, destination: one.destination });
  },
);

rigTest("[windows T86] a device that is removed ends its session, then closes its adapter", async (rig) => {
  await rig.devices.ensure(specOf(A, []));
  await rig.devices.remove(A.name, "zlayer-overlayd/zlayer/ffff:device:zl-1-g");
  assertEquals((await rig.devices.read(A.name)).listenPort, A.port, "another's device is left alone");
  for (let i = 0; i < 2; i++) await rig.devices.remove(A.name, specOf(A, []).tag);
  const wanted = ["WintunCreateAdapter", "WintunStartSession", "WintunEndSession", "WintunCloseAdapter"];
  assertEquals(rig.wintun.calls(), wanted);
  await assertRejects(() => rig.devices.read(A.name), NotFoundError);
  assertEquals(rig.dump(), { interfaces: [], addresses: [], routes: [] } as never);
});

rigTest("packets go both ways between two devices, whole and by the best library there is", async (rig) => {
  await rig.devices.ensure(specOf(A, [B]));
  await rig.devices.ensure(specOf(B, [A]));
  const there = Array.from({ length: 50 }, (_, i) => packetTo(A.ip, B.ip, i, 60 + 27 * i));
  // More than wait for a handshake would be dropped, as by every WireGuard.
  assertEquals(rig.inject(A, there[0]!), 1);
  assertEquals(await rig.take(1), [hex(there[0]!)]);
  rig.inject(A, ...there.slice(1));
  assertEquals(await rig.take(49), there.slice(1).map(hex));
  const back = Array.from({ length: 50 }, (_, i) => packetTo(B.ip, A.ip, i, 1420));
  rig.inject(B, ...back);
  assertEquals(await rig.take(50), back.map(hex));
  const state = await rig.devices.read(A.name);
  // Wine's CNG lacks the cipher.
  assertEquals([state.kind, state.crypto, state.listenPort], ["userspace", "node:crypto", A.port]);
  assert(state.peers[0]!.txBytes > 0 && state.peers[0]!.rxBytes > 50 * 1420);
  await waitFor("news of both", () => new Set(completed(rig)).size === 2);
});

rigTest(
  "a peer's packets from addresses that are not its own are dropped, and so is what nobody takes",
  async (rig) => {
    await rig.devices.ensure(specOf(A, [B]));
    await rig.devices.ensure(specOf(B, [A]));
    rig.inject(A, packetTo("10.200.9.9", B.ip, 1), packetTo(A.ip, "10.200.77.1", 2), packetTo(A.ip, B.ip, 3));
    const [arrived, rejection] = (await rig.take(2)).toSorted((a, b) => a.length - b.length);
    // ICMP to whoever asked: type 3, destination unreachable.
    assertEquals([rejection!.slice(32, 40), rejection!.slice(40, 42)], [
      hex(Uint8Array.of(10, 200, 1, 1)),
      "03",
    ]);
    assertEquals(arrived, hex(packetTo(A.ip, B.ip, 3)));
    assertEquals((await rig.devices.read(A.name)).drops?.noRoute, 1);
    assertEquals((await rig.devices.read(B.name)).drops?.sourceNotAllowed, 1);
  },
);

rigTest("[windows T83] the IP stack may take a moment to know a new adapter", async (rig) => {
  rig.host.script({ function: "GetIpInterfaceEntry", action: "fail", code: 1168, times: 4 });
  await rig.devices.ensure(specOf(A, []));
  assertEquals(rig.dump().interfaces[0].v4.mtu, 1420);
  // Four times in vain, then once for each family, and once for what Windows has kept.
  assertEquals(rig.host.calls().filter((call) => call === "GetIpInterfaceEntry").length, 7);
});

rigTest(
  "[windows T82] an address goes from the device to the virtual adapter of a container network",
  async (rig) => {
    const vnic = "1688849977540608";
    await rig.devices.ensure(specOf(A, []));
    rig.devices.yieldAddress(parseIp("10.200.1.1")!);
    assertEquals(rig.dump().addresses, []);
    rig.host.request("interface", { luid: vnic, alias: "vEthernet (zlayer-overlay)" });
    const row = encodeVnicAddress(BigInt(vnic));
    assertEquals(openIpHelper(fakePath("iphlpapi_fake.dll")).createAddress(row), 0);
    assertEquals(rig.devices.reclaimAddress(parseIp("10.200.1.1")!), [A.name]);
    await assertRejects(
      () => rig.devices.ensure(specOf(A, [])),
      AlreadyExistsError,
      "vEthernet (zlayer-overlay)",
    );
    rig.ownVnics.add("vEthernet (zlayer-overlay)");
    await rig.devices.ensure(specOf(A, []));
    const { interfaces, addresses, routes } = rig.dump();
    assertEquals(addresses.map(({ luid }) => luid), [vnic]);
    for (const { v4 } of interfaces) {
      assertEquals([v4.weakHostSend, v4.weakHostReceive, v4.forwarding], [
        1,
        1,
        1,
      ]);
    }
    assertEquals(routes.map(({ destination, luid }) => [destination, luid]), [["10.200.0.0", rig.luidOf(A)]]);
    rig.host.request("interface", { luid: vnic, present: false });
  },
);

rigTest("[windows T82] an address left on an interface that is down is taken over", async (rig) => {
  rig.host.request("interface", { luid: "99", alias: "old", up: false });
  assertEquals(openIpHelper(fakePath("iphlpapi_fake.dll")).createAddress(encodeVnicAddress(99n)), 0);
  await rig.devices.ensure(specOf(A, []));
  assertEquals(rig.dump().addresses.map(({ luid }) => luid), [rig.luidOf(A)]);
});

Deno.test("forwarding that Windows does not keep is logged, and the device not taken for one that was changed", async () => {
  const log = new RecordingLog();
  const helper = openIpHelper(fakePath("iphlpapi_fake.dll"));
  const setInterface = (row: Uint8Array<ArrayBuffer>): number => helper.setInterface(row.with(41, 0));
  await using rig = new DeviceRig({ log, ipHelper: () => ({ ...helper, setInterface }) });
  await rig.devices.ensure(specOf(A, []));
  const warnings = log.records.filter(({ level }) => level === "warn");
  assertEquals(warnings.map(({ fields }) => fields?.interface), [A.name]);
  assertStringIncludes(warnings[0]!.message, "forwarding");
  assertEquals([rig.devices.inventory()[0]!.isBarred, rig.devices.strayed()], [undefined, []]);
});

rigTest("peers and routes come and go on a live device, and sessions stay", async (rig) => {
  await rig.devices.ensure(specOf(A, [B]));
  await rig.devices.ensure(specOf(B, [A]));
  rig.inject(A, packetTo(A.ip, B.ip, 1));
  await rig.take(1);
  // One that B has not answered in time is repeated, so there may be two.
  await waitFor("news of both", () => new Set(completed(rig)).size === 2);
  const before = completed(rig);
  const C = node(3);
  const route = parsePrefix("192.168.7.0/24")!;
  await rig.devices.change(A.name, { set: [peerOf(C)], remove: [], addRoutes: [route], removeRoutes: [] });
  assertEquals((await rig.devices.read(A.name)).peers.length, 2);
  assert(rig.dump().routes.some(({ destination }) => destination === "192.168.7.0"));
  await rig.devices.change(A.name, {
    set: [],
    remove: [C.publicKey],
    addRoutes: [],
    removeRoutes: [route],
  });
  const { peers } = await rig.devices.read(A.name);
  assertEquals(peers.map(({ publicKey }) => publicKey), [B.publicKey]);
  assert(!rig.dump().routes.some(({ destination }) => destination === "192.168.7.0"));
  rig.inject(A, packetTo(A.ip, B.ip, 2));
  assertEquals(await rig.take(1), [hex(packetTo(A.ip, B.ip, 2))]);
  assertEquals(completed(rig), before, "no handshake for any of it");
});

rigTest("a change that the data path refuses leaves no route behind", async (rig) => {
  await rig.devices.ensure(specOf(A, []));
  const bad = { ...peerOf(B), publicKey: new Uint8Array(31) };
  const addRoutes = [parsePrefix("192.168.7.0/24")!];
  await assertRejects(() =>
    rig.devices.change(A.name, { set: [bad], remove: [], addRoutes, removeRoutes: [] })
  );
  assertEquals(rig.dump().routes.map(({ destination }) => destination), ["10.200.0.0"]);
});

rigTest(
  "a device greets its peers when it starts: they may hold sessions of a process before",
  async (rig) => {
    await rig.devices.ensure(specOf(B, [A]));
    await rig.devices.ensure(specOf(A, [B]));
    await waitFor("a handshake that no packet asked for", () => rig.news.includes("zl-1-g completed"));
  },
);

rigTest(
  "[windows T86] an adapter that vanishes is a failure that is told, and the next ensure mends it",
  async (rig) => {
    await rig.devices.ensure(specOf(A, [B]));
    await rig.devices.ensure(specOf(B, [A]));
    rig.inject(A, packetTo(A.ip, B.ip, 1));
    await rig.take(1);
    rig.wintun.request("vanish", { adapter: A.name });
    await waitFor("the loss", () => rig.lost.length > 0);
    assertEquals(rig.lost, [A.name]);
    await assertRejects(() => rig.devices.read(A.name), NotFoundError);
    assertEquals(rig.devices.inventory().map(({ name, up }) => [name, up]), [[A.name, false], [
      B.name,
      true,
    ]]);
    await rig.devices.ensure(specOf(A, [B]));
    rig.inject(A, packetTo(A.ip, B.ip, 2));
    assertEquals(await rig.take(1), [hex(packetTo(A.ip, B.ip, 2))]);
    rig.inject(B, packetTo(B.ip, A.ip, 3));
    assertEquals(await rig.take(1), [hex(packetTo(B.ip, A.ip, 3))]);
  },
);

rigTest("[windows T86] a damaged ring ends the device, whatever else goes wrong does not", async (rig) => {
  await rig.devices.ensure(specOf(A, []));
  rig.wintun.request("receiveError", { code: 122, times: 3 });
  rig.inject(A, packetTo(A.ip, B.ip, 1));
  await waitFor("the packet", async () => (await rig.devices.read(A.name)).drops?.noRoute === 1);
  rig.wintun.request("receiveError", { code: 13 });
  rig.inject(A, packetTo(A.ip, B.ip, 2));
  await waitFor("the loss", () => rig.lost.length > 0);
});

rigTest("[windows T87] a full ring costs packets and nothing else", async (rig) => {
  await rig.devices.ensure(specOf(A, [B]));
  await rig.devices.ensure(specOf(B, [A]));
  rig.inject(A, packetTo(A.ip, B.ip, 1));
  await rig.take(1);
  rig.wintun.request("allocateError", { code: 111, times: 2 });
  const sent = [2, 3, 4].map((mark) => packetTo(A.ip, B.ip, mark));
  rig.inject(A, ...sent);
  assertEquals(await rig.take(1), [hex(sent[2]!)]);
  assertEquals((await rig.devices.read(B.name)).drops?.tunnelFull, 2);
});

rigTest("a port of another is refused by name, and the device can have another one", async (rig) => {
  await rig.devices.ensure(specOf(A, []));
  assertEquals([rig.devices.isUdpPortFree(A.port), rig.devices.isUdpPortFree(B.port)], [false, true]);
  const taken = specOf(B, [], { listenPort: A.port });
  await assertRejects(() => rig.devices.ensure(taken), PreconditionError, `UDP port ${A.port} is in use`);
  await rig.devices.ensure(specOf(B, []));
  assertEquals((await rig.devices.read(B.name)).listenPort, B.port);
});

rigTest("Wintun that refuses is an error of the device, and leaves nothing behind", async (rig) => {
  for (const call of ["WintunCreateAdapter", "WintunStartSession"]) {
    rig.wintun.script({ function: call, action: "fail", code: 5 });
    const error = await assertRejects(() => rig.devices.ensure(specOf(A, [])));
    assertStringIncludes(String(error), call);
  }
  await rig.devices.ensure(specOf(A, []));
});

Deno.test("without Wintun there is an error that names the places and where to get it", async () => {
  const places = wintunPlaces("C:\\ProgramData", Deno.execPath());
  await using devices = new WindowsDevices({
    wintun: () => Wintun.open(places),
    ipHelper: () => openIpHelper(fakePath("iphlpapi_fake.dll")),
    ipHelperPath: fakePath("iphlpapi_fake.dll"),
    isOwnVnic: () => false,
    log: SILENT_LOG,
    onNews: () => {},
    onLost: () => {},
  });
  const error = await assertRejects(() => devices.ensure(specOf(A, [])), UnsupportedError);
  for (const text of [...places, "www.wintun.net"]) assertStringIncludes(error.message, text);
});

/** Handshakes that devices told of. */
function completed({ news }: DeviceRig): string[] {
  return news.filter((one) => one.endsWith("completed"));
}

function encodeVnicAddress(luid: bigint): Uint8Array<ArrayBuffer> {
  return encodeUnicastAddress({ luid, address: Uint8Array.of(10, 200, 1, 1), prefixLength: 28 });
}
