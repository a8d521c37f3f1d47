/**
 * `iphlpapi.dll`, IP Helper: addresses, routes and interfaces of the IP stack, all by LUID.
 *
 * Rows are bytes here; `windows/*_row.ts` make and read them. All of these are calls into the kernel that return
 * soon.
 *
 * @see netioapi.h.
 */

import { lazyLibrary } from "./library.ts";
import { forwardTableBytes } from "./windows/forward_row.ts";
import { unicastTableBytes } from "./windows/unicast_address_row.ts";
import { decodeWide } from "./windows/wide_string.ts";
import { Win32Error } from "./windows/win32_error.ts";

/** `DWORD (row*)` */
const ROW = { parameters: ["buffer"], result: "u32" } as const;

const IPHLPAPI = {
  CreateUnicastIpAddressEntry: ROW,
  DeleteUnicastIpAddressEntry: ROW,
  /** `DWORD (ADDRESS_FAMILY, MIB_UNICASTIPADDRESS_TABLE**)` */
  GetUnicastIpAddressTable: { parameters: ["u16", "buffer"], result: "u32" },
  /** `DWORD (ADDRESS_FAMILY, MIB_IPFORWARD_TABLE2**)` */
  GetIpForwardTable2: { parameters: ["u16", "buffer"], result: "u32" },
  /** `void (void* table)` */
  FreeMibTable: { parameters: ["pointer"], result: "void" },
  CreateIpForwardEntry2: ROW,
  DeleteIpForwardEntry2: ROW,
  GetIpInterfaceEntry: ROW,
  SetIpInterfaceEntry: ROW,
  /** `DWORD (const NET_LUID*, ULONG*)` */
  ConvertInterfaceLuidToIndex: { parameters: ["buffer", "buffer"], result: "u32" },
  /** `DWORD (const NET_LUID*, PWSTR, SIZE_T)` */
  ConvertInterfaceLuidToAlias: { parameters: ["buffer", "buffer", "usize"], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** `ERROR_NOT_FOUND`: no such row; also of an interface that the stack does not know yet. */
export const ERROR_NOT_FOUND = 1168;
/** `ERROR_NOT_SUPPORTED`: the host has no stack of that family. */
const ERROR_NOT_SUPPORTED = 50;
/** `ERROR_OBJECT_ALREADY_EXISTS`. */
export const ERROR_OBJECT_ALREADY_EXISTS = 5010;
/** `IF_MAX_STRING_SIZE` and the zero at its end. */
const ALIAS_UNITS = 257;

/** The functions, with rows as bytes and results as Windows gives them: 0 for success. Tests replace it. */
export interface IpHelper {
  /** Adds a `MIB_UNICASTIPADDRESS_ROW`. */
  createAddress(row: Uint8Array<ArrayBuffer>): number;
  /** Removes the address of such a row. */
  deleteAddress(row: Uint8Array<ArrayBuffer>): number;
  /** The `MIB_UNICASTIPADDRESS_TABLE` of a family. @throws {Win32Error} */
  addressTable(family: number): Uint8Array<ArrayBuffer>;
  /** The `MIB_IPFORWARD_TABLE2` of a family. @throws {Win32Error} */
  routeTable(family: number): Uint8Array<ArrayBuffer>;
  /** Adds a `MIB_IPFORWARD_ROW2`. */
  createRoute(row: Uint8Array<ArrayBuffer>): number;
  /** Removes the route of such a row. */
  deleteRoute(row: Uint8Array<ArrayBuffer>): number;
  /** Fills a `MIB_IPINTERFACE_ROW`. */
  getInterface(row: Uint8Array<ArrayBuffer>): number;
  /** Writes such a row. */
  setInterface(row: Uint8Array<ArrayBuffer>): number;
  /** Whether there is an interface with that LUID. */
  hasInterface(luid: bigint): boolean;
  /** Name of an interface for people; undefined when it is gone. */
  aliasOf(luid: bigint): string | undefined;
}

/** The functions as JavaScript calls them; tests replace them. */
export type IpHelperSymbols = Deno.StaticForeignLibraryInterface<typeof IPHLPAPI>;

/**
 * Opens the library.
 *
 * @param path Absolute: `%SystemRoot%\System32\iphlpapi.dll`.
 * @throws {LibraryError} If it is not there.
 */
export function openIpHelper(path: string): IpHelper {
  return ipHelperOf(lazyLibrary([path], IPHLPAPI)());
}

/** The functions of a library that is open. */
export function ipHelperOf(symbols: IpHelperSymbols): IpHelper {
  return {
    createAddress: (row) => symbols.CreateUnicastIpAddressEntry(row),
    deleteAddress: (row) => symbols.DeleteUnicastIpAddressEntry(row),
    addressTable: (family) =>
      readTable(symbols, family, { read: "GetUnicastIpAddressTable", bytes: unicastTableBytes }),
    routeTable: (family) =>
      readTable(symbols, family, { read: "GetIpForwardTable2", bytes: forwardTableBytes }),
    createRoute: (row) => symbols.CreateIpForwardEntry2(row),
    deleteRoute: (row) => symbols.DeleteIpForwardEntry2(row),
    getInterface: (row) => symbols.GetIpInterfaceEntry(row),
    setInterface: (row) => symbols.SetIpInterfaceEntry(row),
    hasInterface: (luid) =>
      symbols.ConvertInterfaceLuidToIndex(BigUint64Array.of(luid), new Uint32Array(1)) === 0,
    aliasOf(luid): string | undefined {
      const alias = new Uint16Array(ALIAS_UNITS);
      const code = symbols.ConvertInterfaceLuidToAlias(BigUint64Array.of(luid), alias, BigInt(ALIAS_UNITS));
      return code === 0 ? decodeWide((index) => alias[index] ?? 0) : undefined;
    },
  };
}

/** Copies a table, which is given back at once. @param table Its function, and its size by the number of rows. */
function readTable(
  symbols: IpHelperSymbols,
  family: number,
  table: {
    readonly read: "GetUnicastIpAddressTable" | "GetIpForwardTable2";
    readonly bytes: (rows: number) => number;
  },
): Uint8Array<ArrayBuffer> {
  const out = new BigUint64Array(1);
  const code = symbols[table.read](family, out);
  if (code !== 0 && code !== ERROR_NOT_FOUND && code !== ERROR_NOT_SUPPORTED) {
    throw new Win32Error("read addresses and routes of this host", table.read, code);
  }
  const rows = Deno.UnsafePointer.create(out[0]!);
  if (rows === null) return new Uint8Array(table.bytes(0));
  try {
    const view = new Deno.UnsafePointerView(rows);
    const bytes = new Uint8Array(table.bytes(view.getUint32(0)));
    view.copyInto(bytes);
    return bytes;
  } finally {
    symbols.FreeMibTable(rows);
  }
}
