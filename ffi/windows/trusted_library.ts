/**
 * Loading a library that only administrators may have put there: one whose file, and every directory above it, nobody
 * else can replace; or one that carries the signature of its maker, wherever it is.
 *
 * The file is held open from before the check until it is loaded, shared for reading only, and loaded by the name
 * that it has without links: Windows lets nobody change, move or remove it then, nor move a directory above it.
 *
 * @see fileapi.h `CreateFileW`, `GetFinalPathNameByHandleW`, aclapi.h `GetSecurityInfo`, `GetNamedSecurityInfoW`.
 */
import { FfiError, LibraryError } from "../errors.ts";
import { lazyLibrary } from "../library.ts";
import { type OpenFile, type Signature, verifySignature } from "./authenticode.ts";
import { INVALID_HANDLE_VALUE } from "./kernel32.ts";
import { encodePath, plainPath } from "./long_path.ts";
import { type PathSecurity, replaceableBecause } from "./path_rights.ts";
import { processUser } from "./process_user.ts";
import { decodeSecurityDescriptor, type SecurityDescriptor } from "./security_descriptor.ts";
import { decodeWide } from "./wide_string.ts";
import { Win32Error } from "./win32_error.ts";

const KERNEL32 = {
  /** `HANDLE (LPCWSTR, DWORD access, DWORD share, SECURITY_ATTRIBUTES*, DWORD disposition, DWORD flags, HANDLE template)` */
  CreateFileW: { parameters: ["buffer", "u32", "u32", "pointer", "u32", "u32", "usize"], result: "usize" },
  /** `DWORD (HANDLE, LPWSTR, DWORD count, DWORD flags)`; the path begins with `\\\\?\\`. */
  GetFinalPathNameByHandleW: { parameters: ["usize", "buffer", "u32", "u32"], result: "u32" },
  /** `BOOL (HANDLE)` */
  CloseHandle: { parameters: ["usize"], result: "i32" },
  /** `HLOCAL (HLOCAL)` */
  LocalFree: { parameters: ["pointer"], result: "pointer" },
  /** `DWORD (void)` */
  GetLastError: { parameters: [], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;

const ADVAPI32 = {
  /**
   * `DWORD (HANDLE, SE_OBJECT_TYPE, SECURITY_INFORMATION, PSID*, PSID*, PACL*, PACL*, PSECURITY_DESCRIPTOR*)`; free
   * the descriptor with `LocalFree`.
   */
  GetSecurityInfo: {
    parameters: ["usize", "u32", "u32", "pointer", "pointer", "pointer", "pointer", "buffer"],
    result: "u32",
  },
  /** The same of a name. */
  GetNamedSecurityInfoW: {
    parameters: ["buffer", "u32", "u32", "pointer", "pointer", "pointer", "pointer", "buffer"],
    result: "u32",
  },
  /** `DWORD (PSECURITY_DESCRIPTOR)` */
  GetSecurityDescriptorLength: { parameters: ["pointer"], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** What the check asks Windows; tests replace it. */
export interface TrustCalls {
  readonly symbols:
    & Deno.StaticForeignLibraryInterface<typeof KERNEL32>
    & Deno.StaticForeignLibraryInterface<typeof ADVAPI32>;
  /** SID of the user this process runs as. */
  readonly user: () => string;
  /** @throws {LibraryError} On a system that cannot check signatures. */
  readonly signature: (file: OpenFile) => Signature;
}

/** A library that was loaded. */
export interface TrustedLibrary<T> {
  readonly loaded: T;
  /** Why its place is a bad one, if it is; then its signature was what counted. */
  readonly caution: string | undefined;
}

const openKernel = lazyLibrary(["kernel32.dll"], KERNEL32);
const openAdvapi = lazyLibrary(["advapi32.dll"], ADVAPI32);

const GENERIC_READ = 0x8000_0000;
const FILE_SHARE_READ = 1;
const OPEN_EXISTING = 3;
const FILE_ATTRIBUTE_NORMAL = 0x80;
const SE_FILE_OBJECT = 1;
/** Owner and access list. */
const INFORMATION = 1 | 4;
/** The longest path, in UTF-16 units. */
const MAX_UNITS = 0x8000;

function system(): TrustCalls {
  const symbols = { ...openKernel(), ...openAdvapi() };
  return { symbols, user: processUser, signature: verifySignature };
}

/**
 * Loads a library if it may be trusted.
 *
 * @param path Absolute.
 * @param load Loads the file of the path that it is given.
 * @param options `signer`: whose signature counts, as the certificate names him.
 * @throws {LibraryError} If it is not there or not to be trusted; it says why, and what to do.
 */
export function loadTrusted<T>(
  path: string,
  load: (path: string) => T,
  options: { readonly signer: string; readonly calls?: TrustCalls },
): TrustedLibrary<T> {
  const calls = options.calls ?? system();
  const handle = openFile(path, calls);
  try {
    const real = finalPath(path, handle, calls);
    const reasons = replaceable({ path: real, handle }, calls);
    if (reasons.length === 0) return { loaded: load(plainPath(real)), caution: undefined };
    const flaw = flawOf(signatureOf({ path: real, handle }, calls), options.signer);
    if (flaw !== undefined) throw distrusted(path, [...reasons, flaw]);
    const caution = `${path} is in a place that others than administrators can change: ${reasons.join("; ")}`;
    return { loaded: load(plainPath(real)), caution };
  } finally {
    calls.symbols.CloseHandle(handle);
  }
}

function openFile(path: string, { symbols }: TrustCalls): bigint {
  const { CreateFileW, GetLastError } = symbols;
  const [access, share, how] = [GENERIC_READ, FILE_SHARE_READ, FILE_ATTRIBUTE_NORMAL];
  const handle = CreateFileW(encodePath(path), access, share, null, OPEN_EXISTING, how, 0n);
  if (handle !== INVALID_HANDLE_VALUE) return handle;
  throw new LibraryError(path, { cause: new Win32Error("open it", "CreateFileW", GetLastError()) });
}

/** Without links and junctions, and with the prefix that takes it as it is. */
function finalPath(path: string, handle: bigint, { symbols }: TrustCalls): string {
  const name = new Uint16Array(MAX_UNITS);
  const length = symbols.GetFinalPathNameByHandleW(handle, name, MAX_UNITS - 1, 0);
  const code = symbols.GetLastError();
  if (length === 0 || length >= MAX_UNITS) {
    const cause = new Win32Error("find out its name", "GetFinalPathNameByHandleW", code);
    throw new LibraryError(path, { cause });
  }
  const real = decodeWide((index) => name[index]!);
  if (/\.dll$/i.test(real)) return real;
  // Windows would look for another file: it puts the suffix to a name that has none.
  throw new LibraryError(path, { cause: new FfiError("load", `it leads to ${real}, which is no .dll`) });
}

function replaceable({ path, handle }: OpenFile, calls: TrustCalls): string[] {
  const { GetSecurityInfo, GetNamedSecurityInfoW } = calls.symbols;
  const none = [null, null, null, null] as const;
  try {
    const file = readSecurity(calls, (out) => {
      return [GetSecurityInfo(handle, SE_FILE_OBJECT, INFORMATION, ...none, out), "GetSecurityInfo"];
    });
    const parts: PathSecurity[] = [{ path: plainPath(path), kind: "file", security: file }];
    for (const directory of directoriesAbove(path)) {
      const name = encodePath(plainPath(directory));
      const security = readSecurity(calls, (out) => {
        const code = GetNamedSecurityInfoW(name, SE_FILE_OBJECT, INFORMATION, ...none, out);
        return [code, "GetNamedSecurityInfoW"];
      });
      parts.push({ path: plainPath(directory), kind: "directory", security });
    }
    return replaceableBecause(parts, calls.user());
  } catch (error) {
    // What cannot be read is not known to be safe.
    return [`who can change it is not known: ${error instanceof Error ? error.message : String(error)}`];
  }
}

/** @param get Gives the code of the call that wrote the descriptor's address, and its name. */
function readSecurity(
  { symbols }: TrustCalls,
  get: (out: BigUint64Array<ArrayBuffer>) => readonly [code: number, call: string],
): SecurityDescriptor {
  const out = new BigUint64Array(1);
  const [code, call] = get(out);
  if (code !== 0) throw new Win32Error("read the rights to a path", call, code);
  const descriptor = Deno.UnsafePointer.create(out[0]!);
  if (descriptor === null) throw new FfiError("read the rights to a path", `${call} gave no descriptor`);
  try {
    const length = symbols.GetSecurityDescriptorLength(descriptor);
    const bytes = new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(descriptor, length)).slice();
    return decodeSecurityDescriptor(bytes);
  } finally {
    symbols.LocalFree(descriptor);
  }
}

/** Up to the root of the drive or share. */
export function directoriesAbove(path: string): string[] {
  const root = /^\\\\\?\\(UNC\\[^\\]+\\[^\\]+|[^\\]+)\\/.exec(path)?.[0].length ?? path.length;
  const found: string[] = [];
  for (let end = path.lastIndexOf("\\"); end >= root; end = path.lastIndexOf("\\", end - 1)) {
    found.push(path.slice(0, end));
  }
  return [...found, path.slice(0, root)];
}

function signatureOf(file: OpenFile, { signature }: TrustCalls): Signature {
  try {
    return signature(file);
  } catch (error) {
    if (!(error instanceof LibraryError)) throw error;
    return { valid: false, why: "this system cannot check signatures" };
  }
}

function flawOf(signature: Signature, signer: string): string | undefined {
  if (!signature.valid) return signature.why;
  return signature.signer === signer ? undefined : `it is signed by ${signature.signer}, not by ${signer}`;
}

function distrusted(path: string, reasons: readonly string[]): LibraryError {
  const directory = path.slice(0, path.lastIndexOf("\\"));
  const cause = new FfiError(
    "trust a library",
    `it is not trusted, as ${reasons.join("; ")}; ` +
      `put it there anew from its maker, and let only administrators write to ${directory}`,
  );
  return new LibraryError(path, { cause });
}
