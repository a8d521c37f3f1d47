/** Rows of IP Helper, byte for byte; the layouts were printed by a C compiler from Windows' headers. */
import { assertEquals, assertThrows } from "@std/assert";
import { CodecError } from "../../../ffi/bytes.ts";
import {
  decodeOnLinkRoutes,
  encodeOnLinkRoute,
  forwardTableBytes,
} from "../../../ffi/windows/forward_row.ts";
import { changeInterface, decodeInterface, encodeInterfaceKey } from "../../../ffi/windows/interface_row.ts";
import { AF_INET, AF_INET6, readSockaddr } from "../../../ffi/windows/sockaddr.ts";
import {
  decodeUnicastAddress,
  decodeUnicastTable,
  encodeUnicastAddress,
} from "../../../ffi/windows/unicast_address_row.ts";

const LUID = 0x0035_0000_0100_0000n;
const V4 = Uint8Array.of(10, 200, 0, 1);
const V6 = Uint8Array.of(0xfd, 0, 2, 0, 0, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5);

/** What is not zero, as `offset: bytes`. */
function golden(size: number, parts: Readonly<Record<number, readonly number[]>>): Uint8Array {
  const bytes = new Uint8Array(size);
  for (const [at, part] of Object.entries(parts)) bytes.set(part, Number(at));
  return bytes;
}

const LUID_BYTES = [0, 0, 0, 1, 0, 0, 0x35, 0];
const FOREVER = [255, 255, 255, 255];

Deno.test("[windows T81] [windows T82] an address row of IPv4, preferred at once and for ever", () => {
  const row = encodeUnicastAddress({ luid: LUID, address: V4, prefixLength: 16 });
  assertEquals(
    row,
    golden(80, {
      0: [2, 0], // AF_INET
      4: [10, 200, 0, 1],
      32: LUID_BYTES,
      44: [16], // IpPrefixOriginUnchanged
      48: [16],
      52: FOREVER,
      56: FOREVER,
      60: [16], // OnLinkPrefixLength
      64: [4], // IpDadStatePreferred
    }),
  );
  assertEquals(decodeUnicastAddress(row), { luid: LUID, address: V4, prefixLength: 16 });
});

Deno.test("[windows T81] an address row of IPv6", () => {
  const row = encodeUnicastAddress({ luid: LUID, address: V6, prefixLength: 64 });
  const want = {
    0: [23, 0], // AF_INET6 of Windows
    8: [...V6],
    32: LUID_BYTES,
    44: [16],
    48: [16],
    52: FOREVER,
    56: FOREVER,
    60: [64],
    64: [4],
  };
  assertEquals(row, golden(80, want));
  assertEquals(decodeUnicastAddress(row), { luid: LUID, address: V6, prefixLength: 64 });
});

Deno.test("[windows T81] [windows T84] a route of IPv4 names the family of no next hop", () => {
  const destination = Uint8Array.of(10, 200, 0, 0);
  const row = encodeOnLinkRoute({ luid: LUID, destination, prefixLength: 16, metric: 256 });
  assertEquals(
    row,
    golden(104, {
      0: LUID_BYTES,
      12: [2, 0, 0, 0, 10, 200, 0, 0],
      40: [16],
      44: [2, 0],
      76: FOREVER,
      80: FOREVER,
      84: [0, 1, 0, 0],
      88: [3], // MIB_IPPROTO_NETMGMT
      92: [1, 1, 1, 1], // as InitializeIpForwardEntry has them
    }),
  );
});

Deno.test("[windows T81] a route of IPv6", () => {
  const destination = Uint8Array.from(V6, (byte, i) => i < 8 ? byte : 0);
  const row = encodeOnLinkRoute({ luid: LUID, destination, prefixLength: 64, metric: 256 });
  const want = {
    0: LUID_BYTES,
    12: [23, 0, 0, 0, 0, 0, 0, 0, ...destination],
    40: [64],
    44: [23, 0],
    76: FOREVER,
    80: FOREVER,
    84: [0, 1],
    88: [3],
    92: [1, 1, 1, 1],
  };
  assertEquals(row, golden(104, want));
});

for (const [family, name] of [[AF_INET, "IPv4"], [AF_INET6, "IPv6"]] as const) {
  Deno.test(`[windows T81] [windows T83] an interface row of ${name} is changed where it has to be, and nowhere else`, () => {
    const row = encodeInterfaceKey(LUID, family);
    assertEquals(row, golden(168, { 0: [family, 0], 8: LUID_BYTES }));
    row.fill(0xaa, 16);
    const before = row.slice();
    changeInterface(row, { mtuBytes: 1420, forwarding: true, weakHost: true, isTunnel: true });
    before.set([1, 1, 1], 41); // ForwardingEnabled, WeakHostSend, WeakHostReceive
    before.set([0, 0, 0, 0], 52); // RouterDiscoveryDisabled
    before.set([0, 0, 0, 0], 56); // DadTransmits
    before.set([0, 0, 0, 0], 144); // SitePrefixLength
    before.set([0x8c, 0x05, 0, 0], 152); // NlMtu
    assertEquals(row, before);
  });
}

Deno.test("changeInterface() leaves alone what is not said, but for what Windows refuses to take back", () => {
  const row = new Uint8Array(168).fill(1);
  changeInterface(row, {});
  assertEquals(row, golden(168, { 0: Array(144).fill(1), 148: Array(20).fill(1) }));
});

Deno.test("changeInterface() switches off as it switches on", () => {
  const row = new Uint8Array(168).fill(1);
  changeInterface(row, { forwarding: false, weakHost: false });
  assertEquals([...row.subarray(40, 45)], [1, 0, 0, 0, 1]);
});

Deno.test("decodeInterface() reads each field at its place", () => {
  const state = { mtuBytes: 0, forwarding: false, weakHost: false, isConnected: false };
  const rows: { set: Record<number, number[]>; want: Partial<typeof state> }[] = [
    { set: {}, want: {} },
    { set: { 152: [0x8c, 5, 1, 0] }, want: { mtuBytes: 0x1058c } },
    { set: { 41: [1] }, want: { forwarding: true } },
    { set: { 42: [1] }, want: {} },
    { set: { 43: [1] }, want: {} },
    { set: { 42: [1, 1] }, want: { weakHost: true } },
    { set: { 156: [1] }, want: { isConnected: true } },
  ];
  for (const { set, want } of rows) assertEquals(decodeInterface(golden(168, set)), { ...state, ...want });
});

Deno.test("a table of addresses is read row by row", () => {
  const bytes = new Uint8Array(8 + 160);
  bytes[0] = 2;
  const rows = [
    { luid: 1n, address: V4, prefixLength: 28 },
    { luid: LUID, address: Uint8Array.of(127, 0, 0, 1), prefixLength: 8 },
  ];
  for (const [i, row] of rows.entries()) bytes.set(encodeUnicastAddress(row), 8 + 80 * i);
  assertEquals(decodeUnicastTable(bytes), rows);
});

Deno.test("addresses of other families are refused", () => {
  const bytes = new DataView(new ArrayBuffer(28));
  bytes.setUint16(0, 10, true);
  assertThrows(() => readSockaddr(bytes, 0), CodecError);
  const address = { luid: 1n, address: new Uint8Array(5), prefixLength: 1 };
  assertThrows(() => encodeUnicastAddress(address), RangeError);
});

Deno.test("a table of routes: what is on the link, of both families; what goes by a next hop is left out", () => {
  const route = { luid: LUID, destination: Uint8Array.of(10, 200, 0, 0), prefixLength: 16, metric: 256 };
  const v6 = { ...route, destination: V6, prefixLength: 128 };
  const byGateway = encodeOnLinkRoute({ ...route, destination: new Uint8Array(4), prefixLength: 0 });
  byGateway.set([192, 0, 2, 1], 48);
  const rows = [encodeOnLinkRoute(route), byGateway, encodeOnLinkRoute(v6)];
  const table = new Uint8Array(forwardTableBytes(rows.length));
  table[0] = rows.length;
  for (const [i, row] of rows.entries()) table.set(row, 8 + 104 * i);
  const want = [route, v6].map(({ metric: _, ...one }) => one);
  assertEquals(decodeOnLinkRoutes(table), want);
  assertEquals(decodeOnLinkRoutes(new Uint8Array(forwardTableBytes(0))), []);
});
