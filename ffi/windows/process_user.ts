/**
 * The user that this process runs as.
 *
 * @see processthreadsapi.h `OpenProcessToken`, securitybaseapi.h `GetTokenInformation`.
 */
import { ByteReader } from "../bytes.ts";
import { lazyLibrary } from "../library.ts";
import { PinnedBuffer } from "../memory.ts";
import { kernel32 } from "./kernel32.ts";
import { decodeSid } from "./security_descriptor.ts";
import { Win32Error } from "./win32_error.ts";

const ADVAPI32 = {
  /** `BOOL (HANDLE process, DWORD access, HANDLE*)` */
  OpenProcessToken: { parameters: ["usize", "u32", "buffer"], result: "i32" },
  /** `BOOL (HANDLE, TOKEN_INFORMATION_CLASS, LPVOID, DWORD bytes, DWORD* needed)` */
  GetTokenInformation: { parameters: ["usize", "u32", "pointer", "u32", "buffer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

const advapi32 = lazyLibrary(["advapi32.dll"], ADVAPI32);

const CURRENT_PROCESS = 0xffff_ffff_ffff_ffffn;
const TOKEN_QUERY = 8;
const TOKEN_USER = 1;
/** `TOKEN_USER` is the address of a SID and u32 attributes; the SID is behind them, 68 bytes at most. */
const TOKEN_USER_BYTES = 128;

/** Its SID, such as `S-1-5-18` for LocalSystem. @throws {Win32Error} */
export function processUser(): string {
  const { OpenProcessToken, GetTokenInformation } = advapi32();
  const { GetLastError, CloseHandle } = kernel32();
  const op = "find out who runs this process";
  const token = new BigUint64Array(1);
  if (OpenProcessToken(CURRENT_PROCESS, TOKEN_QUERY, token) === 0) {
    throw new Win32Error(op, "OpenProcessToken", GetLastError());
  }
  try {
    const user = new PinnedBuffer(TOKEN_USER_BYTES);
    const needed = new Uint32Array(1);
    if (GetTokenInformation(token[0]!, TOKEN_USER, user.pointer, TOKEN_USER_BYTES, needed) === 0) {
      throw new Win32Error(op, "GetTokenInformation", GetLastError());
    }
    const at = Number(user.view.getBigUint64(0, true)) - user.address;
    return decodeSid(new ByteReader(user.bytes.subarray(at), "token user", { littleEndian: true }));
  } finally {
    CloseHandle(token[0]!);
  }
}
