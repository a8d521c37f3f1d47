import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { isGone, translate, translated } from "../../../../core/backend/linux/kernel_errors.ts";
import { NotFoundError, OverlayError } from "../../../../core/errors.ts";
import { ErrnoError, LibraryError, NetlinkError } from "../../../../ffi/errors.ts";
import { errnoName } from "../../../../ffi/errno.ts";

function netlink(errno: number): NetlinkError {
  return new NetlinkError("create link a", errno, errnoName(errno));
}

function syscall(name: string, errno: number): ErrnoError {
  return new ErrnoError("do it", name, errno, errnoName(errno));
}

const CASES: { name: string; error: unknown; code: string; says: string }[] = [
  { name: "a missing privilege", error: netlink(1), code: "permission_denied", says: "CAP_NET_ADMIN" },
  { name: "setns", error: syscall("setns", 1), code: "permission_denied", says: "CAP_SYS_ADMIN" },
  { name: "another's /proc", error: syscall("open", 13), code: "permission_denied", says: "CAP_SYS_PTRACE" },
  { name: "IPv6 switched off", error: netlink(13), code: "internal", says: "EACCES" },
  { name: "no such device", error: netlink(19), code: "not_found", says: "create link a: ENODEV" },
  { name: "exists", error: netlink(17), code: "already_exists", says: "EEXIST" },
  { name: "port in use", error: netlink(98), code: "precondition_failed", says: "in use" },
  { name: "unknown kind", error: netlink(95), code: "unsupported", says: "EOPNOTSUPP" },
  { name: "no glibc", error: new LibraryError("libc.so.6"), code: "unsupported", says: "libc.so.6" },
  { name: "anything else", error: netlink(22), code: "internal", says: "EINVAL" },
];

Deno.test("translate() names what was done and keeps the kernel's error as cause", async (t) => {
  for (const { name, error, code, says } of CASES) {
    await t.step(name, () => {
      const translatedError = translate("attach web-1", error);
      assertEquals(translatedError.code, code);
      assert(translatedError.message.startsWith("cannot attach web-1: "), translatedError.message);
      assert(translatedError.message.includes(says), translatedError.message);
      assertStrictEquals(translatedError.cause, error);
    });
  }
});

Deno.test("translate() leaves errors of the domain as they are", () => {
  const error = new NotFoundError("bridge", "b");
  assertStrictEquals(translate("attach", error), error);
  assertThrows(
    () =>
      translated("attach", () => {
        throw netlink(22);
      }),
    OverlayError,
    "cannot attach: create link a: EINVAL",
  );
});

Deno.test("isGone() knows every way the kernel says so", () => {
  for (const errno of [2, 3, 19]) assert(isGone(netlink(errno)) && isGone(syscall("open", errno)));
  assert(!isGone(netlink(17)) && !isGone(new Error("ENODEV")));
});
