/** The fake iphlpapi: offsets, refusals, one compartment of addresses, and what Wintun announces to it. */
import { assert, assertEquals } from "@std/assert";
import { FakeLibrary } from "../support/fake_library.ts";
import { wide } from "../support/hcn_calls.ts";
import { AF_INET, AF_INET6, openIphlpapi, Row } from "../support/iphlpapi_calls.ts";
import { WintunCalls } from "../support/wintun_calls.ts";

const LUID = 53n << 48n | 1n << 24n;
const OTHER = 6n << 48n | 2n << 24n;
const [NOT_FOUND, INVALID_PARAMETER, EXISTS] = [1168, 87, 5010];
const V6 = [0xfd, ...Array(14).fill(0), 1];

type Calls = ReturnType<typeof openIphlpapi>["symbols"];

function iphlpapiTest(name: string, run: (calls: Calls, fake: FakeLibrary) => void): void {
  Deno.test(`fake iphlpapi: ${name}`, () => {
    using fake = new FakeLibrary("iphlpapi_fake.dll");
    fake.request("interface", { luid: `${LUID}`, alias: "zl-1-g" });
    fake.request("interface", { luid: `${OTHER}`, alias: "vEthernet (zlayer)" });
    const library = openIphlpapi();
    run(library.symbols, fake);
    library.close();
    fake.assertClean();
  });
}

function addressRow(calls: Calls, address: readonly number[], luid = LUID): Row {
  const row = new Row(80);
  calls.InitializeUnicastIpAddressEntry(row.bytes);
  return row.address(0, address).u64(32, luid).u8(60, address.length === 4 ? 28 : 64).u32(64, 4);
}

iphlpapiTest("an address is kept once in the compartment", (calls, fake) => {
  const row = addressRow(calls, [10, 200, 0, 1]);
  assertEquals(calls.CreateUnicastIpAddressEntry(row.bytes), 0);
  assertEquals(calls.CreateUnicastIpAddressEntry(row.bytes), EXISTS);
  assertEquals(calls.CreateUnicastIpAddressEntry(addressRow(calls, [10, 200, 0, 1], OTHER).bytes), EXISTS);
  assertEquals(calls.CreateUnicastIpAddressEntry(addressRow(calls, V6).bytes), 0);
  assertEquals(fake.request("dump").addresses, [
    address("fd00:0:0:0:0:0:0:1", 64),
    address("10.200.0.1", 28),
  ]);
  const asked = new Row(80).address(0, [10, 200, 0, 1]).u64(32, LUID);
  assertEquals(calls.GetUnicastIpAddressEntry(asked.bytes), 0);
  assertEquals([asked.view.getUint8(60), asked.view.getInt32(64, true)], [28, 4]);
  assertEquals(calls.DeleteUnicastIpAddressEntry(addressRow(calls, [10, 200, 0, 1], OTHER).bytes), NOT_FOUND);
  assertEquals(calls.DeleteUnicastIpAddressEntry(row.bytes), 0);
  assertEquals(calls.DeleteUnicastIpAddressEntry(row.bytes), NOT_FOUND);
});

function address(text: string, prefixLength: number): unknown {
  return { address: text, luid: `${LUID}`, prefixLength, dadState: 4, validLifetime: 0xffffffff };
}

iphlpapiTest("bad address rows are refused", (calls) => {
  const rows: { name: string; row: Row; want: number }[] = [
    { name: "no family", row: addressRow(calls, [10, 0, 0, 1]).u8(0, 10), want: INVALID_PARAMETER },
    { name: "no address", row: addressRow(calls, [0, 0, 0, 0]), want: INVALID_PARAMETER },
    { name: "multicast", row: addressRow(calls, [224, 0, 0, 1]), want: INVALID_PARAMETER },
    { name: "a prefix of 33", row: addressRow(calls, [10, 0, 0, 1]).u8(60, 33), want: INVALID_PARAMETER },
    { name: "no lifetime", row: addressRow(calls, [10, 0, 0, 1]).u32(52, 0), want: INVALID_PARAMETER },
    { name: "a DAD state of 5", row: addressRow(calls, [10, 0, 0, 1]).u32(64, 5), want: INVALID_PARAMETER },
    { name: "no interface", row: addressRow(calls, [10, 0, 0, 1], 7n), want: NOT_FOUND },
    { name: "a prefix left open", row: addressRow(calls, [10, 0, 0, 1]).u8(60, 255), want: 0 },
  ];
  for (const { name, row, want } of rows) {
    assertEquals({ name, got: calls.CreateUnicastIpAddressEntry(row.bytes) }, { name, got: want });
  }
});

iphlpapiTest("the table of addresses is the caller's to free, once", (calls, fake) => {
  calls.CreateUnicastIpAddressEntry(addressRow(calls, [10, 200, 0, 1]).bytes);
  calls.CreateUnicastIpAddressEntry(addressRow(calls, V6).bytes);
  const out = new BigUint64Array(1);
  assertEquals(calls.GetUnicastIpAddressTable(AF_INET, out), 0);
  const table = Deno.UnsafePointer.create(out[0] ?? 0n);
  assert(table !== null);
  const view = new Deno.UnsafePointerView(table);
  assertEquals([view.getUint32(0), view.getUint16(8), view.getBigUint64(40)], [1, AF_INET, LUID]);
  assertEquals(fake.counters().tablesKept, 1);
  calls.FreeMibTable(table);
});

function routeRow(calls: Calls, more: (row: Row) => Row = (row) => row): Row {
  const row = new Row(104);
  calls.InitializeIpForwardEntry(row.bytes);
  row.u64(0, LUID).address(12, [10, 200, 0, 0]).u8(40, 16).address(44, [0, 0, 0, 0]).u32(84, 256).u32(88, 3);
  return more(row);
}

iphlpapiTest("routes are kept, found and refused", (calls, fake) => {
  const row = routeRow(calls);
  assertEquals(calls.CreateIpForwardEntry2(row.bytes), 0);
  assertEquals(calls.CreateIpForwardEntry2(row.bytes), EXISTS);
  assertEquals(fake.request("dump").routes, [{
    destination: "10.200.0.0",
    nextHop: "0.0.0.0",
    luid: `${LUID}`,
    prefixLength: 16,
    metric: 256,
    protocol: 3,
  }]);
  const bad: { name: string; row: Row; want: number }[] = [
    { name: "host bits", row: routeRow(calls, (r) => r.u8(12 + 7, 1)), want: INVALID_PARAMETER },
    { name: "no next hop family", row: routeRow(calls, (r) => r.u8(44, 0)), want: INVALID_PARAMETER },
    { name: "another family", row: routeRow(calls, (r) => r.u8(44, AF_INET6)), want: INVALID_PARAMETER },
    { name: "a prefix of 33", row: routeRow(calls, (r) => r.u8(40, 33)), want: INVALID_PARAMETER },
    { name: "a site prefix", row: routeRow(calls, (r) => r.u8(72, 17)), want: INVALID_PARAMETER },
    { name: "no interface", row: routeRow(calls, (r) => r.u64(0, 7n)), want: NOT_FOUND },
  ];
  for (const { name, row: one, want } of bad) {
    assertEquals({ name, got: calls.CreateIpForwardEntry2(one.bytes) }, { name, got: want });
  }
  assertEquals(calls.SetIpForwardEntry2(routeRow(calls, (r) => r.u32(84, 1)).bytes), 0);
  const asked = routeRow(calls);
  assertEquals([calls.GetIpForwardEntry2(asked.bytes), asked.view.getUint32(84, true)], [0, 1]);
  assertEquals(calls.DeleteIpForwardEntry2(row.bytes), 0);
  assertEquals(calls.DeleteIpForwardEntry2(row.bytes), NOT_FOUND);
});

function interfaceRow(calls: Calls, family: number, luid = LUID): Row {
  const row = new Row(168);
  calls.InitializeIpInterfaceEntry(row.bytes);
  return row.u8(0, family).u64(8, luid);
}

iphlpapiTest(
  "an IPv4 row is taken back only without the site prefix that Windows put there",
  (calls, fake) => {
    const row = interfaceRow(calls, AF_INET);
    assertEquals(calls.GetIpInterfaceEntry(row.bytes), 0);
    row.u32(152, 1420).u8(41, 1).u8(42, 1);
    assertEquals(calls.SetIpInterfaceEntry(row.bytes), INVALID_PARAMETER);
    assertEquals(calls.SetIpInterfaceEntry(row.u32(144, 0).bytes), 0);
    const v4 = fake.request("dump").interfaces.find((one: { alias: string }) => one.alias === "zl-1-g").v4;
    assertEquals([v4.mtu, v4.forwarding, v4.weakHostSend, v4.weakHostReceive], [1420, 1, 1, 0]);
    const v6 = interfaceRow(calls, AF_INET6);
    assertEquals(calls.GetIpInterfaceEntry(v6.bytes), 0);
    assertEquals(calls.SetIpInterfaceEntry(v6.u32(144, 0).u32(152, 1279).bytes), INVALID_PARAMETER);
    assertEquals(calls.GetIpInterfaceEntry(interfaceRow(calls, AF_INET, 7n).bytes), 2);
    assertEquals(calls.GetIpInterfaceEntry(interfaceRow(calls, 10).bytes), INVALID_PARAMETER);
  },
);

iphlpapiTest("the stack may lack a family, or not know an interface yet", (calls, fake) => {
  fake.request("interface", { luid: `${LUID}`, families: [AF_INET], bindMs: 60_000 });
  assertEquals(calls.GetIpInterfaceEntry(interfaceRow(calls, AF_INET).bytes), NOT_FOUND);
  assertEquals(calls.CreateUnicastIpAddressEntry(addressRow(calls, [10, 0, 0, 1]).bytes), NOT_FOUND);
  fake.request("interface", { luid: `${LUID}`, bindMs: 0 });
  assertEquals(calls.GetIpInterfaceEntry(interfaceRow(calls, AF_INET).bytes), 0);
  assertEquals(calls.GetIpInterfaceEntry(interfaceRow(calls, AF_INET6).bytes), NOT_FOUND);
});

iphlpapiTest("names and numbers", (calls) => {
  const luid = BigUint64Array.of(OTHER);
  const index = new Uint32Array(1);
  assertEquals([calls.ConvertInterfaceLuidToIndex(luid, index), index[0]], [0, 11]);
  const guid = new BigUint64Array(2);
  assertEquals([calls.ConvertInterfaceLuidToGuid(luid, guid), guid[1]], [0, OTHER]);
  const alias = new Uint16Array(64);
  assertEquals(calls.ConvertInterfaceLuidToAlias(luid, alias, 64n), 0);
  assertEquals(String.fromCharCode(...alias.subarray(0, alias.indexOf(0))), "vEthernet (zlayer)");
  assertEquals(calls.ConvertInterfaceLuidToAlias(luid, new Uint16Array(4), 4n), 8);
  const found = new BigUint64Array(1);
  assertEquals([calls.ConvertInterfaceAliasToLuid(wide("zl-1-g"), found), found[0]], [0, LUID]);
  assertEquals(calls.ConvertInterfaceLuidToIndex(BigUint64Array.of(7n), index), 2);
});

Deno.test("fake iphlpapi: planted mistakes are seen", () => {
  using fake = new FakeLibrary("iphlpapi_fake.dll");
  fake.request("interface", { luid: `${LUID}`, alias: "zl-1-g" });
  const library = openIphlpapi();
  const calls = library.symbols;
  calls.CreateUnicastIpAddressEntry(addressRow(calls, [10, 0, 0, 1]).u8(2, 1).bytes);
  calls.GetIpInterfaceEntry(null);
  const row = interfaceRow(calls, AF_INET);
  calls.GetIpInterfaceEntry(row.bytes);
  calls.SetIpInterfaceEntry(row.u32(144, 0).u8(41, 2).bytes);
  calls.FreeMibTable(null);
  assertEquals(fake.violations(), [
    "CreateUnicastIpAddressEntry: an address with bytes that its family does not have",
    "GetIpInterfaceEntry: Row cannot be read",
    "SetIpInterfaceEntry: the flag at 41 is 2",
    "FreeMibTable: no table",
  ]);
  fake.reset();
  library.close();
});

Deno.test("fake iphlpapi: adapters of the fake Wintun are interfaces; their addresses go with them", () => {
  using fake = new FakeLibrary("iphlpapi_fake.dll");
  using wintunFake = new FakeLibrary("wintun.dll");
  using wintun = new WintunCalls();
  const library = openIphlpapi();
  const adapter = wintun.create("zl-1-g", "ZLayer", crypto.randomUUID());
  const row = addressRow(library.symbols, [10, 0, 0, 1], wintun.luid(adapter));
  assertEquals(library.symbols.CreateUnicastIpAddressEntry(row.bytes), 0);
  assertEquals(fake.request("dump").interfaces.map((one: { alias: string }) => one.alias), ["zl-1-g"]);
  wintun.closeAdapter(adapter);
  const { interfaces, addresses } = fake.request("dump");
  assertEquals([interfaces, addresses], [[], []]);
  wintunFake.assertClean();
  library.close();
});
