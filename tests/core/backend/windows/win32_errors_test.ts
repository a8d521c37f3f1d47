import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { isGoneCode, translateWin32 } from "../../../../core/backend/windows/win32_errors.ts";
import { PreconditionError } from "../../../../core/errors.ts";
import { LibraryError } from "../../../../ffi/errors.ts";
import { Win32Error } from "../../../../ffi/windows/win32_error.ts";

Deno.test("isGoneCode() knows both ways in which Windows says that a row or its interface is not there", () => {
  assertEquals([2, 1168, 5, 87, 5010].map(isGoneCode), [true, true, false, false, false]);
});

Deno.test("translateWin32() gives each code its meaning in the domain, and the remedy", async (t) => {
  const failed = (code: number): Win32Error => new Win32Error("do it", "CreateIt", code);
  const rows = [
    {
      name: "no right",
      error: failed(5),
      code: "permission_denied",
      says: "run as LocalSystem or an administrator",
    },
    { name: "no such row", error: failed(1168), code: "not_found", says: "cannot set up x: do it: CreateIt" },
    { name: "there already", error: failed(5010), code: "already_exists", says: "5010" },
    { name: "a port that is taken", error: failed(10_048), code: "precondition_failed", says: "10048" },
    {
      name: "no such library",
      error: new LibraryError("wintun.dll"),
      code: "unsupported",
      says: "wintun.dll",
    },
    { name: "anything else of Windows", error: failed(8), code: "internal", says: "not enough memory" },
    { name: "anything else", error: new TypeError("a defect"), code: "internal", says: "a defect" },
  ];
  for (const { name, error, code, says } of rows) {
    await t.step(name, () => {
      const translated = translateWin32("set up x", error);
      assertEquals(translated.code, code);
      assertStringIncludes(translated.message, says);
      assertEquals(translated.cause, error);
    });
  }
  const own = new PreconditionError("already in our words");
  assert(translateWin32("set up x", own) === own);
});
