/** Where Windows has its own libraries. */
import { lazyLibrary } from "../library.ts";
import { decodeWide } from "./wide_string.ts";

const KERNEL32 = {
  /** `UINT (LPWSTR, UINT count)` */
  GetSystemDirectoryW: { parameters: ["buffer", "u32"], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;

const kernel32 = lazyLibrary(["kernel32.dll"], KERNEL32);

/** `MAX_PATH` */
const MAX_UNITS = 260;

/** As the system has it, not the environment: `C:\\Windows\\system32`. */
export function systemDirectory(): string {
  const path = new Uint16Array(MAX_UNITS);
  kernel32().GetSystemDirectoryW(path, MAX_UNITS - 1);
  return decodeWide((index) => path[index]!);
}
