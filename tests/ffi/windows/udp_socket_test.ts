/** A socket of Windows against functions in this process; real sockets are tested in the Windows rig. */
import { assert, assertEquals } from "@std/assert";
import { WindowsUdpPort } from "../../../ffi/windows/udp_socket.ts";
import type { Ws2 } from "../../../ffi/windows/ws2_32.ts";

/** A datagram with its source, or the error instead. */
type Receipt = { readonly bytes: readonly number[]; readonly from: readonly number[] } | number;

const NOT_USED = (): never => {
  throw new Error("not to be called");
};

/** The functions over lists. */
class FakeSocket {
  readonly log: string[] = [];
  #lastError = 0;

  constructor(readonly receipts: Receipt[], readonly sends: number[] = []) {}

  get calls(): Ws2 {
    return {
      WSAStartup: NOT_USED,
      WSASocketW: NOT_USED,
      closesocket: NOT_USED,
      bind: NOT_USED,
      getsockname: NOT_USED,
      setsockopt: NOT_USED,
      WSAIoctl: NOT_USED,
      WSAPoll: NOT_USED,
      WSAEventSelect: (socket, event, events) => this.#note(`select ${socket} ${event} ${events}`),
      WSAEnumNetworkEvents: (socket, event) => this.#note(`enumerate ${socket} ${event}`),
      WSAGetLastError: () => this.#lastError,
      recvfrom: (_socket, to, room, _flags, name, nameLength) => {
        const next = this.receipts.shift() ?? 10035;
        if (typeof next === "number") return this.#fail(next);
        assert(next.bytes.length <= room);
        assertEquals(memory(nameLength, 4)[0], 28, "the room for the name is said each time");
        memory(to, next.bytes.length).set(next.bytes);
        memory(name, next.from.length).set(next.from);
        memory(nameLength, 4)[0] = next.from.length;
        return next.bytes.length;
      },
      sendto: (_socket, from, length, _flags, name, nameLength) => {
        const code = this.sends.shift() ?? 0;
        if (code !== 0) return this.#fail(code);
        this.#note(`send ${(from as Uint8Array).join(" ")} to ${memory(name, nameLength).join(" ")}`);
        return length;
      },
    };
  }

  #note(line: string): number {
    this.log.push(line);
    return 0;
  }

  #fail(code: number): number {
    this.#lastError = code;
    return -1;
  }
}

function memory(pointer: Deno.PointerValue, length: number): Uint8Array {
  return new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(pointer!, length));
}

const FROM = [2, 0, 0xc8, 0x74, 192, 0, 2, 9, 0, 0, 0, 0, 0, 0, 0, 0];

Deno.test("[windows T88] a receipt that fails three times and then has data gives the data", () => {
  const socket = new FakeSocket([10054, 10054, 10054, { bytes: [1, 2, 3], from: FROM }]);
  const port = new WindowsUdpPort(7, 4, { event: 9, calls: socket.calls });
  assertEquals(port.receive()?.slice(), Uint8Array.of(1, 2, 3));
  assertEquals(port.source, Uint8Array.from(FROM.slice(0, 8)));
  assertEquals(port.receive(), undefined);
  assertEquals(port.troubles.unreachable, 3);
});

Deno.test("[windows T88] whatever else goes wrong on receipt is counted and ends nothing", () => {
  const socket = new FakeSocket([10052, 10040, 10050, { bytes: [], from: FROM }, { bytes: [4], from: FROM }]);
  const port = new WindowsUdpPort(7, 4, { event: 9, calls: socket.calls });
  assertEquals(port.receive()?.slice(), Uint8Array.of(4));
  assertEquals(port.troubles, { unreachable: 1, tooLong: 1, receiveFailed: 1, sendFailed: 0 });
});

Deno.test("a socket that does nothing but fail leaves the others their turn", () => {
  const socket = new FakeSocket(Array(1000).fill(10054));
  const port = new WindowsUdpPort(7, 4, { event: 9, calls: socket.calls });
  assertEquals(port.receive(), undefined);
  assert(socket.receipts.length > 900);
});

Deno.test("a socket sets the event it was given, and unsets it when that was seen", () => {
  const socket = new FakeSocket([]);
  const port = new WindowsUdpPort(7, 4, { event: 9, calls: socket.calls });
  port.acknowledge();
  assertEquals(socket.log, ["select 7 9 1", "enumerate 7 9"]);
});

Deno.test("datagrams go to IPv4 and IPv6, also to one after the other", () => {
  const socket = new FakeSocket([], [0, 0, 10051, 10035]);
  const port = new WindowsUdpPort(7, 6, { event: 9, calls: socket.calls });
  const address = Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7);
  const near = { address, port: 51820, scopeId: 3 };
  assertEquals(port.send(near, Uint8Array.of(1)), true);
  const far = { address: address.map((byte, i) => i === 0 ? 0x20 : byte), port: 1, scopeId: 0 };
  assertEquals(port.send(far, Uint8Array.of(2)), true);
  const head = "23 0 202 108 0 0 0 0 254 128 0 0 0 0 0 0 0 0 0 0 0 0 0 7 3 0 0 0";
  const other = "23 0 0 1 0 0 0 0 32 128 0 0 0 0 0 0 0 0 0 0 0 0 0 7 0 0 0 0";
  assertEquals(socket.log.slice(1), [`send 1 to ${head}`, `send 2 to ${other}`]);
  assertEquals(port.send(far, Uint8Array.of(3)), true, "there is no way there: gone, as in a network");
  assertEquals(port.send(far, Uint8Array.of(4)), false, "there is no room: once more");
  assertEquals(port.troubles.sendFailed, 1);
});
