/** Golden bytes of `struct sockaddr_in` and `struct sockaddr_in6`. */
import { assertEquals, assertThrows } from "@std/assert";
import { CodecError } from "../../ffi/bytes.ts";
import { decodeSockaddr, encodeSockaddr, type SocketAddress } from "../../ffi/sockaddr.ts";
import { fromHex, toHex } from "../support/golden.ts";

const GOLDEN: readonly { readonly name: string; readonly value: SocketAddress; readonly hex: string }[] = [
  {
    name: "IPv4",
    value: { address: Uint8Array.of(192, 0, 2, 1), port: 51820 },
    hex: "0200 ca6c c0000201 0000000000000000",
  },
  {
    name: "IPv6",
    value: { address: fromHex("2001 0db8 0000 0000 0000 0000 0000 0009"), port: 7 },
    hex: "0a00 0007 00000000 20010db8000000000000000000000009 00000000",
  },
  {
    name: "IPv6, link-local",
    value: { address: fromHex("fe80 0000 0000 0000 0000 0000 0000 0001"), port: 51820, scopeId: 3 },
    hex: "0a00 ca6c 00000000 fe800000000000000000000000000001 03000000",
  },
];

Deno.test("encodeSockaddr() and decodeSockaddr() agree with golden bytes", async (t) => {
  for (const { name, value, hex } of GOLDEN) {
    await t.step(name, () => {
      assertEquals(toHex(encodeSockaddr(value)), toHex(fromHex(hex)));
      assertEquals(decodeSockaddr(fromHex(hex)), value);
      // As the kernel fills room for either family.
      assertEquals(decodeSockaddr(Uint8Array.of(...fromHex(hex), 9, 9)), value);
    });
  }
});

Deno.test("decodeSockaddr() refuses what is cut short before its address ends, and other families", () => {
  for (const { hex, value } of GOLDEN) {
    const end = value.address.length === 4 ? 8 : 28;
    for (let length = 0; length < end; length++) {
      assertThrows(() => decodeSockaddr(fromHex(hex).subarray(0, length)), CodecError);
    }
  }
  assertThrows(() => decodeSockaddr(new Uint8Array(28)), CodecError, "sockaddr family");
});
