/** What is said of Wintun before there is one; the library itself is tested in the Windows rig. */
import { assertEquals, assertThrows } from "@std/assert";
import { LibraryError } from "../../ffi/errors.ts";
import { checkCapacity, Wintun } from "../../ffi/wintun.ts";

Deno.test("[windows T85] rings have a power of two from 128 KiB to 64 MiB", () => {
  for (const capacity of [0x2_0000, 0x40_0000, 0x400_0000]) checkCapacity(capacity);
  for (const capacity of [0x1_0000, 3 << 20, 128 << 20, 0, -0x2_0000, 0x2_0000 + 0.5]) {
    assertThrows(() => checkCapacity(capacity), RangeError, "a power of two from 0x20000 to 0x4000000");
  }
});

Deno.test("Wintun.open() names all places, and where to get the library", () => {
  const places = ["/nowhere/wintun.dll", "/nowhere/else/wintun.dll"];
  const error = assertThrows(() => Wintun.open(places), LibraryError);
  for (const text of [...places, "https://www.wintun.net"]) {
    assertEquals(error.message.includes(text), true, error.message);
  }
});
