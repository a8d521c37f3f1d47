/**
 * Adapters of this host and the way out of it, by IP Helper.
 *
 * Layout of `IP_ADAPTER_ADDRESSES`, 448 bytes on 64-bit Windows, one linked to the next by address:
 *
 *      4  u32 index, IPv4            104  u32 state: 1 up
 *      8  address of the next one    108  u32 index, IPv6
 *     24  of its first address       208  address of its first gateway
 *     64  of its description         224  u64 LUID
 *     72  of its friendly name
 *     96  u32 MTU
 *
 * and of `IP_ADAPTER_UNICAST_ADDRESS`: 8 address of the next one, 16 address of a `sockaddr`.
 *
 * @see iptypes.h, iphlpapi.h.
 */

import { lazyLibrary } from "../library.ts";
import { PinnedBuffer } from "../memory.ts";
import { AF_INET, AF_INET6, readSockaddr, SOCKADDR_INET_BYTES, writeSockaddr } from "./sockaddr.ts";
import { decodeWide } from "./wide_string.ts";
import { Win32Error } from "./win32_error.ts";

const IPHLPAPI = {
  /** `ULONG (ULONG family, ULONG flags, void*, IP_ADAPTER_ADDRESSES*, ULONG* size)` */
  GetAdaptersAddresses: { parameters: ["u32", "u32", "pointer", "pointer", "buffer"], result: "u32" },
  /** `DWORD (sockaddr*, DWORD* index)` */
  GetBestInterfaceEx: { parameters: ["buffer", "buffer"], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;

const AF_UNSPEC = 0;
/** No anycast, multicast and DNS servers; gateways. */
const FLAGS = 0x02 | 0x04 | 0x08 | 0x80;
const ERROR_BUFFER_OVERFLOW = 111;
const ERROR_NO_DATA = 232;
const START_BYTES = 16 * 1024;
/** The list may grow between two calls. */
const TRIES = 4;
const STATE_UP = 1;

/** An adapter. */
export interface Adapter {
  /** Friendly name, such as `Ethernet 2`. */
  readonly name: string;
  /** What kind it is, as its driver says, such as `Hyper-V Virtual Ethernet Adapter #2`. */
  readonly description: string;
  readonly luid: bigint;
  /** Index for IPv4 and for IPv6; 0 where it lacks that. */
  readonly index: { readonly 4: number; readonly 6: number };
  readonly mtuBytes: number;
  readonly isUp: boolean;
  readonly hasGateway: boolean;
  /** Unicast addresses, 4 or 16 bytes each. */
  readonly addresses: readonly Uint8Array[];
}

/** Questions about adapters. Tests replace it. */
export interface AdapterList {
  /** All adapters. @throws {Win32Error} */
  adapters(): Adapter[];
  /** Index of the interface that packets to there leave by; undefined if there is no route. */
  bestInterface(destination: Uint8Array): number | undefined;
}

/** The functions as JavaScript calls them; tests replace them. */
export type AdapterSymbols = Deno.StaticForeignLibraryInterface<typeof IPHLPAPI>;

/**
 * Opens the library.
 *
 * @param path Absolute: `%SystemRoot%\System32\iphlpapi.dll`.
 * @throws {LibraryError} If it is not there.
 */
export function openAdapterList(path: string): AdapterList {
  return adapterListOf(lazyLibrary([path], IPHLPAPI)());
}

/** The functions of a library that is open. */
export function adapterListOf(symbols: AdapterSymbols): AdapterList {
  return {
    adapters: () => readAdapters(symbols),
    bestInterface(destination): number | undefined {
      const address = new Uint8Array(SOCKADDR_INET_BYTES);
      writeSockaddr(new DataView(address.buffer), 0, { address: destination });
      const index = new Uint32Array(1);
      return symbols.GetBestInterfaceEx(address, index) === 0 ? index[0] : undefined;
    },
  };
}

function readAdapters(
  { GetAdaptersAddresses }: AdapterSymbols,
): Adapter[] {
  const size = Uint32Array.of(START_BYTES);
  let code = ERROR_BUFFER_OVERFLOW;
  for (let i = 0; i < TRIES && code === ERROR_BUFFER_OVERFLOW; i++) {
    const buffer = new PinnedBuffer(size[0]!);
    code = GetAdaptersAddresses(AF_UNSPEC, FLAGS, null, buffer.pointer, size);
    if (code === 0) return decodeAdapters(buffer.view, BigInt(buffer.address));
  }
  if (code === ERROR_NO_DATA) return [];
  throw new Win32Error("list the adapters of this host", "GetAdaptersAddresses", code);
}

/**
 * Reads a list.
 *
 * @param base Address of the bytes, which those in it are relative to.
 */
export function decodeAdapters(view: DataView, base: bigint): Adapter[] {
  if (view.byteLength === 0) return [];
  const adapters: Adapter[] = [];
  for (let at: number | undefined = 0; at !== undefined; at = placeAt(view, at + 8, base)) {
    adapters.push(decodeAdapter(view, at, base));
  }
  return adapters;
}

function decodeAdapter(view: DataView, at: number, base: bigint): Adapter {
  return {
    name: readText(view, at + 72, base),
    description: readText(view, at + 64, base),
    luid: view.getBigUint64(at + 224, true),
    index: { 4: view.getUint32(at + 4, true), 6: view.getUint32(at + 108, true) },
    mtuBytes: view.getUint32(at + 96, true),
    isUp: view.getUint32(at + 104, true) === STATE_UP,
    hasGateway: view.getBigUint64(at + 208, true) !== 0n,
    addresses: decodeAddresses(view, placeAt(view, at + 24, base), base),
  };
}

function decodeAddresses(view: DataView, first: number | undefined, base: bigint): Uint8Array[] {
  const addresses: Uint8Array[] = [];
  for (let at = first; at !== undefined; at = placeAt(view, at + 8, base)) {
    const sockaddr = placeAt(view, at + 16, base);
    if (sockaddr === undefined) continue;
    const family = view.getUint16(sockaddr, true);
    if (family === AF_INET || family === AF_INET6) addresses.push(readSockaddr(view, sockaddr));
  }
  return addresses;
}

function readText(view: DataView, at: number, base: bigint): string {
  const text = placeAt(view, at, base);
  return text === undefined ? "" : decodeWide((index) => view.getUint16(text + 2 * index, true));
}

/** Where an address that is stored there points to, from the start of the bytes; undefined for NULL. */
function placeAt(view: DataView, at: number, base: bigint): number | undefined {
  const address = view.getBigUint64(at, true);
  return address === 0n ? undefined : Number(address - base);
}
