import { assertEquals, assertThrows } from "@std/assert";
import { adapterListOf, type AdapterSymbols, decodeAdapters } from "../../../ffi/windows/adapters.ts";
import { encodeWide } from "../../../ffi/windows/wide_string.ts";
import { writeSockaddr } from "../../../ffi/windows/sockaddr.ts";
import { Win32Error } from "../../../ffi/windows/win32_error.ts";

const ERROR_BUFFER_OVERFLOW = 111;
const ERROR_NO_DATA = 232;

/** A host whose list is longer than the buffer for so many calls; the sizes it was asked with are kept. */
function growingHost(tooShort: number, code = 0): { symbols: AdapterSymbols; sizes: number[] } {
  const sizes: number[] = [];
  const symbols: Partial<AdapterSymbols> = {
    GetAdaptersAddresses(_family, _flags, _reserved, _buffer, size): number {
      const asked = size as Uint32Array;
      sizes.push(asked[0]!);
      if (sizes.length > tooShort) return code;
      asked[0]! += 1000;
      return ERROR_BUFFER_OVERFLOW;
    },
  };
  return { symbols: symbols as AdapterSymbols, sizes };
}

Deno.test("adapters() asks again with the size that Windows wants, and not for ever", () => {
  const growing = growingHost(3);
  assertEquals(adapterListOf(growing.symbols).adapters().length, 1);
  assertEquals(growing.sizes, [16_384, 17_384, 18_384, 19_384]);
  const endless = growingHost(Infinity);
  assertThrows(
    () => adapterListOf(endless.symbols).adapters(),
    Win32Error,
    "GetAdaptersAddresses: error 111",
  );
});

Deno.test("adapters() of a host without any are none", () => {
  assertEquals(adapterListOf(growingHost(0, ERROR_NO_DATA).symbols).adapters(), []);
});

Deno.test("decodeAdapters() follows the addresses in a list of IP_ADAPTER_ADDRESSES", () => {
  const base = 0x7000_0000_0000n;
  const view = new DataView(new ArrayBuffer(2048));
  const pointer = (at: number, to: number): void => view.setBigUint64(at, base + BigInt(to), true);
  view.setUint32(4, 12, true);
  pointer(8, 448); // the next adapter
  pointer(24, 1024); // its first address
  pointer(64, 1600);
  pointer(72, 1500);
  view.setUint32(96, 1492, true);
  view.setUint32(104, 1, true);
  view.setUint32(108, 13, true);
  pointer(208, 1700);
  view.setBigUint64(224, 99n, true);
  new Uint16Array(view.buffer, 1500).set(encodeWide("Ethernet 2"));
  new Uint16Array(view.buffer, 1600).set(encodeWide("Intel(R) I219"));
  pointer(1024 + 8, 1100); // the next address
  pointer(1024 + 16, 1200);
  writeSockaddr(view, 1200, { address: Uint8Array.of(192, 0, 2, 7) });
  pointer(1100 + 16, 1300);
  const v6 = Uint8Array.from({ length: 16 }, (_, i) => i + 0x20);
  writeSockaddr(view, 1300, { address: v6 });
  assertEquals(decodeAdapters(view, base), [
    {
      name: "Ethernet 2",
      description: "Intel(R) I219",
      luid: 99n,
      index: { 4: 12, 6: 13 },
      mtuBytes: 1492,
      isUp: true,
      hasGateway: true,
      addresses: [Uint8Array.of(192, 0, 2, 7), v6],
    },
    {
      name: "",
      description: "",
      luid: 0n,
      index: { 4: 0, 6: 0 },
      mtuBytes: 0,
      isUp: false,
      hasGateway: false,
      addresses: [],
    },
  ]);
});
