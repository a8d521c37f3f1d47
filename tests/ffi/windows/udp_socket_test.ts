/** What a bound socket of Windows asks the system for, call by call; real sockets are tested in the Windows rig. */
import { assertEquals, assertThrows } from "@std/assert";
import { isPortTaken, WindowsUdpSocket } from "../../../ffi/windows/udp_socket.ts";
import { Win32Error } from "../../../ffi/windows/win32_error.ts";
import type { Ws2 } from "../../../ffi/windows/ws2_32.ts";

const SOCKET = 0x1a4n;
const INVALID_SOCKET = 0xffff_ffff_ffff_ffffn;

/** Keeps calls as text; each call fails that is given a code. */
class FakeWinsock {
  readonly log: string[] = [];
  #lastError = 0;

  constructor(readonly failures: Readonly<Record<string, number>> = {}) {}

  get calls(): Ws2 {
    const calls: Partial<Ws2> = {
      WSASocketW: (...args) => this.#done("WSASocketW", args.join(" ")) === 0 ? SOCKET : INVALID_SOCKET,
      setsockopt: (socket, level, name, value, length) =>
        this.#done("setsockopt", `${socket} ${level} ${name} ${bytes(value)} ${length}`),
      WSAIoctl: (socket, code, value, length, out, outLength, returned, overlapped, completion) =>
        this.#done(
          "WSAIoctl",
          `${socket} ${(code as number).toString(16)} ${bytes(value)} ${length} ` +
            `${out} ${outLength} ${bytes(returned)} ${overlapped} ${completion}`,
        ),
      bind: (socket, name, length) =>
        this.#done("bind", `${socket} ${bytes((name as Uint8Array).subarray(0, length as number))}`),
      getsockname: (socket, name, length) => {
        const room = new DataView(Deno.UnsafePointerView.getArrayBuffer(length!, 4));
        const address = new DataView(Deno.UnsafePointerView.getArrayBuffer(name!, 28));
        address.setUint16(2, 51_820);
        return this.#done("getsockname", `${socket} ${room.getInt32(0, true)}`);
      },
      closesocket: (socket) => this.#done("closesocket", `${socket}`),
      WSAGetLastError: () => this.#lastError,
    };
    return calls as Ws2;
  }

  #done(call: string, args: string): number {
    this.log.push(`${call} ${args}`);
    this.#lastError = this.failures[call] ?? 0;
    return this.#lastError === 0 ? 0 : -1;
  }
}

function bytes(value: unknown): string {
  return [...value as Uint8Array].join(",");
}

/** Exclusive, room for 8 MiB each way; IPv6 alone; neither CONNRESET nor NETRESET. */
function configured(family: 4 | 6): string[] {
  const [number, only] = family === 4 ? [2, []] : [23, ["setsockopt 420 41 27 1,0,0,0 4"]];
  return [
    `WSASocketW ${number} 2 17  0 129`,
    "setsockopt 420 65535 -5 1,0,0,0 4",
    "setsockopt 420 65535 4098 0,0,128,0 4",
    "setsockopt 420 65535 4097 0,0,128,0 4",
    ...only,
    "WSAIoctl 420 9800000c 0,0,0,0 4 null 0 0,0,0,0 null null",
    "WSAIoctl 420 9800000f 0,0,0,0 4 null 0 0,0,0,0 null null",
  ];
}

const ZEROS = (count: number): string => new Array(count).fill(0).join(",");

Deno.test("a socket is made, configured and bound, the wildcard address unless another is given", () => {
  const v4 = new FakeWinsock();
  const socket = WindowsUdpSocket.bind(4, 51_820, { calls: v4.calls })!;
  assertEquals([socket.family, socket.port, socket.fd], [4, 51_820, 420]);
  assertEquals(v4.log, [
    ...configured(4),
    `bind 420 2,0,202,108,0,0,0,0,${ZEROS(8)}`,
    "getsockname 420 28",
  ]);
  const v6 = new FakeWinsock();
  WindowsUdpSocket.bind(6, 51_820, { calls: v6.calls });
  assertEquals(v6.log, [
    ...configured(6),
    `bind 420 23,0,202,108,${ZEROS(24)}`,
    "getsockname 420 28",
  ]);
  const one = new FakeWinsock();
  WindowsUdpSocket.bind(4, 0, { calls: one.calls, address: Uint8Array.of(127, 0, 0, 1) });
  assertEquals(one.log.at(-2), `bind 420 2,0,0,0,127,0,0,1,${ZEROS(8)}`);
});

Deno.test("a socket is closed once, and not to be used then", () => {
  const winsock = new FakeWinsock();
  const socket = WindowsUdpSocket.bind(4, 0, { calls: winsock.calls })!;
  winsock.log.length = 0;
  for (let i = 0; i < 2; i++) socket[Symbol.dispose]();
  assertEquals(winsock.log, ["closesocket 420"]);
  assertThrows(() => socket.fd, TypeError, "closed");
});

/** What fails with which code, and what comes of it: undefined for no such family. */
const FAILURES: {
  call: string;
  code: number;
  family: 4 | 6;
  want: undefined | { taken: boolean; text: string };
}[] = [
  { call: "WSASocketW", code: 10047, family: 6, want: undefined },
  { call: "WSASocketW", code: 10055, family: 6, want: { taken: false, text: "open UDP socket" } },
  { call: "bind", code: 10049, family: 6, want: undefined },
  { call: "bind", code: 10049, family: 4, want: { taken: false, text: "bind UDP port 7" } },
  { call: "bind", code: 10048, family: 6, want: { taken: true, text: "UDP port 7 is in use" } },
  { call: "bind", code: 10013, family: 4, want: { taken: true, text: "UDP port 7 is in use" } },
  { call: "getsockname", code: 10038, family: 4, want: { taken: false, text: "port of a UDP socket" } },
];

Deno.test("a socket that cannot be had is an error or no family, and is closed", async (t) => {
  for (const { call, code, family, want } of FAILURES) {
    await t.step(`${call} ${code} of IPv${family}`, () => {
      const winsock = new FakeWinsock({ [call]: code });
      const bind = (): unknown => WindowsUdpSocket.bind(family, 7, { calls: winsock.calls });
      if (want === undefined) assertEquals(bind(), undefined);
      else {
        const error = assertThrows(bind, Win32Error, want.text);
        assertEquals([error.code, isPortTaken(error)], [code, want.taken]);
      }
      const closed = winsock.log.filter((line) => line.startsWith("closesocket"));
      assertEquals(closed.length, call === "WSASocketW" ? 0 : 1);
    });
  }
});

Deno.test("an option that an older Windows lacks keeps no socket from being bound", () => {
  const winsock = new FakeWinsock({ setsockopt: 10042, WSAIoctl: 10045 });
  const calls = winsock.calls;
  assertEquals(WindowsUdpSocket.bind(6, 0, { calls })?.family, 6);
});
