import { assertEquals, assertThrows } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { LibraryError } from "../../ffi/errors.ts";
import { lazyLibrary } from "../../ffi/library.ts";
import { cString, PinnedBuffer } from "../../ffi/memory.ts";

const SYMBOLS = { getpid: { parameters: [], result: "i32" } } as const;

Deno.test("lazyLibrary() opens nothing until it is called, and names what it tried", () => {
  const missing = lazyLibrary(["libztnosuch.so.1", "libztnosuch.so"], SYMBOLS);
  assertThrows(() => missing(), LibraryError, "libztnosuch.so.1 or libztnosuch.so");
});

Deno.test("lazyLibrary() tells files that are not there from what cannot be loaded, or may be anywhere", () => {
  const here = fromFileUrl(import.meta.url);
  const rows: readonly (readonly [readonly string[], boolean])[] = [
    [["/nonexistent/a.so", "/nonexistent/b.so"], true],
    [["/nonexistent/a.so", here], false],
    [["libztnosuch.so"], false],
  ];
  for (const [names, isAbsent] of rows) {
    const error = assertThrows(() => lazyLibrary(names, SYMBOLS)(), LibraryError);
    assertEquals(error.isAbsent, isAbsent, names.join());
  }
});

Deno.test({
  name: "lazyLibrary() takes the first name that opens, once",
  ignore: Deno.build.os !== "linux",
  fn(): void {
    const open = lazyLibrary(["libztnosuch.so", "libc.so.6"], SYMBOLS);
    assertEquals(open().getpid(), Deno.pid);
    assertEquals(open(), open());
  },
  // The library stays open for the process, as all of ours do.
  sanitizeResources: false,
});

Deno.test("cString() ends with a NUL and holds no other", () => {
  assertEquals(cString("é"), Uint8Array.of(0xc3, 0xa9, 0));
  assertThrows(() => cString("a\0b"), TypeError, "NUL");
});

Deno.test("PinnedBuffer shares its bytes with its view and refuses to be empty", () => {
  const buffer = new PinnedBuffer(4);
  buffer.view.setUint8(1, 7);
  assertEquals(buffer.bytes, Uint8Array.of(0, 7, 0, 0));
  assertThrows(() => new PinnedBuffer(0), RangeError);
});
