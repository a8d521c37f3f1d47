/** Who gets at the data directory: what Windows is asked for, and what Wine makes of it. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { claimDataDir } from "../../core/data_dir.ts";
import { HOST_FILES } from "../../core/private_files.ts";
import { openStateStore } from "../../core/state/state_store.ts";
import { makePrivateDirectory, PRIVATE_FILE_SDDL } from "../../core/transport/private_path.ts";
import { type PathSecurity, protectFile } from "../../ffi/windows/private_path.ts";
import { encodeWide, readWide } from "../../ffi/windows/wide_string.ts";
import { Win32Error } from "../../ffi/windows/win32_error.ts";

const ADVAPI32 = {
  /** `DWORD (LPCWSTR, SE_OBJECT_TYPE, SECURITY_INFORMATION, PSID*, PSID*, PACL*, PACL*, PSECURITY_DESCRIPTOR*)` */
  GetNamedSecurityInfoW: {
    parameters: ["buffer", "u32", "u32", "pointer", "pointer", "pointer", "pointer", "buffer"],
    result: "u32",
  },
  /** `BOOL (PSECURITY_DESCRIPTOR, DWORD revision, SECURITY_INFORMATION, LPWSTR*, ULONG*)` */
  ConvertSecurityDescriptorToStringSecurityDescriptorW: {
    parameters: ["pointer", "u32", "u32", "buffer", "pointer"],
    result: "i32",
  },
  GetSecurityDescriptorDacl: { parameters: ["pointer", "buffer", "buffer", "buffer"], result: "i32" },
} as const;

const FILE_OBJECT = 1, DACL = 4, PROTECTED_DACL = 0x8000_0000;

function withRoot(run: (root: string) => void | Promise<void>): () => Promise<void> {
  return async () => {
    const root = Deno.makeTempDirSync({ prefix: "zt-private-" });
    try {
      await run(root);
    } finally {
      Deno.removeSync(root, { recursive: true });
    }
  };
}

/** The access list of a path as text. Wine keeps no lists, but makes one of the file's mode, and a mode of a list. */
function readSddl(path: string): string {
  const library = Deno.dlopen("advapi32.dll", ADVAPI32);
  const out = new BigUint64Array(1), text = new BigUint64Array(1);
  const get = library.symbols.GetNamedSecurityInfoW;
  assertEquals(get(encodeWide(path), FILE_OBJECT, DACL, null, null, null, null, out), 0);
  const convert = library.symbols.ConvertSecurityDescriptorToStringSecurityDescriptorW;
  assert(convert(Deno.UnsafePointer.create(out[0]!), 1, DACL, text, null) !== 0);
  library.close();
  return readWide(Deno.UnsafePointer.create(text[0]!)!);
}

/** ACEs for everybody. */
const EVERYONE = /;;;WD\)/;

Deno.test(
  "a data directory that is made is no one else's; one that exists keeps its rights",
  withRoot(async (root) => {
    assert(EVERYONE.test(readSddl(root)), "the directory above is open, or this shows nothing");
    const data = join(root, "data");
    (await claimDataDir(data))[Symbol.dispose]();
    assert(!EVERYONE.test(readSddl(data)), readSddl(data));
    assertEquals(makePrivateDirectory(root), false);
    assert(EVERYONE.test(readSddl(root)));
    assertThrows(() => makePrivateDirectory(join(root, "none", "data")), Win32Error, "CreateDirectoryW");
  }),
);

Deno.test(
  "a file is asked to have exactly two entries, nothing inherited",
  withRoot((root) => {
    const library = Deno.dlopen("advapi32.dll", ADVAPI32);
    const asked: unknown[] = [];
    let code = 0;
    const security = {
      GetSecurityDescriptorDacl: library.symbols.GetSecurityDescriptorDacl,
      SetNamedSecurityInfoW: (path, type, information, owner, group, list, audit) => {
        const view = new Deno.UnsafePointerView(list!);
        // winnt.h ACL: AceCount u16 @4.
        asked.push(String.fromCharCode(...(path as Uint16Array)), type, information, view.getUint16(4));
        asked.push(owner, group, audit);
        return code;
      },
    } as Partial<PathSecurity> as PathSecurity;
    const file = join(root, "file");
    protectFile(file, PRIVATE_FILE_SDDL, security);
    assertEquals(asked, [`${file}\0`, FILE_OBJECT, DACL + PROTECTED_DACL, 2, null, null, null]);
    code = 5;
    assertThrows(() => protectFile(file, PRIVATE_FILE_SDDL, security), Win32Error, "ERROR_ACCESS_DENIED");
    library.close();
  }),
);

Deno.test(
  "database, its log and private files can still be written and read once they are private",
  withRoot(async (root) => {
    const path = join(root, "overlayd.db");
    for (const value of ["1", "2"]) {
      const store = openStateStore(path);
      await store.commit("test", (write) => write.setting("hostSettings", { value }));
      store.close();
    }
    await HOST_FILES.writeFile(join(root, "marker"), "text");
    await HOST_FILES.writeFile(join(root, "marker"), "more");
    assertEquals(await HOST_FILES.readTextFile(join(root, "marker")), "more");
  }),
);
