/** Which libraries are loaded: rights and signatures as Wine has them. */
import { assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { LibraryError } from "../../ffi/errors.ts";
import { advapi32 } from "../../ffi/windows/advapi32.ts";
import { verifySignature } from "../../ffi/windows/authenticode.ts";
import { kernel32 } from "../../ffi/windows/kernel32.ts";
import { protectFile } from "../../ffi/windows/private_path.ts";
import { processUser } from "../../ffi/windows/process_user.ts";
import { SecurityAttributes } from "../../ffi/windows/security_attributes.ts";
import { decodeSecurityDescriptor } from "../../ffi/windows/security_descriptor.ts";
import { systemDirectory } from "../../ffi/windows/system_directory.ts";
import { loadTrusted } from "../../ffi/windows/trusted_library.ts";
import { encodeWide } from "../../ffi/windows/wide_string.ts";
import { Wintun } from "../../ffi/wintun.ts";
import { fakePath } from "./support/fake_library.ts";

/** Everybody may do everything. */
const OPEN = "D:P(A;OICI;FA;;;WD)";
/** Whose signature `deno.exe` carries, the only file of the rig with one. */
const DENO = "Deno Land Inc.";

function withRoot(run: (root: string) => void): () => void {
  return () => {
    const root = Deno.makeTempDirSync({ prefix: "zt-trust-" });
    try {
      run(root);
    } finally {
      Deno.removeSync(root, { recursive: true });
    }
  };
}

/** A copy of a file in a directory that everybody may write to. */
function plant(root: string, from: string): string {
  const directory = join(root, "wintun");
  Deno.mkdirSync(directory);
  const path = join(directory, "wintun.dll");
  Deno.copyFileSync(from, path);
  protectFile(directory, OPEN);
  return path;
}

function open(path: string): bigint {
  return kernel32().CreateFileW(encodeWide(path), 0x8000_0000, 1, null, 3, 0, 0n);
}

Deno.test("descriptors that Windows makes of text are read: %ProgramData%, and what an installer makes there", () => {
  const libraries = { kernel32: kernel32(), advapi32: advapi32() };
  const sddl =
    "O:BAD:(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICIIO;GA;;;CO)(A;OICI;0x1200a9;;;BU)(D;CI;0x116;;;WD)";
  using attributes = new SecurityAttributes(sddl, libraries);
  const bytes = new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(attributes.descriptor!, 184));
  const entry = { kind: "allow", inheritOnly: false } as const;
  assertEquals(decodeSecurityDescriptor(bytes), {
    owner: "S-1-5-32-544",
    entries: [
      { ...entry, mask: 0x1f01ff, sid: "S-1-5-18" },
      { ...entry, mask: 0x1f01ff, sid: "S-1-5-32-544" },
      { ...entry, inheritOnly: true, mask: 0x1000_0000, sid: "S-1-3-0" },
      { ...entry, mask: 0x1200a9, sid: "S-1-5-32-545" },
      { ...entry, kind: "deny", mask: 0x116, sid: "S-1-1-0" },
    ],
  });
});

Deno.test("the user of the process and Windows' own directory are known", () => {
  assertMatch(processUser(), /^S-1-5-21(-\d+){4}$/);
  assertEquals(systemDirectory().toLowerCase(), "c:\\windows\\system32");
});

Deno.test("signatures are checked: whose one is, and that there is none", () => {
  const check = (path: string): unknown => {
    const handle = open(path);
    const signature = verifySignature({ path, handle });
    kernel32().CloseHandle(handle);
    return signature;
  };
  assertEquals(check(Deno.execPath()), { valid: true, signer: DENO });
  assertEquals(check(fakePath("wintun.dll")), { valid: false, why: "it is not signed (800b0100)" });
});

Deno.test(
  "a Wintun that others could have put there is passed over by name, with reason and remedy; the next is taken",
  withRoot((root) => {
    const planted = plant(root, fakePath("wintun.dll"));
    const error = assertThrows(() => Wintun.open([planted]), LibraryError);
    const directory = join(root, "wintun");
    for (
      const text of [
        planted,
        `${directory} can be changed by S-1-1-0`,
        "it is not signed (800b0100)",
        `let only administrators write to ${directory}`,
      ]
    ) assertStringIncludes(error.message, text);
    const { path, caution } = Wintun.open([planted, fakePath("wintun.dll")]);
    assertEquals([path, caution], [fakePath("wintun.dll"), undefined]);
    // Only rights keep it away.
    protectFile(directory, "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;OW)");
    assertEquals(loadTrusted(planted, (real) => real, { signer: "nobody" }), {
      loaded: planted,
      caution: undefined,
    });
  }),
);

Deno.test(
  "in a place that others can change, its maker's signature counts, nobody else's, and not on other bytes",
  withRoot((root) => {
    const path = plant(root, Deno.execPath());
    const load = (signer: string): string | undefined => loadTrusted(path, () => "", { signer }).caution;
    assertStringIncludes(load(DENO)!, `${join(root, "wintun")} can be changed by S-1-1-0`);
    assertThrows(() => load("WireGuard LLC"), LibraryError, `it is signed by ${DENO}, not by WireGuard LLC`);
    using file = Deno.openSync(path, { write: true });
    file.seekSync(0x1000, Deno.SeekMode.Start);
    file.writeSync(Uint8Array.of(1, 2, 3, 4));
    file.close();
    assertThrows(() => load(DENO), LibraryError, "it was changed after it was signed (80096010)");
  }),
);

Deno.test(
  "until it is loaded, nobody changes, removes or moves what was checked; afterwards anybody may",
  withRoot((root) => {
    const path = join(root, "wintun.dll");
    Deno.writeTextFileSync(path, "");
    loadTrusted(path, () => {
      assertThrows(() => Deno.writeTextFileSync(path, "other"));
      assertThrows(() => Deno.removeSync(path));
      assertThrows(() => Deno.renameSync(path, `${path}.old`));
    }, { signer: DENO });
    Deno.renameSync(path, `${path}.old`);
    Deno.renameSync(`${path}.old`, path);
  }),
);
