/**
 * `advapi32.dll`: security descriptors from text, and the Service Control Manager.
 *
 * @see sddl.h, winsvc.h.
 */
import { lazyLibrary } from "../library.ts";

/** The functions, with their C types. `SC_HANDLE` and `SERVICE_STATUS_HANDLE` are pointers. */
export const ADVAPI32 = {
  /** `BOOL (LPCWSTR, DWORD revision, PSECURITY_DESCRIPTOR*, ULONG*)`; free with `LocalFree`. */
  ConvertStringSecurityDescriptorToSecurityDescriptorW: {
    parameters: ["buffer", "u32", "buffer", "pointer"],
    result: "i32",
  },
  /** `BOOL (const SERVICE_TABLE_ENTRYW*)`; returns when every service of the table has stopped. */
  StartServiceCtrlDispatcherW: { parameters: ["buffer"], result: "i32", nonblocking: true },
  /** `SERVICE_STATUS_HANDLE (LPCWSTR, LPHANDLER_FUNCTION_EX, LPVOID)` */
  RegisterServiceCtrlHandlerExW: { parameters: ["buffer", "function", "pointer"], result: "pointer" },
  /** `BOOL (SERVICE_STATUS_HANDLE, SERVICE_STATUS*)` */
  SetServiceStatus: { parameters: ["pointer", "buffer"], result: "i32" },
  /** `SC_HANDLE (LPCWSTR machine, LPCWSTR database, DWORD access)` */
  OpenSCManagerW: { parameters: ["buffer", "buffer", "u32"], result: "pointer" },
  /**
   * `SC_HANDLE (SC_HANDLE, LPCWSTR name, LPCWSTR display, DWORD access, DWORD type, DWORD start, DWORD error,
   * LPCWSTR path, LPCWSTR group, DWORD* tag, LPCWSTR dependencies, LPCWSTR account, LPCWSTR password)`
   */
  CreateServiceW: {
    parameters: [
      ...["pointer", "buffer", "buffer", "u32", "u32", "u32", "u32"] as const,
      ...["buffer", "buffer", "buffer", "buffer", "buffer", "buffer"] as const,
    ],
    result: "pointer",
  },
  /** `SC_HANDLE (SC_HANDLE, LPCWSTR name, DWORD access)` */
  OpenServiceW: { parameters: ["pointer", "buffer", "u32"], result: "pointer" },
  /** `BOOL (SC_HANDLE, DWORD argc, LPCWSTR* argv)` */
  StartServiceW: { parameters: ["pointer", "u32", "buffer"], result: "i32" },
  /** `BOOL (SC_HANDLE, DWORD control, SERVICE_STATUS*)` */
  ControlService: { parameters: ["pointer", "u32", "buffer"], result: "i32" },
  /** `BOOL (SC_HANDLE, SERVICE_STATUS*)` */
  QueryServiceStatus: { parameters: ["pointer", "buffer"], result: "i32" },
  /** `BOOL (SC_HANDLE)` */
  DeleteService: { parameters: ["pointer"], result: "i32" },
  /** `BOOL (SC_HANDLE)` */
  CloseServiceHandle: { parameters: ["pointer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** The functions as JavaScript calls them; tests replace them. */
export type Advapi32 = Deno.StaticForeignLibraryInterface<typeof ADVAPI32>;

/** Opens the library at the first call. It is one of the DLLs that Windows loads from its own directory only. */
export const advapi32: () => Advapi32 = lazyLibrary(["advapi32.dll"], ADVAPI32);
