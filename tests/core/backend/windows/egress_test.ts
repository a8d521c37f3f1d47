import { assertEquals, assertThrows } from "@std/assert";
import { findWindowsEgress } from "../../../../core/backend/windows/egress.ts";
import { NotFoundError } from "../../../../core/errors.ts";
import { formatIp } from "../../../../core/ip/address.ts";
import type { Adapter, AdapterList } from "../../../../ffi/windows/adapters.ts";

function adapter(name: string, index: number, more: Partial<Adapter> = {}): Adapter {
  return {
    name,
    description: "",
    luid: BigInt(index),
    index: { 4: index, 6: index },
    mtuBytes: 1500,
    isUp: true,
    hasGateway: false,
    addresses: [Uint8Array.of(192, 0, 2, index)],
    ...more,
  };
}

function list(adapters: readonly Adapter[], best?: Partial<Record<4 | 16, number>>): AdapterList {
  return {
    adapters: () => [...adapters],
    bestInterface: ({ length }) => best?.[length as 4 | 16],
  };
}

const V6 = Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9);
const LINK_LOCAL = Uint8Array.of(169, 254, 3, 4);

/** Zeros, with these bytes from there on. */
function v6(at: number, ...bytes: number[]): Uint8Array {
  const address = new Uint8Array(16);
  address.set(bytes, at);
  return address;
}

const EGRESS: { name: string; list: AdapterList; want: string }[] = [
  {
    name: "by the route",
    list: list([adapter("a", 1), adapter("b", 2)], { 4: 2 }),
    want: "b 192.0.2.2 1500",
  },
  {
    name: "the first address of the family that is of use",
    list: list([adapter("a", 1, { addresses: [V6, LINK_LOCAL, Uint8Array.of(10, 0, 0, 1)] })], { 4: 1 }),
    want: "a 10.0.0.1 1500",
  },
  {
    name: "IPv6 where there is no IPv4",
    list: list([adapter("a", 1, { addresses: [LINK_LOCAL, V6], mtuBytes: 1280 })], { 16: 1 }),
    want: "a 2001:db8::9 1280",
  },
  {
    name: "no address of IPv6 that leads nowhere",
    list: list([adapter("a", 1, { addresses: [v6(15, 1), v6(0, 0xfe, 0x80), v6(0, 0xfe, 0xbf), V6] })], {
      16: 1,
    }),
    want: "a 2001:db8::9 1500",
  },
  {
    name: "one of IPv6 that only looks so",
    list: list([adapter("a", 1, { addresses: [v6(0, 0xfe, 0x40)] })], { 16: 1 }),
    want: "a fe40:: 1500",
  },
  {
    name: "the largest MTU that is one",
    list: list([adapter("a", 1, { mtuBytes: 65_535 })], { 4: 1 }),
    want: "a 192.0.2.1 65535",
  },
  {
    name: "without a route the one with a gateway",
    list: list([adapter("a", 1), adapter("b", 2, { hasGateway: true, mtuBytes: 0xffff_ffff })]),
    want: "b 192.0.2.2 1500",
  },
  {
    name: "none that is down",
    list: list([adapter("a", 1, { isUp: false, hasGateway: true }), adapter("b", 2, { hasGateway: true })], {
      4: 1,
    }),
    want: "b 192.0.2.2 1500",
  },
];

Deno.test("findWindowsEgress() finds the way out", async (t) => {
  for (const { name, list, want } of EGRESS) {
    await t.step(name, () => {
      const egress = findWindowsEgress(list);
      assertEquals(`${egress.interface} ${formatIp(egress.ip)} ${egress.mtuBytes}`, want);
    });
  }
});

Deno.test("findWindowsEgress() says that there is no way out", () => {
  assertThrows(() => findWindowsEgress(list([adapter("a", 1)])), NotFoundError, "no adapter with an address");
});
