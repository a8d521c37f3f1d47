import { assert, assertEquals } from "@std/assert";
import { errnoError, errnoName } from "../../ffi/errno.ts";
import { ErrnoError, FfiError, LibraryError, NetlinkError } from "../../ffi/errors.ts";

Deno.test("errors name the operation, the number and what the kernel added", () => {
  const errno = errnoError("open /proc/1/ns/net", "open", 13);
  assertEquals(errno.message, "open /proc/1/ns/net: open: EACCES (permission denied)");
  assertEquals([errno.op, errno.syscall, errno.errno, errno.name], [
    "open /proc/1/ns/net",
    "open",
    13,
    "ErrnoError",
  ]);
  const refused = new NetlinkError("add address 10.0.0.1/24", 99, errnoName(99), { missingType: 2 });
  assertEquals(
    refused.message,
    "add address 10.0.0.1/24: EADDRNOTAVAIL (address not available): attribute 2 is missing",
  );
  assert(errno instanceof ErrnoError && refused instanceof FfiError);
});

Deno.test("errnoName() has a text for every number, known or not", () => {
  assertEquals([errnoName(0), errnoName(17), errnoName(4095)], [
    "unknown error",
    "EEXIST (already exists)",
    "errno 4095",
  ]);
});

Deno.test("LibraryError says which library and why", () => {
  const error = new LibraryError("libnosuch.so", { cause: new TypeError("not found") });
  assertEquals(error.message, "cannot open libnosuch.so: not found");
});
