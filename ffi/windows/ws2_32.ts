/**
 * `ws2_32.dll`: sockets of Windows, nonblocking, that set an event when there is something to receive.
 *
 * `SOCKET` is a number here, as it is a handle of the kernel. `WSAGetLastError` tells of the call before only when it
 * is the very next one.
 *
 * @see winsock2.h, ws2def.h, ws2ipdef.h, mswsock.h.
 */

import { lazyLibrary } from "../library.ts";

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
  recvfrom: { parameters: ["usize", "pointer", "i32", "i32", "pointer", "pointer"], result: "i32" },
  /** `int (SOCKET, const char*, int, int flags, const sockaddr*, int)` */
  sendto: { parameters: ["usize", "buffer", "i32", "i32", "pointer", "i32"], result: "i32" },
  /** `int (void)` */
  WSAGetLastError: { parameters: [], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** The functions as JavaScript calls them; tests replace them. */
export type Ws2 = Deno.StaticForeignLibraryInterface<typeof WS2_32>;

/** Codes of `WSAGetLastError`, `winerror.h`. */
export const WSA = {
  EACCES: 10013,
  EWOULDBLOCK: 10035,
  EMSGSIZE: 10040,
  EADDRINUSE: 10048,
  EAFNOSUPPORT: 10047,
  EADDRNOTAVAIL: 10049,
  ENETRESET: 10052,
  ECONNRESET: 10054,
} as const;

/** `sizeof(WSADATA)` on 64-bit Windows. */
const WSADATA_BYTES = 408;
const VERSION_2_2 = 0x0202;

const library = lazyLibrary(["ws2_32.dll"], WS2_32);
let started: Ws2 | undefined;

/** Opens and starts the library at the first call. @throws {LibraryError} If it is not there. */
export function ws2(): Ws2 {
  if (started === undefined) {
    const symbols = library();
    // Counted by the system; it is given back with the process.
    symbols.WSAStartup(VERSION_2_2, new Uint8Array(WSADATA_BYTES));
    started = symbols;
  }
  return started;
}
