/**
 * Directories and files that only named accounts get at, whatever the directory above hands down.
 *
 * @see fileapi.h `CreateDirectoryW`, `CreateFileW`, securitybaseapi.h `SetFileSecurityW`.
 */
import { lazyLibrary } from "../library.ts";
import { advapi32 } from "./advapi32.ts";
import { INVALID_HANDLE_VALUE, kernel32 } from "./kernel32.ts";
import { encodePath } from "./long_path.ts";
import { SecurityAttributes } from "./security_attributes.ts";
import { Win32Error } from "./win32_error.ts";

const KERNEL32 = {
  /** `BOOL (LPCWSTR, SECURITY_ATTRIBUTES*)` */
  CreateDirectoryW: { parameters: ["buffer", "buffer"], result: "i32" },
  /** `HANDLE (LPCWSTR, DWORD access, DWORD share, SECURITY_ATTRIBUTES*, DWORD disposition, DWORD flags, HANDLE template)` */
  CreateFileW: {
    parameters: ["buffer", "u32", "u32", "buffer", "u32", "u32", "usize"],
    result: "usize",
  },
  /** `BOOL (HANDLE)` */
  CloseHandle: { parameters: ["usize"], result: "i32" },
  /** `DWORD (void)` */
  GetLastError: { parameters: [], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;

const ADVAPI32 = {
  /** `BOOL (LPCWSTR, SECURITY_INFORMATION, PSECURITY_DESCRIPTOR)` */
  SetFileSecurityW: { parameters: ["buffer", "u32", "pointer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** The functions as JavaScript calls them; tests replace them. */
export type PathSecurity =
  & Deno.StaticForeignLibraryInterface<typeof KERNEL32>
  & Deno.StaticForeignLibraryInterface<typeof ADVAPI32>;

const ERROR_FILE_EXISTS = 80;
const ERROR_ALREADY_EXISTS = 183;
const GENERIC_WRITE = 0x4000_0000;
const CREATE_NEW = 1;
const FILE_ATTRIBUTE_NORMAL = 0x80;
/** What of a descriptor is meant: the access list, cut off from what would be inherited. */
export const OWN_DACL = 0x8000_0004;

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
  if (security.CreateDirectoryW(encodePath(path), attributes.bytes) !== 0) return true;
  const code = security.GetLastError();
  if (code === ERROR_ALREADY_EXISTS) return false;
  throw new Win32Error(`create directory ${path}`, "CreateDirectoryW", code);
}

/**
 * Makes an empty file that has its rights from the first moment: whoever opened it before they were set would keep
 * what he may do.
 *
 * @param sddl Such as `D:P(A;;FA;;;SY)`.
 * @returns Whether it was made; whatever has the name is left as it is.
 * @throws {Win32Error}
 */
export function createFile(path: string, sddl: string, security: PathSecurity = system()): boolean {
  using attributes = describe(sddl);
  const handle = security.CreateFileW(
    encodePath(path),
    GENERIC_WRITE,
    0,
    attributes.bytes,
    CREATE_NEW,
    FILE_ATTRIBUTE_NORMAL,
    0n,
  );
  const code = handle === INVALID_HANDLE_VALUE ? security.GetLastError() : 0;
  if (code === ERROR_FILE_EXISTS) return false;
  if (code !== 0) throw new Win32Error(`create file ${path}`, "CreateFileW", code);
  security.CloseHandle(handle);
  return true;
}

/**
 * Replaces the rights to a file, also what it inherited.
 *
 * @param sddl Such as `D:P(A;;FA;;;SY)`.
 * @throws {Win32Error}
 */
export function protectFile(path: string, sddl: string, security: PathSecurity = system()): void {
  using attributes = describe(sddl);
  if (security.SetFileSecurityW(encodePath(path), OWN_DACL, attributes.descriptor) !== 0) return;
  throw new Win32Error(`protect ${path}`, "SetFileSecurityW", security.GetLastError());
}
