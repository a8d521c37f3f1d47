/** Receipts by `WSARecvMsg`, as the library gives it: by its address. Real sockets are tested in the Windows rig. */
import { assertEquals } from "@std/assert";
import { hex } from "../../../core/wireguard/bytes.ts";
import { PinnedBuffer } from "../../../ffi/memory.ts";
import { type UdpFeatures, WindowsUdpPort } from "../../../ffi/windows/udp_port.ts";
import { receiveMessageOf, type Ws2 } from "../../../ffi/windows/ws2_32.ts";

/** What one call gives: bytes with control data, or a code. */
type Receipt = { readonly bytes: readonly number[]; readonly control?: readonly number[] } | number;

const V4_CONTROL = [24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 19, 0, 0, 0, 192, 0, 2, 7, 9, 0, 0, 0];
const TRAIN_CONTROL = [20, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0];
const FROM = [2, 0, 0xc8, 0x74, 192, 0, 2, 9, ...new Array(8).fill(0)];

function at(address: bigint, length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(Deno.UnsafePointer.create(address)!, length));
}

/** A socket with these receipts. */
class FakeSocket implements Disposable {
  readonly log: string[] = [];
  readonly memory = new PinnedBuffer(256);
  #lastError = 0;
  readonly #receive = new Deno.UnsafeCallback(
    { parameters: ["usize", "pointer", "pointer", "pointer", "pointer"], result: "i32" },
    (socket, message, received, overlapped, completion) => {
      this.log.push(`receive ${socket} ${overlapped} ${completion}`);
      return this.#next(message!, received!);
    },
  );

  constructor(readonly receipts: Receipt[], readonly options: { readonly hasMessages?: boolean } = {}) {}

  #next(message: Deno.PointerObject, received: Deno.PointerObject): number {
    const next = this.receipts.shift() ?? 10_035;
    this.#lastError = typeof next === "number" ? next : 0;
    if (typeof next === "number") return -1;
    const header = new DataView(Deno.UnsafePointerView.getArrayBuffer(message, 56));
    const vector = new Deno.UnsafePointerView(Deno.UnsafePointer.create(header.getBigUint64(16, true))!);
    this.log.push(`room ${header.getInt32(8, true)} ${vector.getUint32(0)} ${header.getUint32(32, true)}`);
    at(vector.getBigUint64(8), next.bytes.length).set(next.bytes);
    at(header.getBigUint64(0, true), FROM.length).set(FROM);
    header.setInt32(8, FROM.length, true);
    const control = next.control ?? [];
    at(header.getBigUint64(40, true), 128).set(control);
    header.setUint32(32, control.length, true);
    new DataView(Deno.UnsafePointerView.getArrayBuffer(received, 4)).setUint32(0, next.bytes.length, true);
    return 0;
  }

  get calls(): Ws2 {
    const calls: Partial<Ws2> = {
      WSAIoctl: (socket, code, id, length, out, outLength, returned, overlapped, completion) => {
        this.log.push(
          `ioctl ${socket} ${(code as number).toString(16)} ${hex(id as Uint8Array)} ${length} ` +
            `${outLength} ${(returned as Uint8Array).length} ${overlapped} ${completion}`,
        );
        if (this.options.hasMessages === false) return -1;
        const address = BigInt(Deno.UnsafePointer.value(this.#receive.pointer));
        new DataView(Deno.UnsafePointerView.getArrayBuffer(out!, 8)).setBigUint64(0, address, true);
        return 0;
      },
      setsockopt: (socket, level, name, value, length) => {
        const number = new DataView((value as Uint8Array<ArrayBuffer>).buffer).getInt32(0, true);
        this.log.push(`option ${socket} ${level} ${name} ${number} ${length}`);
        return 0;
      },
      WSAEventSelect: () => 0,
      WSAGetLastError: () => this.#lastError,
      WSAPoll: (descriptors, count, timeoutMs) => {
        const view = new DataView(Deno.UnsafePointerView.getArrayBuffer(descriptors!, 16));
        this.log.push(`poll ${view.getBigUint64(0, true)} ${view.getInt16(8, true)} ${count} ${timeoutMs}`);
        return 0;
      },
    };
    return calls as Ws2;
  }

  port(features: Partial<UdpFeatures> = {}, family: 4 | 6 = 4): WindowsUdpPort {
    const all = { messages: true, segments: false, coalesces: false, ...features };
    return new WindowsUdpPort(7, family, this.memory, { event: 9, features: all, calls: this.calls });
  }

  [Symbol.dispose](): void {
    this.#receive.close();
  }
}

const ASKED = "ioctl 7 c8000006 c8d789f61f6f6b438a53e54fe351c322 16 8 4 null null";

Deno.test("WSARecvMsg is asked for by its number, and receipts are told of by the options of the family", () => {
  for (const [family, option] of [[4, "option 7 0 19 1 4"], [6, "option 7 41 19 1 4"]] as const) {
    using socket = new FakeSocket([]);
    assertEquals(socket.port({}, family).isCoalescing, false);
    assertEquals(socket.log, [ASKED, option]);
  }
  using trains = new FakeSocket([]);
  assertEquals(trains.port({ coalesces: true }).isCoalescing, true);
  assertEquals(trains.log.at(-1), "option 7 17 3 65527 4");
  using plain = new FakeSocket([]);
  plain.port({ messages: false, coalesces: true });
  assertEquals(plain.log, []);
});

Deno.test("a provider without WSARecvMsg is none", () => {
  using socket = new FakeSocket([], { hasMessages: false });
  assertEquals(receiveMessageOf(socket.calls, 7n), undefined);
});

Deno.test("a receipt tells where it came from, where to, and how long its datagrams are", () => {
  using socket = new FakeSocket([
    { bytes: [1, 2, 3, 4, 5], control: [...V4_CONTROL, ...TRAIN_CONTROL] },
    { bytes: new Array(200).fill(6), control: [] },
    { bytes: [], control: V4_CONTROL },
  ]);
  const port = socket.port();
  socket.log.length = 0;
  assertEquals(port.receive(16, 100), 5);
  assertEquals(socket.log, ["receive 7 null null", "room 28 100 128"]);
  assertEquals(socket.memory.bytes.slice(16, 21), Uint8Array.of(1, 2, 3, 4, 5));
  assertEquals(port.source, Uint8Array.from(FROM.slice(0, 8)));
  assertEquals([port.local, port.interfaceIndex, port.segmentBytes], [Uint8Array.of(192, 0, 2, 7), 9, 2]);
  assertEquals(port.receive(0, 256), 200);
  assertEquals([port.local, port.interfaceIndex, port.segmentBytes], [new Uint8Array(0), 0, 200]);
  assertEquals([port.receive(0, 256), port.local.length], [0, 4]);
  assertEquals(port.receive(0, 256), -1);
});

Deno.test("failures of receipts are those that the library tells of, and end nothing", () => {
  using socket = new FakeSocket([10_054, 10_040, { bytes: [1] }]);
  const port = socket.port();
  assertEquals(port.receive(0, 256), 1);
  assertEquals([port.troubles.unreachable, port.troubles.tooLong], [1, 1]);
});

Deno.test("doubt ends the joining of datagrams, once", () => {
  using socket = new FakeSocket([]);
  const port = socket.port({ coalesces: true });
  socket.log.length = 0;
  for (let i = 0; i < 2; i++) port.doubtReceipt();
  assertEquals(socket.log, ["option 7 17 3 0 4"]);
  assertEquals([port.isCoalescing, port.troubles.unmarkedTrain], [false, 1]);
});

Deno.test("room to send is waited for on the socket itself", () => {
  using socket = new FakeSocket([]);
  const port = socket.port();
  socket.log.length = 0;
  port.waitWritable(10);
  assertEquals(socket.log, ["poll 7 16 1 10"]);
});
