/**
 * Taking a directory that is there already: only one that belongs to the system, to administrators or to this
 * user. Whoever made it may always change the rights to it, and so may have put anything in.
 *
 * @see aclapi.h `GetSecurityInfo`, securitybaseapi.h `SetKernelObjectSecurity`, winnt.h.
 */
import { ByteReader } from "../bytes.ts";
import { lazyLibrary } from "../library.ts";
import { advapi32 } from "./advapi32.ts";
import { INVALID_HANDLE_VALUE, kernel32 } from "./kernel32.ts";
import { encodePath } from "./long_path.ts";
import { OWN_DACL } from "./private_path.ts";
import { processUser } from "./process_user.ts";
import { SecurityAttributes } from "./security_attributes.ts";
import { decodeSid } from "./security_descriptor.ts";
import { Win32Error } from "./win32_error.ts";

const KERNEL32 = {
  /** `HANDLE (LPCWSTR, DWORD access, DWORD share, SECURITY_ATTRIBUTES*, DWORD disposition, DWORD flags, HANDLE template)` */
  CreateFileW: {
    parameters: ["buffer", "u32", "u32", "pointer", "u32", "u32", "usize"],
    result: "usize",
  },
  /** `BOOL (HANDLE, BY_HANDLE_FILE_INFORMATION*)`, 52 bytes: u32 attributes @0. */
  GetFileInformationByHandle: { parameters: ["usize", "buffer"], result: "i32" },
  /** `BOOL (HANDLE)` */
  CloseHandle: { parameters: ["usize"], result: "i32" },
  /** `HLOCAL (HLOCAL)` */
  LocalFree: { parameters: ["pointer"], result: "pointer" },
  /** `DWORD (void)` */
  GetLastError: { parameters: [], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;

const ADVAPI32 = {
  /**
   * `DWORD (HANDLE, SE_OBJECT_TYPE, SECURITY_INFORMATION, PSID* owner, PSID* group, PACL*, PACL*,
   * PSECURITY_DESCRIPTOR*)`; the owner is part of the descriptor, which is freed with `LocalFree`.
   */
  GetSecurityInfo: {
    parameters: ["usize", "u32", "u32", "buffer", "pointer", "pointer", "pointer", "buffer"],
    result: "u32",
  },
  /** `BOOL (HANDLE, SECURITY_INFORMATION, PSECURITY_DESCRIPTOR)` */
  SetKernelObjectSecurity: { parameters: ["usize", "u32", "pointer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** What is asked of the system; tests replace it. */
export interface DirectoryCalls {
  readonly symbols:
    & Deno.StaticForeignLibraryInterface<typeof KERNEL32>
    & Deno.StaticForeignLibraryInterface<typeof ADVAPI32>;
  /** SID of the user this process runs as. */
  readonly user: () => string;
}

const READ_CONTROL = 0x2_0000, WRITE_DAC = 0x4_0000;
/** Everybody may go on reading, writing and deleting. */
const SHARE_ALL = 7;
const OPEN_EXISTING = 3;
/** A directory can be opened; what only leads to another is opened itself. */
const FLAGS = 0x0200_0000 | 0x0020_0000;
const FILE_INFORMATION_BYTES = 52;
const ATTRIBUTE_DIRECTORY = 0x10, ATTRIBUTE_REPARSE_POINT = 0x400;
/** `SE_OBJECT_TYPE` of files and directories. */
const SE_FILE_OBJECT = 1;
const OWNER_SECURITY_INFORMATION = 1;
/** LocalSystem and Administrators. */
const TRUSTED_SIDS: readonly string[] = ["S-1-5-18", "S-1-5-32-544"];

/** What became of an attempt to take a directory. */
export type Taking = "taken" | "not-a-directory" | "of-another";

function system(): DirectoryCalls {
  const symbols = {
    ...lazyLibrary(["kernel32.dll"], KERNEL32)(),
    ...lazyLibrary(["advapi32.dll"], ADVAPI32)(),
  };
  return { symbols, user: processUser };
}

/**
 * Gives a directory that is there these rights and no others, unless it is another user's, or only leads elsewhere.
 *
 * @param sddl Such as `D:P(A;OICI;FA;;;SY)`.
 * @throws {Win32Error} Also if this user may not change the rights.
 */
export function takeDirectory(path: string, sddl: string, calls: DirectoryCalls = system()): Taking {
  const { symbols } = calls;
  const op = `take directory ${path}`;
  const access = READ_CONTROL | WRITE_DAC;
  const handle = symbols.CreateFileW(encodePath(path), access, SHARE_ALL, null, OPEN_EXISTING, FLAGS, 0n);
  if (handle === INVALID_HANDLE_VALUE) throw new Win32Error(op, "CreateFileW", symbols.GetLastError());
  try {
    if (!isDirectory(handle, calls, op)) return "not-a-directory";
    const owner = ownerOf(handle, calls, op);
    if (!TRUSTED_SIDS.includes(owner) && owner !== calls.user()) return "of-another";
    setRights(handle, sddl, { calls, op });
    return "taken";
  } finally {
    symbols.CloseHandle(handle);
  }
}

function isDirectory(handle: bigint, { symbols }: DirectoryCalls, op: string): boolean {
  const information = new Uint8Array(FILE_INFORMATION_BYTES);
  if (symbols.GetFileInformationByHandle(handle, information) === 0) {
    throw new Win32Error(op, "GetFileInformationByHandle", symbols.GetLastError());
  }
  const attributes = new DataView(information.buffer).getUint32(0, true);
  return (attributes & ATTRIBUTE_DIRECTORY) !== 0 && (attributes & ATTRIBUTE_REPARSE_POINT) === 0;
}

/** SID of the owner; empty if there is none. */
function ownerOf(handle: bigint, { symbols }: DirectoryCalls, op: string): string {
  const owner = new BigUint64Array(1), descriptor = new BigUint64Array(1);
  const { GetSecurityInfo, LocalFree } = symbols;
  const information = OWNER_SECURITY_INFORMATION;
  const code = GetSecurityInfo(handle, SE_FILE_OBJECT, information, owner, null, null, null, descriptor);
  if (code !== 0) throw new Win32Error(op, "GetSecurityInfo", code);
  try {
    const sid = Deno.UnsafePointer.create(owner[0]!);
    return sid === null ? "" : readSid(sid);
  } finally {
    LocalFree(Deno.UnsafePointer.create(descriptor[0]!));
  }
}

/** @see winnt.h `SID`: its second byte counts the parts behind the first 8 bytes, of 4 bytes each. */
function readSid(sid: Deno.PointerObject): string {
  const length = 8 + 4 * new Deno.UnsafePointerView(sid).getUint8(1);
  const bytes = new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(sid, length));
  return decodeSid(new ByteReader(bytes, "owner", { littleEndian: true }));
}

function setRights(
  handle: bigint,
  sddl: string,
  { calls: { symbols }, op }: { readonly calls: DirectoryCalls; readonly op: string },
): void {
  using attributes = new SecurityAttributes(sddl, { kernel32: kernel32(), advapi32: advapi32() });
  if (symbols.SetKernelObjectSecurity(handle, OWN_DACL, attributes.descriptor) !== 0) return;
  throw new Win32Error(op, "SetKernelObjectSecurity", symbols.GetLastError());
}
