/**
 * Directories and files that only named accounts get at, whatever the directory above hands down.
 *
 * @see fileapi.h `CreateDirectoryW`, aclapi.h `SetNamedSecurityInfoW`, securitybaseapi.h.
 */
import { lazyLibrary } from "../library.ts";
import { advapi32 } from "./advapi32.ts";
import { kernel32 } from "./kernel32.ts";
import { SecurityAttributes } from "./security_attributes.ts";
import { encodeWide } from "./wide_string.ts";
import { Win32Error } from "./win32_error.ts";

const KERNEL32 = {
  /** `BOOL (LPCWSTR, SECURITY_ATTRIBUTES*)` */
  CreateDirectoryW: { parameters: ["buffer", "buffer"], result: "i32" },
  /** `DWORD (void)` */
  GetLastError: { parameters: [], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;

const ADVAPI32 = {
  /** `BOOL (PSECURITY_DESCRIPTOR, BOOL* present, PACL*, BOOL* defaulted)`; the list is part of the descriptor. */
  GetSecurityDescriptorDacl: { parameters: ["pointer", "buffer", "buffer", "buffer"], result: "i32" },
  /** `DWORD (LPWSTR, SE_OBJECT_TYPE, SECURITY_INFORMATION, PSID owner, PSID group, PACL dacl, PACL sacl)` */
  SetNamedSecurityInfoW: {
    parameters: ["buffer", "u32", "u32", "pointer", "pointer", "pointer", "pointer"],
    result: "u32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** The functions as JavaScript calls them; tests replace them. */
export type PathSecurity =
  & Deno.StaticForeignLibraryInterface<typeof KERNEL32>
  & Deno.StaticForeignLibraryInterface<typeof ADVAPI32>;

const ERROR_ALREADY_EXISTS = 183;
const SE_FILE_OBJECT = 1;
const DACL_SECURITY_INFORMATION = 0x4;
const PROTECTED_DACL_SECURITY_INFORMATION = 0x8000_0000;

const openKernel = lazyLibrary(["kernel32.dll"], KERNEL32);
const openAdvapi = lazyLibrary(["advapi32.dll"], ADVAPI32);

function system(): PathSecurity {
  return { ...openKernel(), ...openAdvapi() };
}

function describe(sddl: string): SecurityAttributes {
  return new SecurityAttributes(sddl, { kernel32: kernel32(), advapi32: advapi32() });
}

/**
 * Makes a directory that has its rights from the first moment.
 *
 * @param sddl Such as `D:P(A;OICI;FA;;;SY)`.
 * @returns Whether it was made; one that exists is left as it is.
 * @throws {Win32Error}
 */
export function createDirectory(path: string, sddl: string, security: PathSecurity = system()): boolean {
  using attributes = describe(sddl);
  if (security.CreateDirectoryW(encodeWide(path), attributes.bytes) !== 0) return true;
  const code = security.GetLastError();
  if (code === ERROR_ALREADY_EXISTS) return false;
  throw new Win32Error(`create directory ${path}`, "CreateDirectoryW", code);
}

/**
 * Replaces the rights to a file, also what it inherited.
 *
 * @param sddl Such as `D:P(A;;FA;;;SY)`.
 * @throws {Win32Error}
 */
export function protectFile(path: string, sddl: string, security: PathSecurity = system()): void {
  using attributes = describe(sddl);
  const op = `protect ${path}`;
  const present = new Int32Array(1), defaulted = new Int32Array(1), list = new BigUint64Array(1);
  if (security.GetSecurityDescriptorDacl(attributes.descriptor, present, list, defaulted) === 0) {
    throw new Win32Error(op, "GetSecurityDescriptorDacl", security.GetLastError());
  }
  const code = security.SetNamedSecurityInfoW(
    encodeWide(path),
    SE_FILE_OBJECT,
    DACL_SECURITY_INFORMATION + PROTECTED_DACL_SECURITY_INFORMATION,
    null,
    null,
    Deno.UnsafePointer.create(list[0]!),
    null,
  );
  if (code !== 0) throw new Win32Error(op, "SetNamedSecurityInfoW", code);
}
