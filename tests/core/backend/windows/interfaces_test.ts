import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { readInterface, setInterface, setUpTunnel } from "../../../../core/backend/windows/interfaces.ts";
import { Win32Error } from "../../../../ffi/windows/win32_error.ts";
import { FakeIpHelper } from "../../../support/fake_ip_helper.ts";

const LUID = 0x0035_0000_0100_0000n;

/** What the rows of an interface say. */
function settings(host: FakeIpHelper, family: 4 | 6): Record<string, number> {
  const view = new DataView(host.interfaces.get(LUID)!.rows[family].buffer);
  return { mtu: view.getUint32(152, true), site: view.getUint32(144, true), forwarding: view.getUint8(41) };
}

Deno.test("[windows T83] [windows T84] the MTU is set for both families, and forwarding for that of the address", async () => {
  const host = new FakeIpHelper();
  host.add(LUID, "zl-1-g");
  const pause = (): Promise<void> => Promise.resolve();
  await setUpTunnel({ ipHelper: host, pause }, LUID, { mtuBytes: 1420, family: 4 });
  assertEquals(settings(host, 4), { mtu: 1420, site: 0, forwarding: 1 });
  assertEquals(settings(host, 6), { mtu: 1420, site: 0, forwarding: 0 });
});

for (const family of [4, 6] as const) {
  Deno.test(`a tunnel of IPv${family} forwards in that family, and looks for nobody on its link in either`, async () => {
    const host = new FakeIpHelper();
    const { rows } = host.add(LUID, "zl-1-g");
    for (const row of Object.values(rows)) row.fill(3, 52, 60);
    const pause = (): Promise<void> => Promise.resolve();
    await setUpTunnel({ ipHelper: host, pause }, LUID, { mtuBytes: 1420, family });
    for (const one of [4, 6] as const) {
      // RouterDiscoveryBehavior and DadTransmits.
      assertEquals([...rows[one].subarray(52, 60)], new Array(8).fill(0));
      assertEquals(settings(host, one), { mtu: 1420, site: 0, forwarding: one === family ? 1 : 0 });
    }
  });
}

Deno.test("[windows T83] a stack that does not know the interface yet is asked again, every 100 ms", async () => {
  const host = new FakeIpHelper();
  host.add(LUID, "zl-1-g").unknownFor = { 4: 7, 6: Infinity };
  const pauses: number[] = [];
  const pause = (ms: number): Promise<void> => Promise.resolve(void pauses.push(ms));
  await setUpTunnel({ ipHelper: host, pause }, LUID, { mtuBytes: 1420, family: 4 });
  assertEquals(pauses, Array(7).fill(100));
  assertEquals(settings(host, 4).mtu, 1420);
  assertEquals(settings(host, 6).mtu, 0, "a host without IPv6 is fine");
});

Deno.test("[windows T83] after 5 s without the family of the address there is an error", async () => {
  const host = new FakeIpHelper();
  host.add(LUID, "zl-1-g").unknownFor = { 4: 0, 6: Infinity };
  let waitedMs = 0;
  const pause = (ms: number): Promise<void> => Promise.resolve(void (waitedMs += ms));
  const error = await assertRejects(
    () => setUpTunnel({ ipHelper: host, pause }, LUID, { mtuBytes: 1420, family: 6 }),
    Win32Error,
    "find IPv6 on interface",
  );
  assertEquals([error.code, waitedMs], [1168, 4900]);
});

Deno.test("an MTU that IPv6 cannot have is set for IPv4 alone", async () => {
  const host = new FakeIpHelper();
  host.add(LUID, "zl-1-g");
  const pause = (): Promise<void> => Promise.resolve();
  await setUpTunnel({ ipHelper: host, pause }, LUID, { mtuBytes: 1000, family: 4 });
  assertEquals([settings(host, 4).mtu, settings(host, 6).mtu], [1000, 0]);
});

Deno.test("an interface that is gone is no error, and a refusal is one", () => {
  const host = new FakeIpHelper();
  assertEquals(setInterface(host, { luid: LUID, family: 4 }, { weakHost: true }), false);
  host.add(LUID, "zl-1-g");
  host.failures.push({ call: "setInterface", code: 1168 });
  assertEquals(setInterface(host, { luid: LUID, family: 4 }, { weakHost: true }), false);
  for (const call of ["getInterface", "setInterface"]) {
    host.failures.push({ call, code: 87 });
    assertThrows(() => setInterface(host, { luid: LUID, family: 4 }, {}), Win32Error, "87");
  }
});

Deno.test("readInterface() tells what the stack has, by family, and of none that it does not know", () => {
  const host = new FakeIpHelper();
  assertEquals(readInterface(host, { luid: LUID, family: 4 }), undefined);
  const made = host.add(LUID, "zl-1-g");
  const fresh = { mtuBytes: 0, forwarding: false, weakHost: false, isConnected: true };
  assertEquals(readInterface(host, { luid: LUID, family: 4 }), fresh);
  made.connected = false;
  setInterface(host, { luid: LUID, family: 6 }, { mtuBytes: 1420, forwarding: true, weakHost: true });
  assertEquals(readInterface(host, { luid: LUID, family: 4 }), { ...fresh, isConnected: false });
  const changed = { mtuBytes: 1420, forwarding: true, weakHost: true, isConnected: false };
  assertEquals(readInterface(host, { luid: LUID, family: 6 }), changed);
});
