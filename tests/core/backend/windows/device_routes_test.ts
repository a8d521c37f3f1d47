import { assertEquals, assertThrows } from "@std/assert";
import { DeviceRoutes } from "../../../../core/backend/windows/device_routes.ts";
import { formatPrefix, type IpPrefix, parsePrefix } from "../../../../core/ip/prefix.ts";
import { Win32Error } from "../../../../ffi/windows/win32_error.ts";
import { FakeIpHelper } from "../../../support/fake_ip_helper.ts";

const LUID = 7n;

function prefixes(...texts: readonly string[]): IpPrefix[] {
  return texts.map((text) => parsePrefix(text)!);
}

function rig(): { host: FakeIpHelper; routes: DeviceRoutes } {
  const host = new FakeIpHelper();
  return { host, routes: new DeviceRoutes(host, LUID) };
}

Deno.test("[windows T84] routes lose their host bits, have metric 256, and one that exists is fine", () => {
  const { host, routes } = rig();
  for (let i = 0; i < 2; i++) routes.ensure(prefixes("10.200.3.1/16", "fd00:200:42::5/64"));
  assertEquals([...host.routes.keys()], [
    "7 10.200.0.0/16",
    `7 253.0.2.0.0.66.${Array(10).fill(0).join(".")}/64`,
  ]);
  for (const row of host.routes.values()) {
    const view = new DataView(row.buffer);
    assertEquals([view.getUint32(84, true), view.getInt32(88, true)], [256, 3]);
    assertEquals(view.getUint16(44, true), view.getUint16(12, true), "the next hop has the family");
  }
  assertEquals(routes.present.map(formatPrefix), ["10.200.0.0/16", "fd00:200:42::/64"]);
});

Deno.test("ensure() removes what is wanted no more, and brings back what somebody has removed", () => {
  const { host, routes } = rig();
  routes.ensure(prefixes("10.1.0.0/16", "10.2.0.0/16"));
  host.routes.clear();
  routes.ensure(prefixes("10.2.0.0/16", "10.3.0.0/16"));
  assertEquals([...host.routes.keys()], ["7 10.2.0.0/16", "7 10.3.0.0/16"]);
});

Deno.test("add() undoes what it has added when one is refused", () => {
  const { host, routes } = rig();
  routes.add(prefixes("10.1.0.0/16"));
  host.failures.push({ call: "createRoute", code: 5010 }, { call: "createRoute", code: 0 });
  host.failures.push({ call: "createRoute", code: 87 });
  assertThrows(
    () => routes.add(prefixes("10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16")),
    Win32Error,
    "add route 10.3.0.0/16: CreateIpForwardEntry2: 87",
  );
  assertEquals(routes.present.map(formatPrefix), ["10.1.0.0/16"]);
  assertEquals(host.calls.at(-1), "deleteRoute");
});

Deno.test("remove() passes over what is gone, and tells of a refusal", () => {
  const { host, routes } = rig();
  routes.add(prefixes("10.1.0.0/16"));
  routes.remove(prefixes("10.1.0.1/16", "10.9.0.0/16"));
  assertEquals([[...host.routes], routes.present], [[], []]);
  host.failures.push({ call: "deleteRoute", code: 5 });
  assertThrows(() => routes.remove(prefixes("10.1.0.0/16")), Win32Error, "remove route 10.1.0.0/16");
});
