/** Which libraries are loaded, against a file system whose every answer is the test's. */
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { LibraryError } from "../../../ffi/errors.ts";
import type { Signature } from "../../../ffi/windows/authenticode.ts";
import { directoriesAbove, loadTrusted, type TrustCalls } from "../../../ffi/windows/trusted_library.ts";
import { decodeWide, encodeWide } from "../../../ffi/windows/wide_string.ts";
import { descriptorBytes, type DescriptorFields } from "../../support/windows/descriptor_bytes.ts";

const ASKED = "C:\\ProgramData\\ZLayer\\wintun\\wintun.dll";
const SYSTEM = "S-1-5-18", MALLORY = "S-1-5-21-1-2-3-1001";
const SAFE: DescriptorFields = { owner: SYSTEM, entries: [{ mask: 0x1f01ff, sid: SYSTEM }] };
const THEIRS: DescriptorFields = { owner: MALLORY, entries: [] };
const HANDLE = 77n;
const LONG = "d".repeat(250);

/** What the host has; paths as the check asks for them, `file` for the open file. */
interface Host {
  readonly real?: string;
  readonly rights?: Readonly<Record<string, DescriptorFields | number>>;
  readonly signature?: Signature | Error;
  readonly openError?: number;
}

/** The functions, and what was asked of them, in order. */
class FakeHost {
  readonly asked: string[] = [];
  /** Descriptors handed out and not freed. */
  readonly #kept = new Map<bigint, Uint8Array<ArrayBuffer>>();

  constructor(readonly host: Host) {}

  get calls(): TrustCalls {
    return {
      symbols: this.#symbols,
      user: () => SYSTEM,
      signature: ({ path, handle }) => this.#signature(path, handle),
    };
  }

  get #symbols(): TrustCalls["symbols"] {
    return {
      CreateFileW: (path, access, share, attributes, disposition, flags, template) => {
        assertEquals([access, share, attributes, disposition, flags, template], [
          0x8000_0000,
          1,
          null,
          3,
          0x80,
          0n,
        ]);
        this.asked.push(`open ${text(path)}`);
        return this.host.openError === undefined ? HANDLE : 0xffff_ffff_ffff_ffffn;
      },
      GetFinalPathNameByHandleW: (handle, out, count, flags) => {
        assertEquals([handle, flags], [HANDLE, 0]);
        const name = encodeWide(this.host.real ?? `\\\\?\\${ASKED}`);
        if (name.length > count) return name.length;
        (out as Uint16Array).set(name);
        return name.length - 1;
      },
      GetSecurityInfo: (handle, type, what, owner, group, dacl, sacl, out) => {
        assertEquals([handle, type, what, owner, group, dacl, sacl], [HANDLE, 1, 5, null, null, null, null]);
        return this.#rights("file", out);
      },
      GetNamedSecurityInfoW: (path, type, what, owner, group, dacl, sacl, out) => {
        assertEquals([type, what, owner, group, dacl, sacl], [1, 5, null, null, null, null]);
        return this.#rights(text(path), out);
      },
      GetSecurityDescriptorLength: (pointer) => this.#kept.get(Deno.UnsafePointer.value(pointer))!.length,
      LocalFree: (pointer) => {
        this.#kept.delete(Deno.UnsafePointer.value(pointer));
        return null;
      },
      CloseHandle: (handle) => {
        assertEquals([handle, this.#kept.size], [HANDLE, 0]);
        this.asked.push("close");
        return 1;
      },
      GetLastError: () => this.host.openError ?? 0,
    };
  }

  #rights(of: string, out: unknown): number {
    this.asked.push(`rights ${of}`);
    const rights = this.host.rights?.[of] ?? SAFE;
    if (typeof rights === "number") return rights;
    const bytes = descriptorBytes(rights).slice();
    const address = Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes));
    this.#kept.set(address, bytes);
    (out as BigUint64Array)[0] = address;
    return 0;
  }

  #signature(path: string, handle: bigint): Signature {
    assertEquals(handle, HANDLE);
    this.asked.push(`signature ${path}`);
    const { signature } = this.host;
    if (signature instanceof Error) throw signature;
    return signature ?? { valid: false, why: "it is not signed" };
  }
}

function text(units: unknown): string {
  return decodeWide((index) => (units as Uint16Array)[index]!);
}

/** What is loaded, and whether with a caution; the load is in the list of what was asked. */
function load(host: Host): { loaded: string; caution: string | undefined; asked: string[] } {
  const fake = new FakeHost(host);
  const load = (path: string): string => {
    fake.asked.push("load");
    return path;
  };
  try {
    return { ...loadTrusted(ASKED, load, { signer: "WireGuard LLC", calls: fake.calls }), asked: fake.asked };
  } finally {
    if (host.openError === undefined) assertEquals(fake.asked.at(-1), "close");
  }
}

Deno.test("loadTrusted() reads file and directories up to the drive, and loads while the file is open", () => {
  assertEquals(load({}), {
    loaded: ASKED,
    caution: undefined,
    asked: [
      `open ${ASKED}`,
      "rights file",
      "rights C:\\ProgramData\\ZLayer\\wintun",
      "rights C:\\ProgramData\\ZLayer",
      "rights C:\\ProgramData",
      "rights C:\\",
      "load",
      "close",
    ],
  });
});

Deno.test("loadTrusted() refuses what others may have put there, at any level, and what it cannot read", async (t) => {
  const rows: { name: string; host: Host; want: string[] }[] = [
    { name: "the file", host: { rights: { file: THEIRS } }, want: [`${ASKED} belongs to ${MALLORY}`] },
    {
      name: "a directory above",
      host: { rights: { "C:\\ProgramData\\ZLayer": THEIRS } },
      want: [`C:\\ProgramData\\ZLayer belongs to ${MALLORY}`],
    },
    {
      name: "the drive",
      host: { rights: { "C:\\": { owner: SYSTEM } } },
      want: ["C:\\ can be changed by everybody"],
    },
    {
      name: "rights that cannot be read",
      host: { rights: { "C:\\ProgramData": 5 } },
      want: ["GetNamedSecurityInfoW: 5 ERROR_ACCESS_DENIED"],
    },
    {
      name: "another's signature",
      host: { rights: { file: THEIRS }, signature: { valid: true, signer: "Mallory Ltd." } },
      want: ["it is signed by Mallory Ltd., not by WireGuard LLC"],
    },
    {
      name: "no way to check signatures",
      host: { rights: { file: THEIRS }, signature: new LibraryError("wintrust.dll") },
      want: ["this system cannot check signatures"],
    },
  ];
  for (const { name, host, want } of rows) {
    await t.step(name, () => {
      const { message } = assertThrows(() => load(host), LibraryError);
      const remedy = "let only administrators write to C:\\ProgramData\\ZLayer\\wintun";
      for (const part of [`cannot open ${ASKED}`, ...want, remedy]) assertStringIncludes(message, part);
    });
  }
});

Deno.test("loadTrusted() takes its maker's signature where the place is bad, and asks for none elsewhere", () => {
  const { caution, asked } = load({
    rights: { "C:\\ProgramData\\ZLayer": THEIRS },
    signature: { valid: true, signer: "WireGuard LLC" },
  });
  assertEquals(
    caution,
    `${ASKED} is in a place that others than administrators can change: ` +
      `C:\\ProgramData\\ZLayer belongs to ${MALLORY}`,
  );
  assertEquals(asked.slice(-3), [`signature \\\\?\\${ASKED}`, "load", "close"]);
});

Deno.test("loadTrusted() checks and loads where a link leads, under the name that means this file only", async (t) => {
  const rows = [
    { real: "\\\\?\\D:\\x\\other.dll", loaded: "D:\\x\\other.dll", above: "D:\\x" },
    { real: "\\\\?\\UNC\\host\\share\\w.dll", loaded: "\\\\host\\share\\w.dll", above: "\\\\host\\share\\" },
    {
      real: `\\\\?\\C:\\${LONG}\\w.dll`,
      loaded: `\\\\?\\C:\\${LONG}\\w.dll`,
      above: `\\\\?\\C:\\${LONG}`,
    },
    { real: "\\\\?\\C:\\x.\\w.dll", loaded: "\\\\?\\C:\\x.\\w.dll", above: "\\\\?\\C:\\x." },
  ];
  for (const { real, loaded, above } of rows) {
    await t.step(real, () => {
      const result = load({ real });
      assertEquals([result.loaded, result.asked[2]], [loaded, `rights ${above}`]);
      assertThrows(() => load({ real, rights: { [above]: THEIRS } }), LibraryError, MALLORY);
    });
  }
  assertThrows(() => load({ real: "\\\\?\\C:\\x\\wintun" }), LibraryError, "C:\\x\\wintun, which is no .dll");
});

Deno.test("loadTrusted() tells what is not there", () => {
  assertThrows(
    () => load({ openError: 2 }),
    LibraryError,
    `cannot open ${ASKED}: open it: CreateFileW: 2 ERROR_FILE_NOT_FOUND`,
  );
  assertThrows(
    () => load({ real: `\\\\?\\C:\\${"x".repeat(0x8000)}.dll` }),
    LibraryError,
    "GetFinalPathName",
  );
});

Deno.test("directoriesAbove() goes up to the root of a drive, a share or a volume", () => {
  assertEquals(directoriesAbove("\\\\?\\C:\\w.dll"), ["\\\\?\\C:\\"]);
  assertEquals(directoriesAbove("\\\\?\\UNC\\h\\s\\a\\w.dll"), ["\\\\?\\UNC\\h\\s\\a", "\\\\?\\UNC\\h\\s\\"]);
  assertEquals(directoriesAbove("\\\\?\\Volume{0}\\a\\w.dll"), ["\\\\?\\Volume{0}\\a", "\\\\?\\Volume{0}\\"]);
});
