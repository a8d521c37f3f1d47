/** Plain calls of the fake iphlpapi, and rows as bytes, for the fake's own tests. */
import { fakePath } from "./fake_library.ts";

const ROW = { parameters: ["buffer"], result: "u32" } as const;
const INITIALIZE = { parameters: ["buffer"], result: "void" } as const;

const SYMBOLS = {
  InitializeUnicastIpAddressEntry: INITIALIZE,
  CreateUnicastIpAddressEntry: ROW,
  DeleteUnicastIpAddressEntry: ROW,
  GetUnicastIpAddressEntry: ROW,
  GetUnicastIpAddressTable: { parameters: ["u16", "buffer"], result: "u32" },
  NotifyRouteChange2: { parameters: ["u16", "pointer", "usize", "u8", "buffer"], result: "u32" },
  CancelMibChangeNotify2: { parameters: ["usize"], result: "u32" },
  FreeMibTable: { parameters: ["pointer"], result: "void" },
  InitializeIpForwardEntry: INITIALIZE,
  CreateIpForwardEntry2: ROW,
  DeleteIpForwardEntry2: ROW,
  GetIpForwardEntry2: ROW,
  SetIpForwardEntry2: ROW,
  InitializeIpInterfaceEntry: INITIALIZE,
  GetIpInterfaceEntry: ROW,
  SetIpInterfaceEntry: ROW,
  ConvertInterfaceLuidToIndex: { parameters: ["buffer", "buffer"], result: "u32" },
  ConvertInterfaceLuidToGuid: { parameters: ["buffer", "buffer"], result: "u32" },
  ConvertInterfaceLuidToAlias: { parameters: ["buffer", "buffer", "usize"], result: "u32" },
  ConvertInterfaceAliasToLuid: { parameters: ["buffer", "buffer"], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** Windows' number of IPv4. */
export const AF_INET = 2;
/** Windows' number of IPv6. */
export const AF_INET6 = 23;

/** The fake library's functions. */
export function openIphlpapi(): Deno.DynamicLibrary<typeof SYMBOLS> {
  return Deno.dlopen(fakePath("iphlpapi_fake.dll"), SYMBOLS);
}

/** A row under construction. */
export class Row {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.view = new DataView(this.bytes.buffer);
  }

  /** One byte. */
  u8(at: number, value: number): this {
    this.view.setUint8(at, value);
    return this;
  }

  /** Little endian. */
  u32(at: number, value: number): this {
    this.view.setUint32(at, value, true);
    return this;
  }

  /** Little endian. */
  u64(at: number, value: bigint): this {
    this.view.setBigUint64(at, value, true);
    return this;
  }

  /** A SOCKADDR_INET of IPv4 bytes, or of 16 IPv6 bytes. */
  address(at: number, bytes: readonly number[]): this {
    this.view.setUint16(at, bytes.length === 4 ? AF_INET : AF_INET6, true);
    this.bytes.set(bytes, at + (bytes.length === 4 ? 4 : 8));
    return this;
  }
}
