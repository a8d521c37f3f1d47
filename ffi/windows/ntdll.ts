/**
 * `ntdll.dll`: what `ReadFile`, `WriteFile` and `ConnectNamedPipe` are made of.
 *
 * Those tell how they went by `GetLastError`, which is a call of its own: whatever the engine does on this thread
 * in between may change what it says, and an operation that pends but was taken for refused has the kernel write to
 * memory that is in use for something else by then. These give an NTSTATUS as their result.
 *
 * For all of them: no event and no routine, so that the end is told to the completion port of the handle, where
 * `ApcContext` becomes `lpOverlapped`; the IO_STATUS_BLOCK (winternl.h; Status u32 @0, Information u64 @8) is the
 * beginning of the OVERLAPPED. Arguments as kernel32 gives them.
 *
 * @see winternl.h `NtReadFile`, `NtWriteFile`; ntifs.h `NtFsControlFile`, `FSCTL_PIPE_LISTEN`.
 */
import { lazyLibrary } from "../library.ts";

/** The functions, with their C types. */
export const NTDLL = {
  /** `NTSTATUS (HANDLE, HANDLE event, PIO_APC_ROUTINE, void* context, IO_STATUS_BLOCK*, void*, ULONG bytes, LARGE_INTEGER* offset, ULONG* key)` */
  NtReadFile: {
    parameters: ["usize", "usize", "pointer", "pointer", "pointer", "buffer", "u32", "pointer", "pointer"],
    result: "u32",
  },
  /** As `NtReadFile`. */
  NtWriteFile: {
    parameters: ["usize", "usize", "pointer", "pointer", "pointer", "buffer", "u32", "pointer", "pointer"],
    result: "u32",
  },
  /** `NTSTATUS (HANDLE, HANDLE event, PIO_APC_ROUTINE, void* context, IO_STATUS_BLOCK*, ULONG code, void* in, ULONG, void* out, ULONG)` */
  NtFsControlFile: {
    parameters: [
      "usize",
      "usize",
      "pointer",
      "pointer",
      "pointer",
      "u32",
      "pointer",
      "u32",
      "pointer",
      "u32",
    ],
    result: "u32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** The functions as JavaScript calls them; tests replace them. */
export type Ntdll = Deno.StaticForeignLibraryInterface<typeof NTDLL>;

/** Opens the library at the first call. It is in every Windows process, and not looked for elsewhere. */
export const ntdll: () => Ntdll = lazyLibrary(["ntdll.dll"], NTDLL);

/** ntstatus.h: the operation has begun. */
export const STATUS_PENDING = 0x103;

/** ntifs.h: waits for a client, as `ConnectNamedPipe` does. */
export const FSCTL_PIPE_LISTEN = 0x0011_0008;
