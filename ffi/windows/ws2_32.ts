/**
 * `ws2_32.dll`: sockets of Windows, nonblocking, that set an event when there is something to receive.
 *
 * `SOCKET` is a number here, as it is a handle of the kernel. `WSAGetLastError` tells of the call before only when it
 * is the very next one.
 *
 * @see winsock2.h, ws2def.h, ws2ipdef.h, mswsock.h.
 */

import { lazyLibrary } from "../library.ts";
import { PinnedBuffer } from "../memory.ts";

/** The functions, with their C types. */
export const WS2_32 = {
  /** `int (WORD version, WSADATA*)` */
  WSAStartup: { parameters: ["u16", "buffer"], result: "i32" },
  /** `SOCKET (int family, int type, int protocol, WSAPROTOCOL_INFOW*, GROUP, DWORD flags)` */
  WSASocketW: { parameters: ["i32", "i32", "i32", "pointer", "u32", "u32"], result: "usize" },
  /** `int (SOCKET)` */
  closesocket: { parameters: ["usize"], result: "i32" },
  /** `int (SOCKET, const sockaddr*, int)` */
  bind: { parameters: ["usize", "buffer", "i32"], result: "i32" },
  /** `int (SOCKET, sockaddr*, int*)` */
  getsockname: { parameters: ["usize", "pointer", "pointer"], result: "i32" },
  /** `int (SOCKET, int level, int name, const char*, int)` */
  setsockopt: { parameters: ["usize", "i32", "i32", "buffer", "i32"], result: "i32" },
  /** `int (SOCKET, DWORD code, void* in, DWORD, void* out, DWORD, DWORD* returned, WSAOVERLAPPED*, completion)` */
  WSAIoctl: {
    parameters: ["usize", "u32", "buffer", "u32", "pointer", "u32", "buffer", "pointer", "pointer"],
    result: "i32",
  },
  /** `int (SOCKET, WSAEVENT, long events)`; makes the socket nonblocking. */
  WSAEventSelect: { parameters: ["usize", "usize", "i32"], result: "i32" },
  /** `int (SOCKET, WSAEVENT, WSANETWORKEVENTS*)` */
  WSAEnumNetworkEvents: { parameters: ["usize", "usize", "pointer"], result: "i32" },
  /** `int (WSAPOLLFD*, ULONG, int ms)` */
  WSAPoll: { parameters: ["pointer", "u32", "i32"], result: "i32" },
  /** `int (SOCKET, char*, int, int flags, sockaddr*, int*)` */
  recvfrom: { parameters: ["usize", "buffer", "i32", "i32", "pointer", "pointer"], result: "i32" },
  /** `int (SOCKET, WSAMSG*, DWORD flags, DWORD* sent, WSAOVERLAPPED*, completion)` */
  WSASendMsg: {
    parameters: ["usize", "pointer", "u32", "pointer", "pointer", "pointer"],
    result: "i32",
  },
  /** `int (void)` */
  WSAGetLastError: { parameters: [], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** `int (SOCKET, WSAMSG*, DWORD* received, WSAOVERLAPPED*, completion)`, which the library gives by pointer only. */
const LPFN_WSARECVMSG = {
  parameters: ["usize", "pointer", "pointer", "pointer", "pointer"],
  result: "i32",
} as const satisfies Deno.ForeignFunction;

/** The functions as JavaScript calls them; tests replace them. */
export type Ws2 = Deno.StaticForeignLibraryInterface<typeof WS2_32>;

/** `WSARecvMsg` of a socket's provider. */
export type ReceiveMessage = Deno.UnsafeFnPointer<typeof LPFN_WSARECVMSG>["call"];

/** Codes of `WSAGetLastError`, `winerror.h`. */
export const WSA = {
  INVALID_HANDLE: 6,
  EINTR: 10004,
  EACCES: 10013,
  EINVAL: 10022,
  EWOULDBLOCK: 10035,
  ENOTSOCK: 10038,
  EMSGSIZE: 10040,
  ENOPROTOOPT: 10042,
  EOPNOTSUPP: 10045,
  EAFNOSUPPORT: 10047,
  EADDRINUSE: 10048,
  EADDRNOTAVAIL: 10049,
  ENETDOWN: 10050,
  ENETUNREACH: 10051,
  ENETRESET: 10052,
  ECONNABORTED: 10053,
  ECONNRESET: 10054,
  ENOBUFS: 10055,
  ESHUTDOWN: 10058,
  EHOSTUNREACH: 10065,
  NOTINITIALISED: 10093,
} as const;

const SIO_GET_EXTENSION_FUNCTION_POINTER = 0xc800_0006;
/** `WSAID_WSARECVMSG`: {F689D7C8-6F1F-436B-8A53-E54FE351C322}. */
const WSAID_WSARECVMSG = Uint8Array.of(
  ...[0xc8, 0xd7, 0x89, 0xf6, 0x1f, 0x6f, 0x6b, 0x43],
  ...[0x8a, 0x53, 0xe5, 0x4f, 0xe3, 0x51, 0xc3, 0x22],
);

/** `sizeof(WSADATA)` on 64-bit Windows. */
const WSADATA_BYTES = 408;
const VERSION_2_2 = 0x0202;

/** Where Windows has the library: it is in every process that has sockets. */
export const SYSTEM_WS2_32 = "ws2_32.dll";

const started = new Map<string, Ws2>();

/**
 * Opens and starts the library at the first call.
 *
 * @param path Another one, for tests.
 * @throws {LibraryError} If it is not there.
 */
export function ws2(path: string = SYSTEM_WS2_32): Ws2 {
  let symbols = started.get(path);
  if (symbols === undefined) {
    symbols = lazyLibrary([path], WS2_32)();
    // Counted by the system; it is given back with the process.
    symbols.WSAStartup(VERSION_2_2, new Uint8Array(WSADATA_BYTES));
    started.set(path, symbols);
  }
  return symbols;
}

/** `WSARecvMsg`, as the provider of a socket has it; undefined if it has none. */
export function receiveMessageOf(calls: Ws2, socket: bigint): ReceiveMessage | undefined {
  const found = new PinnedBuffer(8);
  const result = calls.WSAIoctl(
    ...[socket, SIO_GET_EXTENSION_FUNCTION_POINTER, WSAID_WSARECVMSG, WSAID_WSARECVMSG.length] as const,
    ...[found.pointer, 8, new Uint8Array(4), null, null] as const,
  );
  const address = result === 0 ? found.view.getBigUint64(0, true) : 0n;
  const pointer = Deno.UnsafePointer.create<typeof LPFN_WSARECVMSG>(address);
  if (pointer === null) return undefined;
  const fn = new Deno.UnsafeFnPointer(pointer, LPFN_WSARECVMSG);
  return (of, message, received, overlapped, completion) =>
    fn.call(of, message, received, overlapped, completion);
}
