/**
 * `kernel32.dll`: named pipes and completion ports; reading and writing is in ntdll.ts.
 *
 * `HANDLE` is a bigint here, never looked into. `GetLastError` tells of
 * the call before only when it is the very next call and both are synchronous; anything in between, an operation
 * of Deno or an await, may have changed it, and a nonblocking call leaves its error on another thread.
 *
 * @see fileapi.h, namedpipeapi.h, ioapiset.h, handleapi.h, errhandlingapi.h.
 */
import { lazyLibrary } from "../library.ts";

/** The functions, with their C types. */
export const KERNEL32 = {
  /** `HANDLE (LPCWSTR, DWORD openMode, DWORD pipeMode, DWORD maxInstances, DWORD out, DWORD in, DWORD ms, SECURITY_ATTRIBUTES*)` */
  CreateNamedPipeW: {
    parameters: ["buffer", "u32", "u32", "u32", "u32", "u32", "u32", "buffer"],
    result: "usize",
  },
  /** `BOOL (HANDLE)` */
  DisconnectNamedPipe: { parameters: ["usize"], result: "i32" },
  /** `BOOL (LPCWSTR, DWORD ms)` */
  WaitNamedPipeW: { parameters: ["buffer", "u32"], result: "i32" },
  /** `BOOL (HANDLE, ULONG*)` */
  GetNamedPipeClientProcessId: { parameters: ["usize", "buffer"], result: "i32" },
  /** `HANDLE (LPCWSTR, DWORD access, DWORD share, SECURITY_ATTRIBUTES*, DWORD disposition, DWORD flags, HANDLE template)` */
  CreateFileW: {
    parameters: ["buffer", "u32", "u32", "buffer", "u32", "u32", "usize"],
    result: "usize",
  },
  /** `BOOL (HANDLE, OVERLAPPED*)`; NULL for all that this process has started on the handle. */
  CancelIoEx: { parameters: ["usize", "pointer"], result: "i32" },
  /** `BOOL (HANDLE)` */
  CloseHandle: { parameters: ["usize"], result: "i32" },
  /** `HANDLE (HANDLE file, HANDLE port, ULONG_PTR key, DWORD threads)` */
  CreateIoCompletionPort: { parameters: ["usize", "usize", "usize", "u32"], result: "usize" },
  /** `BOOL (HANDLE, OVERLAPPED_ENTRY*, ULONG count, ULONG* removed, DWORD ms, BOOL alertable)`; waits. */
  GetQueuedCompletionStatusEx: {
    parameters: ["usize", "buffer", "u32", "buffer", "u32", "i32"],
    result: "i32",
    nonblocking: true,
  },
  /** `BOOL (HANDLE, UCHAR flags)` */
  SetFileCompletionNotificationModes: { parameters: ["usize", "u8"], result: "i32" },
  /** `HLOCAL (HLOCAL)` */
  LocalFree: { parameters: ["pointer"], result: "pointer" },
  /** `DWORD (void)` */
  GetLastError: { parameters: [], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** The functions as JavaScript calls them; tests replace them. */
export type Kernel32 = Deno.StaticForeignLibraryInterface<typeof KERNEL32>;

/** Opens the library at the first call. It is in every Windows process, and not looked for elsewhere. */
export const kernel32: () => Kernel32 = lazyLibrary(["kernel32.dll"], KERNEL32);

/** A `HANDLE` as `usize` gives it. */
export type Handle = bigint;

/** What some functions give instead of a handle, and take for none. */
export const INVALID_HANDLE_VALUE = 0xffff_ffff_ffff_ffffn;

/** The handle that a call gave, or `undefined` for either way to say that there is none. */
export function handleOf(result: Handle): Handle | undefined {
  return result === 0n || result === INVALID_HANDLE_VALUE ? undefined : result;
}
