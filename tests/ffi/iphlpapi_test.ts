import { assertEquals, assertThrows } from "@std/assert";
import { ipHelperOf, type IpHelperSymbols } from "../../ffi/iphlpapi.ts";
import { AF_INET, AF_INET6 } from "../../ffi/windows/sockaddr.ts";
import {
  decodeUnicastTable,
  encodeUnicastAddress,
  type UnicastAddress,
} from "../../ffi/windows/unicast_address_row.ts";
import { Win32Error } from "../../ffi/windows/win32_error.ts";

const ADDRESS: UnicastAddress = { luid: 7n, address: Uint8Array.of(10, 200, 1, 1), prefixLength: 16 };

/** A stack of IPv4 with one address; what it says of IPv6 is given. Tables that are given back are counted. */
function stack(codeOfV6: number): { symbols: IpHelperSymbols; freed: bigint[] } {
  const table = new Uint8Array(new ArrayBuffer(88));
  table[0] = 1;
  table.set(encodeUnicastAddress(ADDRESS), 8);
  const address = Deno.UnsafePointer.value(Deno.UnsafePointer.of(table));
  const freed: bigint[] = [];
  const symbols: Partial<IpHelperSymbols> = {
    GetUnicastIpAddressTable(family, out): number {
      if (family === AF_INET6) return codeOfV6;
      (out as BigUint64Array)[0] = address;
      return 0;
    },
    // Keeps the memory reachable as long as somebody may read it.
    FreeMibTable: (pointer) => void freed.push(table.length > 0 ? Deno.UnsafePointer.value(pointer) : 0n),
  };
  return { symbols: symbols as IpHelperSymbols, freed };
}

Deno.test("addressTable() copies the table and gives it back", () => {
  const { symbols, freed } = stack(0);
  assertEquals(decodeUnicastTable(ipHelperOf(symbols).addressTable(AF_INET)), [ADDRESS]);
  assertEquals(freed.length, 1);
});

for (const [code, why] of [[50, "no stack"], [1168, "no address"]] as const) {
  Deno.test(`addressTable() of a family that has ${why}, error ${code}, is empty`, () => {
    const { symbols, freed } = stack(code);
    assertEquals(decodeUnicastTable(ipHelperOf(symbols).addressTable(AF_INET6)), []);
    assertEquals(freed, []);
  });
}

Deno.test("addressTable() tells of any other error", () => {
  const { symbols } = stack(8);
  assertThrows(() => ipHelperOf(symbols).addressTable(AF_INET6), Win32Error, "GetUnicastIpAddressTable: 8");
});
