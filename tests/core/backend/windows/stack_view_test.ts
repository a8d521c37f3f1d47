import { assertEquals } from "@std/assert";
import { DeviceRoutes } from "../../../../core/backend/windows/device_routes.ts";
import { StackView } from "../../../../core/backend/windows/stack_view.ts";
import { parsePrefix } from "../../../../core/ip/prefix.ts";
import { FakeIpHelper } from "../../../support/fake_ip_helper.ts";

const [LUID, OTHER] = [7n, 8n];
const prefix = (text: string) => parsePrefix(text)!;

Deno.test("a view of the IP stack: addresses and routes by interface, and what it was when it was read", () => {
  const host = new FakeIpHelper();
  host.add(LUID, "zl-1-g");
  host.addresses.push(
    { luid: LUID, address: Uint8Array.of(10, 200, 0, 1), prefixLength: 16 },
    { luid: OTHER, address: Uint8Array.of(0xfd, ...Array(14).fill(0), 1), prefixLength: 64 },
  );
  new DeviceRoutes(host, LUID).add([prefix("10.200.0.0/16"), prefix("fd00::/64")]);
  const view = new StackView(host);
  host.addresses = [];
  host.routes.clear();
  const has: { name: string; got: boolean; want: boolean }[] = [
    { name: "an address", got: view.hasAddress(LUID, prefix("10.200.0.1/16"), { exact: true }), want: true },
    {
      name: "of another prefix",
      got: view.hasAddress(LUID, prefix("10.200.0.1/28"), { exact: true }),
      want: false,
    },
    {
      name: "the prefix aside",
      got: view.hasAddress(LUID, prefix("10.200.0.1/28"), { exact: false }),
      want: true,
    },
    { name: "another's", got: view.hasAddress(OTHER, prefix("10.200.0.1/16"), { exact: true }), want: false },
    { name: "of IPv6", got: view.hasAddress(OTHER, prefix("fd00::1/64"), { exact: true }), want: true },
    { name: "a route", got: view.hasRoute(LUID, prefix("10.200.0.0/16")), want: true },
    { name: "a route of IPv6", got: view.hasRoute(LUID, prefix("fd00::/64")), want: true },
    { name: "another's route", got: view.hasRoute(OTHER, prefix("10.200.0.0/16")), want: false },
    { name: "a longer one", got: view.hasRoute(LUID, prefix("10.200.0.0/17")), want: false },
  ];
  for (const { name, got, want } of has) assertEquals({ name, got }, { name, got: want });
});
