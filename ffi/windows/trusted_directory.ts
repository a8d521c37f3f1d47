/**
 * Taking a directory that is there already: only one that belongs to the system, to administrators or to this
 * user. Whoever made it may always change the rights to it, and so may have put anything in.
 *
 * @see aclapi.h `GetSecurityInfo`, securitybaseapi.h `SetKernelObjectSecurity`, winnt.h.
 */
import { lazyLibrary } from "../library.ts";
import { PinnedBuffer } from "../memory.ts";
import { advapi32 } from "./advapi32.ts";
import { INVALID_HANDLE_VALUE, kernel32 } from "./kernel32.ts";
import { encodePath } from "./long_path.ts";
import { OWN_DACL } from "./private_path.ts";
import { SecurityAttributes } from "./security_attributes.ts";
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
  /** `BOOL (PSID, WELL_KNOWN_SID_TYPE)` */
  IsWellKnownSid: { parameters: ["pointer", "u32"], result: "i32" },
  /** `BOOL (PSID, PSID)` */
  EqualSid: { parameters: ["pointer", "pointer"], result: "i32" },
  /** `BOOL (HANDLE process, DWORD access, HANDLE*)` */
  OpenProcessToken: { parameters: ["usize", "u32", "buffer"], result: "i32" },
  /** `BOOL (HANDLE, TOKEN_INFORMATION_CLASS, LPVOID, DWORD bytes, DWORD* needed)` */
  GetTokenInformation: { parameters: ["usize", "u32", "pointer", "u32", "buffer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** The functions as JavaScript calls them; tests replace them. */
export type DirectorySecurity =
  & Deno.StaticForeignLibraryInterface<typeof KERNEL32>
  & Deno.StaticForeignLibraryInterface<typeof ADVAPI32>;

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
/** `WinLocalSystemSid`, `WinBuiltinAdministratorsSid`. */
const TRUSTED_SIDS = [22, 26];
const CURRENT_PROCESS = 0xffff_ffff_ffff_ffffn;
const TOKEN_QUERY = 8, TOKEN_USER = 1;
/** `TOKEN_USER` and the SID behind it, 68 bytes at most. */
const TOKEN_USER_BYTES = 128;

/** What became of an attempt to take a directory. */
export type Taking = "taken" | "not-a-directory" | "of-another";

function system(): DirectorySecurity {
  return { ...lazyLibrary(["kernel32.dll"], KERNEL32)(), ...lazyLibrary(["advapi32.dll"], ADVAPI32)() };
}

/**
 * Gives a directory that is there these rights and no others, unless it is another user's, or only leads elsewhere.
 *
 * @param sddl Such as `D:P(A;OICI;FA;;;SY)`.
 * @throws {Win32Error} Also if this user may not change the rights.
 */
export function takeDirectory(path: string, sddl: string, security: DirectorySecurity = system()): Taking {
  const op = `take directory ${path}`;
  const access = READ_CONTROL | WRITE_DAC;
  const handle = security.CreateFileW(encodePath(path), access, SHARE_ALL, null, OPEN_EXISTING, FLAGS, 0n);
  if (handle === INVALID_HANDLE_VALUE) throw new Win32Error(op, "CreateFileW", security.GetLastError());
  try {
    if (!isDirectory(handle, security, op)) return "not-a-directory";
    if (!isTrusted(handle, security, op)) return "of-another";
    setRights(handle, sddl, { security, op });
    return "taken";
  } finally {
    security.CloseHandle(handle);
  }
}

function isDirectory(handle: bigint, security: DirectorySecurity, op: string): boolean {
  const information = new Uint8Array(FILE_INFORMATION_BYTES);
  if (security.GetFileInformationByHandle(handle, information) === 0) {
    throw new Win32Error(op, "GetFileInformationByHandle", security.GetLastError());
  }
  const attributes = new DataView(information.buffer).getUint32(0, true);
  return (attributes & ATTRIBUTE_DIRECTORY) !== 0 && (attributes & ATTRIBUTE_REPARSE_POINT) === 0;
}

function isTrusted(handle: bigint, security: DirectorySecurity, op: string): boolean {
  const owner = new BigUint64Array(1), descriptor = new BigUint64Array(1);
  const { GetSecurityInfo, IsWellKnownSid, LocalFree } = security;
  const information = OWNER_SECURITY_INFORMATION;
  const code = GetSecurityInfo(handle, SE_FILE_OBJECT, information, owner, null, null, null, descriptor);
  if (code !== 0) throw new Win32Error(op, "GetSecurityInfo", code);
  const sid = Deno.UnsafePointer.create(owner[0]!);
  try {
    return sid !== null &&
      (TRUSTED_SIDS.some((one) => IsWellKnownSid(sid, one) !== 0) || isThisUser(sid, security, op));
  } finally {
    LocalFree(Deno.UnsafePointer.create(descriptor[0]!));
  }
}

function isThisUser(sid: Deno.PointerObject, security: DirectorySecurity, op: string): boolean {
  const token = new BigUint64Array(1);
  if (security.OpenProcessToken(CURRENT_PROCESS, TOKEN_QUERY, token) === 0) {
    throw new Win32Error(op, "OpenProcessToken", security.GetLastError());
  }
  try {
    const user = new PinnedBuffer(TOKEN_USER_BYTES);
    const needed = new Uint32Array(1);
    const { GetTokenInformation } = security;
    if (GetTokenInformation(token[0]!, TOKEN_USER, user.pointer, TOKEN_USER_BYTES, needed) === 0) {
      throw new Win32Error(op, "GetTokenInformation", security.GetLastError());
    }
    return security.EqualSid(sid, Deno.UnsafePointer.create(user.view.getBigUint64(0, true))) !== 0;
  } finally {
    security.CloseHandle(token[0]!);
  }
}

function setRights(
  handle: bigint,
  sddl: string,
  { security, op }: { readonly security: DirectorySecurity; readonly op: string },
): void {
  using attributes = new SecurityAttributes(sddl, { kernel32: kernel32(), advapi32: advapi32() });
  if (security.SetKernelObjectSecurity(handle, OWN_DACL, attributes.descriptor) !== 0) return;
  throw new Win32Error(op, "SetKernelObjectSecurity", security.GetLastError());
}
