/** What the daemon reads of the host beside its own devices, and how it is told of changes, on the fake of IP Helper. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { findWindowsEgress } from "../../core/backend/windows/egress.ts";
import { formatIp } from "../../core/ip/address.ts";
import { openIpHelper } from "../../ffi/iphlpapi.ts";
import { openAdapterList } from "../../ffi/windows/adapters.ts";
import { ChangeSignal } from "../../ffi/windows/change_signal.ts";
import { decodeOnLinkRoutes } from "../../ffi/windows/forward_row.ts";
import { AF_INET, AF_INET6 } from "../../ffi/windows/sockaddr.ts";
import { Win32Error } from "../../ffi/windows/win32_error.ts";
import { waitFor } from "../support/wait_for.ts";
import { FakeLibrary, fakePath } from "./support/fake_library.ts";
import { openIphlpapi } from "./support/iphlpapi_calls.ts";

const PATH = fakePath("iphlpapi_fake.dll");
const ETHERNET = "1689399616765952";
const OTHER = "1689399633543168";

/** Runs with a host that has a way out, and another adapter. */
function hostTest(name: string, run: (fake: FakeLibrary) => void | Promise<void>): void {
  Deno.test(name, async () => {
    using fake = new FakeLibrary("iphlpapi_fake.dll");
    fake.request("interface", {
      luid: ETHERNET,
      alias: "Ethernet 2",
      address: "192.0.2.10/24",
      gateway: "192.0.2.1",
    });
    fake.request("interface", { luid: OTHER, alias: "Büro", address: "10.9.0.1/16" });
    await run(fake);
    fake.assertClean();
    fake.reset();
  });
}

hostTest("adapters are listed with addresses, MTU and gateway, however many there are", (fake) => {
  const list = openAdapterList(PATH);
  fake.request("mtu", { luid: OTHER, bytes: 9000 });
  fake.request("address", { luid: OTHER, address: "fd00::1/64" });
  fake.request("interface", { luid: OTHER, up: false });
  const [other, ethernet] = list.adapters();
  assertEquals([other!.name, other!.luid, other!.mtuBytes, other!.isUp, other!.hasGateway], [
    "Büro",
    BigInt(OTHER),
    9000,
    false,
    false,
  ]);
  assertEquals(new Set(other!.addresses.map((one) => one.length)), new Set([4, 16]));
  assertEquals([ethernet!.name, ethernet!.isUp, ethernet!.hasGateway], ["Ethernet 2", true, true]);
  // More than the first buffer holds.
  for (let i = 0; i < 300; i++) {
    fake.request("address", { luid: OTHER, address: `10.9.${Math.floor(i / 200)}.${i % 200 + 2}/16` });
  }
  assertEquals(list.adapters()[0]!.addresses.length, 302);
  const [first] = fake.log().filter((call) => call.function === "GetAdaptersAddresses").slice(-2);
  assertEquals(first!.result, "111", "ERROR_BUFFER_OVERFLOW");
});

hostTest("the way out of this host is the adapter that the route leads by", (fake) => {
  const list = openAdapterList(PATH);
  const egress = (): string => {
    const { interface: name, ip, mtuBytes } = findWindowsEgress(list);
    return `${name} ${formatIp(ip)} ${mtuBytes}`;
  };
  fake.request("mtu", { luid: ETHERNET, bytes: 1400 });
  assertEquals(egress(), "Ethernet 2 192.0.2.10 1400");
  // A longer prefix wins over the default route, as a VPN has it.
  fake.request("route", { luid: OTHER, destination: "0.0.0.0/1", nextHop: "10.9.0.9" });
  assertEquals(egress(), "Büro 10.9.0.1 65535");
  fake.request("interface", { luid: OTHER, present: false });
  fake.request("route", { luid: ETHERNET, destination: "0.0.0.0/0", nextHop: "192.0.2.1", present: false });
  assertThrows(() => findWindowsEgress(list), Error, "no adapter with an address that leads out");
});

hostTest("the table of routes is read by family, and given back", (fake) => {
  const helper = openIpHelper(PATH);
  fake.request("route", { luid: OTHER, destination: "10.9.0.0/16" });
  fake.request("route", { luid: OTHER, destination: "fd00::/64" });
  const routes = (family: number): string[] =>
    decodeOnLinkRoutes(helper.routeTable(family)).map(({ luid, prefixLength }) => `${luid}/${prefixLength}`);
  assertEquals([routes(AF_INET), routes(AF_INET6)], [[`${OTHER}/16`], [`${OTHER}/64`]]);
});

const CHANGES: { name: string; op: string; more: Record<string, unknown> }[] = [
  { name: "an address comes", op: "address", more: { address: "10.9.0.2/16" } },
  { name: "an address goes", op: "address", more: { address: "10.9.0.2/16", present: false } },
  { name: "a route comes", op: "route", more: { destination: "10.8.0.0/16" } },
  { name: "a route goes", op: "route", more: { destination: "10.8.0.0/16", present: false } },
  { name: "an MTU changes", op: "mtu", more: { bytes: 1300 } },
  { name: "of IPv6", op: "mtu", more: { bytes: 1300, family: AF_INET6 } },
  { name: "an address of IPv6", op: "address", more: { address: "fd00::7/64" } },
  { name: "an adapter goes", op: "interface", more: { present: false } },
];

hostTest(
  "a signal tells of every kind of change once, however many there were, and of none after its end",
  async (fake) => {
    const signal = new ChangeSignal(PATH);
    assertEquals(signal.take(), false);
    for (const { name, op, more } of CHANGES) {
      const before = fake.counters().told!;
      fake.request(op, { luid: OTHER, ...more });
      await waitFor(name, () => signal.take());
      // What one change sets off may be told in several parts.
      await waitFor("all of it told", () => fake.counters().told! > before);
    }
    for (let i = 0; i < 100; i++) fake.request("mtu", { luid: ETHERNET, bytes: 1400 + i });
    await waitFor("a hundred changes", () => fake.counters().told! >= 100);
    assertEquals(fake.counters().notificationsOpen, 3);
    signal[Symbol.dispose]();
    signal[Symbol.dispose]();
    assertEquals(fake.counters().notificationsOpen, 0);
    const { told } = fake.counters();
    fake.request("mtu", { luid: ETHERNET, bytes: 1500 });
    assertEquals(fake.counters().told, told);
  },
);

hostTest("a registration that is refused leaves none behind", (fake) => {
  for (const call of ["NotifyUnicastIpAddressChange", "NotifyRouteChange2", "NotifyIpInterfaceChange"]) {
    fake.script({ function: call, action: "fail", code: 8 });
    assertThrows(() => new ChangeSignal(PATH), Win32Error, `${call}: 8`);
  }
  assertEquals(fake.counters().notificationsOpen, 0);
});

Deno.test("a notification that stays, one cancelled twice, an address on two adapters are seen (negative control)", () => {
  using fake = new FakeLibrary("iphlpapi_fake.dll");
  const library = openIphlpapi();
  const out = new BigUint64Array(1);
  const { NotifyRouteChange2, CancelMibChangeNotify2 } = library.symbols;
  const code = Deno.UnsafePointer.of(new Uint8Array(8))!;
  assertEquals(NotifyRouteChange2(0, code, 0n, 0, out), 0);
  assertEquals(fake.counters().notificationsOpen, 1);
  assertEquals(CancelMibChangeNotify2(out[0]!), 0);
  assert(CancelMibChangeNotify2(out[0]!) !== 0);
  NotifyRouteChange2(0, null, 0n, 0, new BigUint64Array(1));
  fake.request("interface", { luid: ETHERNET, alias: "zl-1-g", address: "10.200.0.1/16" });
  fake.request("interface", { luid: OTHER, alias: "vEthernet (zlayer-overlay)", address: "10.200.0.1/28" });
  assertEquals(fake.violations(), [
    "CancelMibChangeNotify2: cancelled before",
    "vEthernet (zlayer-overlay): its address 10.200.0.1/28 is on another interface",
  ]);
  library.close();
  fake.reset();
});
