import { assertEquals, assertRejects } from "@std/assert";
import {
  type AddressTools,
  dropAddress,
  ensureOnlyAddress,
} from "../../../../core/backend/windows/device_address.ts";
import { AlreadyExistsError } from "../../../../core/errors.ts";
import { parsePrefix } from "../../../../core/ip/prefix.ts";
import { Win32Error } from "../../../../ffi/windows/win32_error.ts";
import { FakeIpHelper } from "../../../support/fake_ip_helper.ts";

const WINTUN = 0x0035_0000_0100_0000n;
const OTHER = 0x0006_0000_0200_0000n;
const NODE = parsePrefix("10.200.0.1/16")!;
const BYTES = Uint8Array.of(10, 200, 0, 1);

function rig(
  isOwnVnic: AddressTools["isOwnVnic"] = () => false,
): { host: FakeIpHelper; tools: AddressTools } {
  const host = new FakeIpHelper();
  host.add(WINTUN, "zl-1-g");
  return { host, tools: { ipHelper: host, isOwnVnic, pause: () => Promise.resolve() } };
}

Deno.test("[windows T82] an address that the device has already is fine; others of it go", async () => {
  const { host, tools } = rig();
  const linkLocal = Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9);
  host.addresses.push(
    { luid: WINTUN, address: Uint8Array.of(169, 254, 1, 1), prefixLength: 16 },
    { luid: WINTUN, address: linkLocal, prefixLength: 64 },
    { luid: OTHER, address: Uint8Array.of(192, 0, 2, 1), prefixLength: 24 },
  );
  for (let i = 0; i < 2; i++) assertEquals(await ensureOnlyAddress(tools, WINTUN, NODE), WINTUN);
  assertEquals(
    host.addresses.map(({ luid, address }) => [luid, address.length === 4 ? address.join(".") : ""]),
    [
      [WINTUN, ""],
      [OTHER, "192.0.2.1"],
      [WINTUN, "10.200.0.1"],
    ],
  );
});

Deno.test("[windows T82] of IPv6, too, others go but link-local ones, and a holder is judged by its family", async () => {
  const { host, tools } = rig();
  const v6 = (...start: number[]): Uint8Array => Uint8Array.from({ length: 16 }, (_, i) => start[i] ?? 0);
  const wanted = parsePrefix("fd00::1/64")!;
  const address = v6(0xfd).with(15, 1);
  const linkLocal = [v6(0xfe, 0x80), v6(0xfe, 0xbf)];
  const others = [v6(0xfe, 0x40), v6(0x20, 0x80), v6(0xfd, 0xb0)];
  for (const one of [...linkLocal, ...others]) {
    host.addresses.push({ luid: WINTUN, address: one, prefixLength: 64 });
  }
  host.addresses.push({ luid: OTHER, address, prefixLength: 64 });
  // It is known for IPv4 only: nothing of IPv6 is up there.
  host.add(OTHER, "old").unknownFor = { 4: 0, 6: Infinity };
  assertEquals(await ensureOnlyAddress(tools, WINTUN, wanted), WINTUN);
  assertEquals(host.addresses.map((one) => one.address), [...linkLocal, address]);
  assertEquals(host.addresses.at(-1)!.luid, WINTUN);
});

Deno.test("an address whose prefix has changed is set anew", async () => {
  const { host, tools } = rig();
  host.addresses.push({ luid: WINTUN, address: BYTES, prefixLength: 28 });
  assertEquals(await ensureOnlyAddress(tools, WINTUN, NODE), WINTUN);
  assertEquals(host.addresses.map(({ prefixLength }) => prefixLength), [16]);
});

Deno.test("[windows T82] the virtual adapter of our container network keeps the address, and both take packets for it", async () => {
  const asked: string[] = [];
  const { host, tools } = rig(({ luid, alias, address }) => {
    asked.push(`${alias} ${address.join(".")}`);
    return Promise.resolve(luid === OTHER);
  });
  const vnic = host.add(OTHER, "vEthernet (zlayer-overlay)");
  host.addresses.push({ luid: OTHER, address: BYTES, prefixLength: 28 });
  assertEquals(await ensureOnlyAddress(tools, WINTUN, NODE), OTHER);
  assertEquals(asked, ["vEthernet (zlayer-overlay) 10.200.0.1"]);
  assertEquals(host.addresses.map(({ luid }) => luid), [OTHER]);
  // ForwardingEnabled, WeakHostSend, WeakHostReceive.
  assertEquals([...vnic.rows[4].subarray(41, 44)], [1, 1, 1]);
  assertEquals([...host.interfaces.get(WINTUN)!.rows[4].subarray(42, 44)], [1, 1]);
});

Deno.test("[windows T82] an address on an interface that is down is taken from it, once", async () => {
  const { host, tools } = rig();
  host.add(OTHER, "old", { connected: false });
  host.addresses.push({ luid: OTHER, address: BYTES, prefixLength: 16 });
  assertEquals(await ensureOnlyAddress(tools, WINTUN, NODE), WINTUN);
  assertEquals(host.addresses.map(({ luid }) => luid), [WINTUN]);
  assertEquals(host.calls.filter((call) => call === "createAddress").length, 2);
});

Deno.test("[windows T82] an address on another interface that is up is an error that names it", async () => {
  const { host, tools } = rig();
  host.add(OTHER, "Ethernet 2");
  host.addresses.push({ luid: OTHER, address: BYTES, prefixLength: 16 });
  await assertRejects(
    () => ensureOnlyAddress(tools, WINTUN, NODE),
    AlreadyExistsError,
    "address 10.200.0.1 already exists on interface 'Ethernet 2' of this host; remove it there",
  );
  assertEquals(host.addresses.map(({ luid }) => luid), [OTHER]);
});

Deno.test("an address that nobody has although it exists ends in an error, and not in a loop", async () => {
  const { host, tools } = rig();
  for (let i = 0; i < 3; i++) host.failures.push({ call: "createAddress", code: 5010 });
  const error = await assertRejects(() => ensureOnlyAddress(tools, WINTUN, NODE), Win32Error);
  assertEquals([error.code, host.calls.length], [5010, 3]);
});

Deno.test("a refusal names the address and the code", async () => {
  const { host, tools } = rig();
  host.failures.push({ call: "createAddress", code: 5 });
  await assertRejects(
    () => ensureOnlyAddress(tools, WINTUN, NODE),
    Win32Error,
    "set address 10.200.0.1: CreateUnicastIpAddressEntry: 5 ERROR_ACCESS_DENIED",
  );
});

Deno.test("dropAddress() takes the address off, and is fine when it is gone", () => {
  const { host, tools } = rig();
  host.addresses.push({ luid: WINTUN, address: BYTES, prefixLength: 16 });
  for (let i = 0; i < 2; i++) dropAddress(tools, WINTUN, NODE);
  assertEquals(host.addresses, []);
});
