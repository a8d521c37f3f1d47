/** A socket of Windows against functions in this process; real sockets are tested in the Windows rig. */
import { assert, assertEquals } from "@std/assert";
import { PinnedBuffer } from "../../../ffi/memory.ts";
import { type UdpFeatures, WindowsUdpPort } from "../../../ffi/windows/udp_port.ts";
import type { Ws2 } from "../../../ffi/windows/ws2_32.ts";

/** A datagram with its source, or the error instead. */
type Receipt = { readonly bytes: readonly number[]; readonly from: readonly number[] } | number;

const NOT_USED = (): never => {
  throw new Error("not to be called");
};

/** The functions over lists. */
class FakeSocket {
  readonly log: string[] = [];
  readonly memory = new PinnedBuffer(70_000);
  /** Calls to receive. */
  asked = 0;
  #lastError = 0;

  /** @param sends Results of the calls to send, 0 for done; and for all that are left out. */
  constructor(readonly receipts: Receipt[], readonly sends: number[] = []) {}

  port(family: 4 | 6, features: Partial<UdpFeatures> = {}): WindowsUdpPort {
    const all = { messages: false, segments: false, coalesces: false, ...features };
    return new WindowsUdpPort(7, family, this.memory, { event: 9, features: all, calls: this.calls });
  }

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
      recvfrom: (_socket, to, room, flags, name, nameLength) => {
        this.asked++;
        const next = this.receipts.shift() ?? 10035;
        if (typeof next === "number") return this.#fail(next);
        assert(next.bytes.length <= room && room === (to as Uint8Array).length);
        assertEquals(flags, 0);
        assertEquals(memory(nameLength, 4)[0], 28, "the room for the name is said each time");
        (to as Uint8Array).set(next.bytes);
        memory(name, next.from.length).set(next.from);
        memory(nameLength, 4)[0] = next.from.length;
        return next.bytes.length;
      },
      WSASendMsg: (_socket, message) => {
        this.#note(describe(message));
        const code = this.sends.shift() ?? 0;
        return code === 0 ? 0 : this.#fail(code);
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

function pointed(address: bigint, length: number): Uint8Array {
  return memory(Deno.UnsafePointer.create(address), length);
}

/** Payload, address and control data of a `WSAMSG`. */
function describe(message: Deno.PointerValue): string {
  const view = new Deno.UnsafePointerView(message!);
  const buffer = new Deno.UnsafePointerView(Deno.UnsafePointer.create(view.getBigUint64(16))!);
  assertEquals([view.getUint32(24), view.getUint32(48)], [1, 0], "one buffer, no flags");
  const name = pointed(view.getBigUint64(0), view.getInt32(8));
  const controlBytes = view.getUint32(32);
  assertEquals(view.getBigUint64(40) === 0n, controlBytes === 0);
  const control = controlBytes === 0 ? [] : [...pointed(view.getBigUint64(40), controlBytes)];
  const length = buffer.getUint32(0);
  const first = pointed(buffer.getBigUint64(8), 1)[0];
  return `send ${length} of ${first} to ${name.join(" ")}` +
    (control.length === 0 ? "" : ` with ${control.join(" ")}`);
}

const FROM = [2, 0, 0xc8, 0x74, 192, 0, 2, 9, 0, 0, 0, 0, 0, 0, 0, 0];
const NO_TROUBLES = {
  unreachable: 0,
  tooLong: 0,
  receiveFailed: 0,
  sendFailed: 0,
  sourceGone: 0,
  unmarkedTrain: 0,
};

Deno.test("[windows T88] a receipt that fails three times and then has data gives the data", () => {
  const socket = new FakeSocket([10054, 10054, 10054, { bytes: [1, 2, 3], from: FROM }]);
  const port = socket.port(4);
  assertEquals(port.receive(16, 2048), 3);
  assertEquals(socket.memory.bytes.slice(16, 19), Uint8Array.of(1, 2, 3));
  assertEquals([port.segmentBytes, port.local.length, port.interfaceIndex], [3, 0, 0]);
  assertEquals(port.source, Uint8Array.from(FROM.slice(0, 8)));
  assertEquals(port.receive(16, 2048), -1);
  assertEquals(port.troubles.unreachable, 3);
});

Deno.test("[windows T88] what else goes wrong on receipt is counted and ends nothing", () => {
  const socket = new FakeSocket([10052, 10040, 10055, 10013, 10065, { bytes: [4], from: FROM }]);
  const port = socket.port(4);
  assertEquals(port.receive(0, 2048), 1);
  assertEquals(port.troubles, { ...NO_TROUBLES, unreachable: 1, tooLong: 1, receiveFailed: 3 });
  assertEquals(port.failure, undefined);
});

Deno.test("[windows T88] a socket that has nothing is asked once, and that is no failure however often", () => {
  const socket = new FakeSocket([]);
  const port = socket.port(4);
  for (let i = 0; i < 100; i++) assertEquals(port.receive(0, 100), -1);
  assertEquals([socket.asked, port.troubles.receiveFailed, port.failure], [100, 0, undefined]);
});

Deno.test("an empty datagram is one", () => {
  const port = new FakeSocket([{ bytes: [], from: FROM }, { bytes: [4], from: FROM }]).port(4);
  assertEquals([port.receive(0, 99), port.receive(0, 99), port.receive(0, 99)], [0, 1, -1]);
});

Deno.test("a socket that tells of nothing but closed ports leaves the others their turn, and lives", () => {
  const socket = new FakeSocket(Array(1000).fill(10054));
  const port = socket.port(4);
  assertEquals(port.receive(0, 99), -1);
  assert(socket.receipts.length > 900);
  assertEquals(port.failure, undefined);
});

Deno.test("a socket is given up when Windows says it is gone, or when nothing but errors comes of it", () => {
  for (const [code, name] of [[10050, "10050"], [10038, "10038"], [10058, "10058"], [6, "6"]] as const) {
    const port = new FakeSocket([code, { bytes: [1], from: FROM }]).port(4);
    assertEquals(port.receive(0, 99), -1);
    assert(port.failure?.startsWith("receive: ") && port.failure.includes(name), port.failure);
    assertEquals(port.receive(0, 99), -1, "and not asked again");
  }
  const socket = new FakeSocket(Array(1000).fill(10013));
  const port = socket.port(4);
  port.receive(0, 99);
  assert(port.failure?.includes("10013"), port.failure);
  assert(socket.receipts.length > 900);
});

Deno.test("a socket that fails often lives as long as something comes between", () => {
  const data = { bytes: [1], from: FROM };
  const failures = (count: number): number[] => Array(count).fill(10013);
  const port = new FakeSocket([...failures(63), data, ...failures(63), data, ...failures(64), data]).port(4);
  assertEquals([port.receive(0, 99), port.receive(0, 99)], [1, 1]);
  assertEquals(port.failure, undefined);
  assertEquals(port.receive(0, 99), -1);
  assert(port.failure?.includes("10013"), port.failure);
});

Deno.test("a socket sets the event it was given, and unsets it when that was seen", () => {
  const socket = new FakeSocket([]);
  socket.port(4).acknowledge();
  assertEquals(socket.log, ["select 7 9 1", "enumerate 7 9"]);
});

const V6 = Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7);
const V6_NAME = "23 0 202 108 0 0 0 0 254 128 0 0 0 0 0 0 0 0 0 0 0 0 0 7 3 0 0 0";

Deno.test("datagrams go to IPv4 and IPv6, also to one after the other", () => {
  const socket = new FakeSocket([], [0, 0, 10051, 10035, 10055]);
  socket.memory.bytes.set([1, 2, 3, 4, 5], 100);
  const port = socket.port(6);
  const near = { family: 6, address: V6, port: 51820, scopeId: 3, local: undefined } as const;
  assertEquals(port.send(near, 100, 1, 1), 1);
  const far = { ...near, address: V6.map((byte, i) => i === 0 ? 0x20 : byte), port: 1, scopeId: 0 };
  assertEquals(port.send(far, 101, 1, 1), 1);
  const other = "23 0 0 1 0 0 0 0 32 128 0 0 0 0 0 0 0 0 0 0 0 0 0 7 0 0 0 0";
  assertEquals(socket.log.slice(1), [`send 1 of 1 to ${V6_NAME}`, `send 1 of 2 to ${other}`]);
  assertEquals(port.send(far, 102, 1, 1), 1, "there is no way there: gone, as in a network");
  assertEquals(port.send(far, 103, 1, 1), 0, "there is no room: once more");
  assertEquals(port.send(far, 103, 1, 1), 0, "nor memory");
  assertEquals(port.troubles, { ...NO_TROUBLES, sendFailed: 1 });
});

const TO = { family: 4, address: Uint8Array.of(192, 0, 2, 9), port: 51316, scopeId: 0 } as const;
const NAME = "2 0 200 116 192 0 2 9 0 0 0 0 0 0 0 0";
const LOCAL = { address: Uint8Array.of(198, 51, 100, 4), interfaceIndex: 5 };
const SOURCE = "24 0 0 0 0 0 0 0 0 0 0 0 19 0 0 0 198 51 100 4 0 0 0 0";
const SIZE_100 = "20 0 0 0 0 0 0 0 17 0 0 0 2 0 0 0 100 0 0 0 0 0 0 0";

Deno.test("an answer leaves from where it was asked; the interface is told for link-local addresses only", () => {
  const socket = new FakeSocket([]);
  socket.port(4).send({ ...TO, local: LOCAL }, 0, 40, 40);
  assertEquals(socket.log[1], `send 40 of 0 to ${NAME} with ${SOURCE}`);
  const v6 = new FakeSocket([]);
  const local = { address: V6.with(15, 9), interfaceIndex: 3 };
  v6.port(6).send({ family: 6, address: V6, port: 51820, scopeId: 3, local }, 0, 40, 40);
  const source = `36 0 0 0 0 0 0 0 41 0 0 0 19 0 0 0 ${V6.with(15, 9).join(" ")} 3 0 0 0 0 0 0 0`;
  assertEquals(v6.log[1], `send 40 of 0 to ${V6_NAME} with ${source}`);
});

Deno.test("a source that is gone is left out, and after a while tried again", () => {
  for (const code of [10049, 10022, 10051, 10065]) {
    const socket = new FakeSocket([], [code]);
    const port = socket.port(4);
    const to = { ...TO, local: LOCAL };
    for (let i = 0; i < 1200; i++) assertEquals(port.send(to, 0, 40, 40), 40);
    const withSource = socket.log.flatMap((line, i) => line.endsWith(SOURCE) ? [i] : []);
    // Each send but the first is one call: 1024 of them without.
    assertEquals(withSource.slice(0, 2), [1, 2 + 1024], "left out from then on, and tried again after 1024");
    assertEquals(port.troubles, { ...NO_TROUBLES, sourceGone: 1 });
  }
});

Deno.test("a train goes out by one call where the system cuts it, else datagram by datagram", () => {
  const cut = new FakeSocket([]);
  assertEquals(cut.port(4, { segments: true }).send({ ...TO, local: LOCAL }, 0, 250, 100), 250);
  assertEquals(cut.log.slice(1), [`send 250 of 0 to ${NAME} with ${SOURCE} ${SIZE_100}`]);
  const each = new FakeSocket([]);
  assertEquals(each.port(4).send({ ...TO, local: undefined }, 0, 250, 100), 250);
  assertEquals(each.log.slice(1), [100, 100, 50].map((bytes) => `send ${bytes} of 0 to ${NAME}`));
});

Deno.test("datagrams that the system has are not sent twice when it has no room for the others", () => {
  const socket = new FakeSocket([], [0, 0, 10035]);
  const port = socket.port(4);
  const to = { ...TO, local: undefined };
  assertEquals(port.send(to, 0, 250, 100), 200);
  assertEquals(port.send(to, 200, 50, 100), 50);
  assertEquals(socket.log.length, 1 + 3 + 1);
});

/** What a train is refused with, what its datagrams then are, and whether there are trains afterwards. */
const REFUSALS = [
  { name: "the system cannot cut after all", codes: [10022], local: undefined, keeps: false, failed: 0 },
  { name: "no such message", codes: [10045], local: undefined, keeps: false, failed: 0 },
  { name: "too large for the way", codes: [10040], local: undefined, keeps: true, failed: 0 },
  { name: "no way there", codes: [10065, 10065, 10065, 10065], local: undefined, keeps: true, failed: 3 },
  { name: "the source is gone", codes: [10022, 10022], local: LOCAL, keeps: true, failed: 0 },
  { name: "a firewall refuses all", codes: [10013, 10013, 10013, 10013], keeps: true, failed: 3 },
] as const;

Deno.test("a train that is refused goes out one by one; whether the next is tried depends on why", async (t) => {
  for (const { name, codes, keeps, failed, ...rest } of REFUSALS) {
    await t.step(name, () => {
      const socket = new FakeSocket([], [...codes]);
      const port = socket.port(4, { segments: true });
      assertEquals(port.send({ ...TO, local: "local" in rest ? rest.local : undefined }, 0, 250, 100), 250);
      assertEquals([port.canSegment, port.troubles.sendFailed], [keeps, failed]);
    });
  }
});

Deno.test("a train that finds no room waits whole", () => {
  const socket = new FakeSocket([], [10035]);
  const port = socket.port(4, { segments: true });
  const to = { ...TO, local: undefined };
  assertEquals([port.send(to, 0, 250, 100), port.canSegment], [0, true]);
  assertEquals(port.send(to, 0, 250, 100), 250);
  assertEquals(socket.log.length, 1 + 2);
});

Deno.test("a socket that dies while sending is given up", () => {
  for (const length of [40, 250]) {
    const socket = new FakeSocket([], [10050]);
    const port = socket.port(4, { segments: true });
    assertEquals(port.send({ ...TO, local: undefined }, 0, length, 100), length);
    assertEquals(socket.log.length, 2, "nothing more is sent by it");
    assert(port.failure?.includes("10050"), port.failure);
  }
});
