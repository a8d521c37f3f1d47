/** Who gets at the data directory: what Windows is asked for, and what Wine makes of it. */
import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { claimDataDir, lockFile } from "../../core/data_dir.ts";
import { PermissionError } from "../../core/errors.ts";
import { stateFile } from "../../core/open_engine.ts";
import { readHostSettings } from "../../core/operator/host_settings.ts";
import { HOST_FILES } from "../../core/private_files.ts";
import { openStateStore } from "../../core/state/state_store.ts";
import {
  createPrivateFile,
  ensureOwnDirectory,
  ensurePrivateFile,
  makePrivateDirectory,
  ownDirectory,
  PRIVATE_DIRECTORY_SDDL,
  PRIVATE_FILE_SDDL,
  systemPath,
} from "../../core/transport/private_path.ts";
import { PinnedBuffer } from "../../ffi/memory.ts";
import { longPath } from "../../ffi/windows/long_path.ts";
import {
  createDirectory,
  createFile,
  type PathSecurity,
  protectFile,
} from "../../ffi/windows/private_path.ts";
import { type DirectoryCalls, takeDirectory } from "../../ffi/windows/trusted_directory.ts";
import { encodeWide, readWide } from "../../ffi/windows/wide_string.ts";
import { Win32Error } from "../../ffi/windows/win32_error.ts";
import { fromHex } from "../support/golden.ts";

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
  "a data directory that is made is no one else's; one that exists keeps its rights, and so does what is in it",
  withRoot(async (root) => {
    assert(EVERYONE.test(readSddl(root)), "the directory above is open, or this shows nothing");
    const data = join(root, "data");
    (await claimDataDir(data))[Symbol.dispose]();
    assert(!EVERYONE.test(readSddl(data)), readSddl(data));
    Deno.writeTextFileSync(join(root, "daemon.json"), "{}");
    const before = [root, join(root, "daemon.json")].map(readSddl);
    (await claimDataDir(root))[Symbol.dispose]();
    assertEquals([root, join(root, "daemon.json")].map(readSddl), before);
    assert(EVERYONE.test(before[0]!));
    assertThrows(
      () => makePrivateDirectory(join(root, "none", "data")),
      Deno.errors.NotFound,
      "CreateDirectoryW",
    );
  }),
);

Deno.test("a data directory that may not be made is refused with what to do", async () => {
  // What Unix refuses even to root.
  const path = "Z:\\dev\\pts\\zt-data";
  const error = await assertRejects(() => claimDataDir(path), PermissionError, "run as Administrator");
  assertStringIncludes(error.message, path);
});

/** A path that functions of Windows take only in the form that has no limit. */
function longPlace(root: string): string {
  return join(root, "d".repeat(120), "e".repeat(120));
}

Deno.test(
  "a data directory with a long path is as private as any",
  withRoot(async (root) => {
    const path = longPlace(root);
    for (let i = 0; i < 2; i++) (await claimDataDir(path))[Symbol.dispose]();
    for (const ours of [path, ownDirectory(path), lockFile(path)]) {
      assert(!EVERYONE.test(readSddl(longPath(ours))), readSddl(longPath(ours)));
    }
    ensurePrivateFile(lockFile(path));
    const store = openStateStore(stateFile(path));
    await store.commit("test", (write) => write.setting("hostSettings", { value: "1" }));
    assertEquals(await readHostSettings(stateFile(path)), { value: "1" });
    store.close();
    assertEquals(await readHostSettings(stateFile(path)), { value: "1" });
    assert(systemPath(stateFile(path)).startsWith("\\\\?\\"));
  }),
);

Deno.test("long paths are given to Windows verbatim", () => {
  const given: string[] = [];
  const note = <T>(path: unknown, result: T): T => {
    given.push(String.fromCharCode(...(path as Uint16Array)));
    return result;
  };
  const security = {
    CreateDirectoryW: (path) => note(path, 1),
    CreateFileW: (path) => note(path, 77n),
    SetFileSecurityW: (path) => note(path, 1),
    CloseHandle: () => 1,
  } as Partial<PathSecurity> as PathSecurity;
  const path = longPlace("C:/data/.");
  createDirectory(path, PRIVATE_DIRECTORY_SDDL, security);
  createFile(path, PRIVATE_FILE_SDDL, security);
  protectFile(path, PRIVATE_FILE_SDDL, security);
  const { calls } = directoryOf(OWNERS.system);
  const symbols = { ...calls.symbols, CreateFileW: (path) => note(path, 77n) } as DirectoryCalls["symbols"];
  takeDirectory(path, PRIVATE_DIRECTORY_SDDL, { ...calls, symbols });
  const want = `\\\\?\\${longPlace("C:\\data")}\0`;
  assertEquals(given, [want, want, want, want]);
});

Deno.test(
  "in a directory that is open to all, what is ours is private: lock, database, marker",
  withRoot(async (root) => {
    using _lock = await claimDataDir(root);
    const store = openStateStore(stateFile(root));
    const marker = join(root, "agent_network.json");
    await HOST_FILES.writeFile(marker, "text");
    const ours = [ownDirectory(root), lockFile(root), stateFile(root), marker];
    for (const path of ours) assert(!EVERYONE.test(readSddl(path)), `${path}: ${readSddl(path)}`);
    const beside = [...Deno.readDirSync(ownDirectory(root))].map(({ name }) => name).sort();
    assertEquals(beside, ["overlayd.db", "overlayd.db-shm", "overlayd.db-wal", "overlayd.lock"]);
    assertEquals([...Deno.readDirSync(root)].map(({ name }) => name).sort(), [
      "agent_network.json",
      "overlayd",
    ]);
    store.close();
  }),
);

Deno.test(
  "our directory is taken if it is this user's, whatever its rights, and not if it is no directory",
  withRoot((root) => {
    const ours = ownDirectory(root);
    Deno.mkdirSync(ours);
    assert(EVERYONE.test(readSddl(ours)));
    ensureOwnDirectory(root);
    assert(!EVERYONE.test(readSddl(ours)), readSddl(ours));
    Deno.removeSync(ours);
    Deno.writeTextFileSync(ours, "");
    assertThrows(() => ensureOwnDirectory(root), PermissionError, "remove it");
    Deno.removeSync(ours);
    assertThrows(() => takeDirectory(ours, PRIVATE_DIRECTORY_SDDL), Win32Error, "ERROR_FILE_NOT_FOUND");
  }),
);

/** SIDs as they lie in memory: S-1-5-18, S-1-5-32-544, S-1-5-21-1-2-3-1001 and S-1-5-21-1-2-3-1002. */
const OWNERS = {
  system: "01 01 000000000005 12000000",
  administrators: "01 02 000000000005 20000000 20020000",
  thisUser: "01 05 000000000005 15000000 01000000 02000000 03000000 e9030000",
  anotherUser: "01 05 000000000005 15000000 01000000 02000000 03000000 ea030000",
} as const;

/** Calls that find a directory of this owner, and note what is asked of it. */
function directoryOf(
  owner: string,
  attributes = 0x10,
): { readonly calls: DirectoryCalls; readonly asked: string[] } {
  const asked: string[] = [];
  const sid = new PinnedBuffer(68);
  sid.bytes.set(fromHex(owner));
  const note = <T>(call: string, result: T): T => {
    asked.push(call);
    return result;
  };
  const fill = (out: unknown): void => void ((out as BigUint64Array)[0] = BigInt(sid.address));
  const symbols = {
    CreateFileW: (_path, access, share, attributes, disposition, flags) =>
      note(`open ${[access, share, attributes, disposition, flags].map(Number).join(" ")}`, 77n),
    GetFileInformationByHandle: (handle, information) => {
      new DataView((information as Uint8Array<ArrayBuffer>).buffer).setUint32(0, attributes, true);
      return note(`attributes ${handle}`, 1);
    },
    GetSecurityInfo: (handle, type, what, out, _group, _dacl, _sacl, descriptor) => {
      fill(out);
      fill(descriptor);
      return note(`owner ${handle} ${type} ${what}`, 0);
    },
    SetKernelObjectSecurity: (handle, what) => note(`set ${handle} ${what}`, 1),
    LocalFree: () => note("free", null),
    CloseHandle: (handle) => note(`close ${handle}`, 1),
    GetLastError: () => 5,
  } as Partial<DirectoryCalls["symbols"]> as DirectoryCalls["symbols"];
  return { calls: { symbols, user: () => "S-1-5-21-1-2-3-1001" }, asked };
}

Deno.test("a directory is taken from the system, administrators and this user, and from no other", () => {
  const open = "open 393216 7 0 3 35651584";
  const take = (...parts: Parameters<typeof directoryOf>): [string, string[]] => {
    const { calls, asked } = directoryOf(...parts);
    return [takeDirectory("C:\\x", PRIVATE_DIRECTORY_SDDL, calls), asked];
  };
  const look = [open, "attributes 77", "owner 77 1 1", "free"];
  for (const owner of [OWNERS.system, OWNERS.administrators, OWNERS.thisUser]) {
    assertEquals(take(owner), ["taken", [...look, `set 77 ${0x8000_0004}`, "close 77"]]);
  }
  assertEquals(take(OWNERS.anotherUser), ["of-another", [...look, "close 77"]]);
  // A junction, and a file.
  for (const attributes of [0x410, 0x80]) {
    assertEquals(take(OWNERS.system, attributes), ["not-a-directory", [open, "attributes 77", "close 77"]]);
  }
});

/** Rights of an entry, and to whom, as a SID's text: `1f01ff S-1-5-18`; `i` if what is in it has the same. */
function readEntries(list: Deno.PointerValue): string[] {
  const view = new Deno.UnsafePointerView(list!);
  const entries: string[] = [];
  // winnt.h ACL: AceCount u16 @4, ACEs @8; ACE: flags u8 @1, size u16 @2, mask u32 @4, SID @8.
  for (let i = 0, at = 8; i < view.getUint16(4); at += view.getUint16(at + 2), i++) {
    const count = view.getUint8(at + 9);
    const parts = Array.from({ length: count }, (_, n) => view.getUint32(at + 16 + 4 * n));
    const sid = ["S-1", view.getUint8(at + 15), ...parts].join("-");
    entries.push(`${view.getUint32(at + 4).toString(16)} ${sid}${view.getUint8(at + 1) === 3 ? " i" : ""}`);
  }
  return entries;
}

const SYSTEM = "1f01ff S-1-5-18", ADMINISTRATORS = "1f01ff S-1-5-32-544", OWNER = "1f01ff S-1-3-4";

/** What a descriptor grants, and whether it is protected from what is above. */
function readDescriptor(descriptor: Deno.PointerValue): { isProtected: boolean; entries: string[] } {
  const library = Deno.dlopen("advapi32.dll", ADVAPI32);
  const present = new Int32Array(1), defaulted = new Int32Array(1), list = new BigUint64Array(1);
  library.symbols.GetSecurityDescriptorDacl(descriptor, present, list, defaulted);
  library.close();
  // winnt.h SECURITY_DESCRIPTOR: Control u16 @2; 0x1000 SE_DACL_PROTECTED.
  const isProtected = (new Deno.UnsafePointerView(descriptor!).getUint16(2) & 0x1000) !== 0;
  return { isProtected, entries: readEntries(Deno.UnsafePointer.create(list[0]!)) };
}

Deno.test("a file is asked to have exactly these entries, nothing inherited", () => {
  const asked: unknown[] = [];
  let result = 1;
  const security = {
    SetFileSecurityW: (path, information, descriptor) => {
      asked.push(String.fromCharCode(...(path as Uint16Array)), information, readDescriptor(descriptor));
      return result;
    },
    GetLastError: () => 5,
  } as Partial<PathSecurity> as PathSecurity;
  protectFile("file", PRIVATE_FILE_SDDL, security);
  const granted = { isProtected: true, entries: [SYSTEM, ADMINISTRATORS, OWNER] };
  assertEquals(asked, ["file\0", DACL + PROTECTED_DACL, granted]);
  result = 0;
  assertThrows(() => protectFile("file", PRIVATE_FILE_SDDL, security), Win32Error, "ERROR_ACCESS_DENIED");
});

Deno.test("a new file is asked for together with its rights, and only if there is none", () => {
  const asked: unknown[] = [];
  let handle = 77n, code = 0;
  const security = {
    CreateFileW: (_path, access, share, attributes, disposition, flags, template) => {
      const view = new DataView((attributes as Uint8Array<ArrayBuffer>).buffer);
      asked.push(access, share, disposition, flags, template);
      asked.push(readDescriptor(Deno.UnsafePointer.create(view.getBigUint64(8, true))));
      return handle;
    },
    CloseHandle: (closed) => asked.push(closed),
    GetLastError: () => code,
  } as Partial<PathSecurity> as PathSecurity;
  assert(createFile("x", PRIVATE_FILE_SDDL, security));
  const entries = [SYSTEM, ADMINISTRATORS, OWNER];
  assertEquals(asked, [0x4000_0000, 0, 1, 0x80, 0n, { isProtected: true, entries }, 77n]);
  asked.length = 0;
  assert(createFile("x", PRIVATE_DIRECTORY_SDDL, security));
  assertEquals(asked[5], { isProtected: true, entries: entries.map((entry) => `${entry} i`) });
  [handle, code] = [0xffff_ffff_ffff_ffffn, 80];
  assertEquals(createFile("x", PRIVATE_FILE_SDDL, security), false);
  code = 5;
  assertThrows(() => createFile("x", PRIVATE_FILE_SDDL, security), Win32Error, "ERROR_ACCESS_DENIED");
});

Deno.test(
  "a private file is made once, made private where it was not, and needs its directory",
  withRoot((root) => {
    const path = join(root, "file");
    assertEquals([createPrivateFile(path), createPrivateFile(path)], [true, false]);
    assert(!EVERYONE.test(readSddl(path)));
    const open = join(root, "open");
    Deno.writeTextFileSync(open, "text");
    assert(EVERYONE.test(readSddl(open)));
    ensurePrivateFile(open);
    assert(!EVERYONE.test(readSddl(open)));
    assertEquals(Deno.readTextFileSync(open), "text");
    assertThrows(() => createPrivateFile(join(root, "none", "file")), Deno.errors.NotFound);
  }),
);

Deno.test(
  "database, its log and private files can still be written and read once they are private",
  withRoot(async (root) => {
    ensureOwnDirectory(root);
    for (const value of ["1", "2"]) {
      const store = openStateStore(stateFile(root));
      await store.commit("test", (write) => write.setting("hostSettings", { value }));
      store.close();
    }
    await HOST_FILES.writeFile(join(root, "marker"), "text");
    await HOST_FILES.writeFile(join(root, "marker"), "more");
    assertEquals(await HOST_FILES.readTextFile(join(root, "marker")), "more");
  }),
);
