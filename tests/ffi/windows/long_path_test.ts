import { assertEquals, assertThrows } from "@std/assert";
import { encodePath, longPath, plainPath } from "../../../ffi/windows/long_path.ts";
import { decodeWide } from "../../../ffi/windows/wide_string.ts";

const LONG = "d".repeat(240);

Deno.test("longPath() leaves short paths, and makes long ones full and verbatim", async (t) => {
  const rows = [
    { name: "short", path: "C:\\data", want: "C:\\data" },
    { name: "short and odd", path: "C:/a/../data.", want: "C:/a/../data." },
    { name: "247 units", path: `C:\\${"d".repeat(244)}`, want: `C:\\${"d".repeat(244)}` },
    { name: "248 units", path: `C:\\${"d".repeat(245)}`, want: `\\\\?\\C:\\${"d".repeat(245)}` },
    { name: "slashes and dots", path: `C:/a/./b/../${LONG}/xy`, want: `\\\\?\\C:\\a\\${LONG}\\xy` },
    { name: "share", path: `\\\\host\\share\\${LONG}`, want: `\\\\?\\UNC\\host\\share\\${LONG}` },
    { name: "verbatim already", path: `\\\\?\\C:\\${LONG}\\x`, want: `\\\\?\\C:\\${LONG}\\x` },
    { name: "verbatim share", path: `\\\\?\\UNC\\h\\s\\${LONG}`, want: `\\\\?\\UNC\\h\\s\\${LONG}` },
    { name: "what is no file", path: "\\\\.\\pipe\\x", want: "\\\\.\\pipe\\x" },
  ];
  for (const { name, path, want } of rows) await t.step(name, () => assertEquals(longPath(path), want));
});

Deno.test("encodePath() ends with a zero, and takes none inside", () => {
  const units = encodePath("C:\\ü");
  assertEquals([decodeWide((i) => units[i]!), units.length], ["C:\\ü", 5]);
  assertThrows(() => encodePath("C:\\a\0b"), TypeError, "NUL");
});

Deno.test("plainPath() takes the prefix away where the rest means the same", async (t) => {
  const rows = [
    ["\\\\?\\C:\\a\\b.dll", "C:\\a\\b.dll"],
    ["\\\\?\\C:\\", "C:\\"],
    ["\\\\?\\UNC\\host\\share\\b.dll", "\\\\host\\share\\b.dll"],
    [`\\\\?\\C:\\${LONG}\\b.dll`, `\\\\?\\C:\\${LONG}\\b.dll`],
    // Without the prefix these would be other files.
    ["\\\\?\\C:\\a.\\b.dll", "\\\\?\\C:\\a.\\b.dll"],
    ["\\\\?\\C:\\a \\b.dll", "\\\\?\\C:\\a \\b.dll"],
    ["\\\\?\\C:\\a\\b.", "\\\\?\\C:\\a\\b."],
    ["\\\\?\\Volume{0}\\b.dll", "\\\\?\\Volume{0}\\b.dll"],
  ] as const;
  for (const [path, want] of rows) await t.step(path, () => assertEquals(plainPath(path), want));
});
