import { assertEquals } from "@std/assert";
import { gatewayMac } from "../../../../core/backend/linux/bridge.ts";
import { parseIp } from "../../../../core/ip/address.ts";

Deno.test("gatewayMac() is local, unicast and made of the address alone", () => {
  assertEquals(gatewayMac(parseIp("10.200.1.1")!), Uint8Array.of(0x02, 0x7a, 10, 200, 1, 1));
  const v6 = gatewayMac(parseIp("fd00:200::1")!);
  assertEquals(v6, gatewayMac(parseIp("fd00:200:0::0:1")!));
  assertEquals([v6.length, v6[0]! & 3], [6, 2]);
  assertEquals(v6[5], 0x01);
});
