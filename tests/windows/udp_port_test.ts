/**
 * UDP ports in `deno.exe`: on Wine's sockets, which know neither trains nor sources, and on those of the rig's fake,
 * which has both and checks every message.
 */
import { assert, assertEquals } from "@std/assert";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { PinnedBuffer } from "../../ffi/memory.ts";
import { NO_FEATURES, probeUdpFeatures } from "../../ffi/windows/udp_features.ts";
import { type UdpDestination, type UdpFeatures, WindowsUdpPort } from "../../ffi/windows/udp_port.ts";
import { WindowsUdpSocket } from "../../ffi/windows/udp_socket.ts";
import { WaitSet, WindowsEvent } from "../../ffi/windows/wait_set.ts";
import { type Ws2, ws2 } from "../../ffi/windows/ws2_32.ts";
import { FakeLibrary, fakePath } from "./support/fake_library.ts";

const LOOPBACK = {
  4: { text: "127.0.0.1", bytes: Uint8Array.of(127, 0, 0, 1) },
  6: { text: "::1", bytes: Uint8Array.of(...new Array(15).fill(0), 1) },
} as const;
/** Where what is sent lies; what is received comes before it. */
const OUT = 65_536;

/** A bound socket, its port for packets, and what to wait on. */
class Rig implements Disposable {
  readonly memory = new PinnedBuffer(2 * OUT);
  readonly #stack = new DisposableStack();
  readonly #wait: WaitSet;
  readonly io: WindowsUdpPort;
  readonly port: number;

  constructor(readonly family: 4 | 6, features: UdpFeatures, calls: Ws2 = ws2()) {
    const event = this.#stack.use(new WindowsEvent("manual"));
    const socket = WindowsUdpSocket.bind(family, 0, { calls });
    assert(socket !== undefined, `no IPv${family}`);
    this.#stack.use(socket);
    this.port = socket.port;
    this.io = new WindowsUdpPort(socket.fd, family, this.memory, { event: event.handle, features, calls });
    this.#wait = new WaitSet([event.handle]);
  }

  /** This socket, as others send to it. */
  at(local?: Uint8Array): UdpDestination {
    const address = LOOPBACK[this.family].bytes;
    return {
      family: this.family,
      address,
      port: this.port,
      scopeId: 0,
      local: local && { address: local },
    };
  }

  send(to: UdpDestination, bytes: Uint8Array, segmentBytes = bytes.length): number {
    this.memory.bytes.set(bytes, OUT);
    return this.io.send(to, OUT, bytes.length, segmentBytes);
  }

  /** Waits as a data path does. */
  receive(): Uint8Array {
    for (let i = 0; i < 100; i++) {
      const count = this.io.receive(0, OUT);
      if (count > 0) return this.memory.bytes.slice(0, count);
      if (count === 0) continue;
      this.#wait.wait(100);
      this.io.acknowledge();
    }
    throw new Error("nothing came in 10 s");
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}

const MESSAGES = { ...NO_FEATURES, messages: true };
const TRAINS = { messages: true, segments: true, coalesces: true };

function sourcePort({ source }: WindowsUdpPort): number {
  return new DataView(source.buffer, source.byteOffset).getUint16(2);
}

for (const family of [4, 6] as const) {
  for (const features of [NO_FEATURES, MESSAGES]) {
    const by = features.messages ? "WSARecvMsg" : "recvfrom";
    Deno.test(`datagrams go and come over IPv${family} by ${by}, also while nobody looks`, () => {
      using a = new Rig(family, features);
      using b = new Rig(family, features);
      for (let round = 0; round < 3; round++) {
        for (const mark of [1, 2, 3]) assertEquals(a.send(b.at(), new Uint8Array(1400).fill(mark)), 1400);
        for (const mark of [1, 2, 3]) {
          assertEquals(b.receive(), new Uint8Array(1400).fill(mark));
          assertEquals(b.io.segmentBytes, 1400);
        }
        assertEquals(sourcePort(b.io), a.port);
        assertEquals(b.io.local, features.messages ? LOOPBACK[family].bytes : new Uint8Array(0));
        assertEquals(b.io.receive(0, OUT), -1);
      }
      assertEquals(Object.values(b.io.troubles).every((count) => count === 0), true);
    });
  }

  Deno.test(`[windows T88] a port that nobody listens on, and an empty datagram, end nothing over IPv${family}`, async () => {
    using a = new Rig(family, MESSAGES);
    const closed = createSocket(family === 4 ? "udp4" : "udp6");
    closed.bind(0, LOOPBACK[family].text);
    await once(closed, "listening");
    const { port } = closed.address();
    closed.close();
    await once(closed, "close");
    for (let i = 0; i < 3; i++) a.send({ ...a.at(), port }, Uint8Array.of(1));
    a.send(a.at(), new Uint8Array(0));
    a.send(a.at(), Uint8Array.of(9));
    assertEquals(a.receive(), Uint8Array.of(9));
  });
}

Deno.test("the address that a peer reached us at is known", () => {
  using a = new Rig(4, MESSAGES);
  using b = new Rig(4, MESSAGES);
  const other = Uint8Array.of(127, 9, 8, 7);
  a.send({ ...b.at(), address: other }, Uint8Array.of(1));
  b.receive();
  assertEquals([b.io.local, b.io.interfaceIndex > 0], [other, true]);
});

Deno.test("Wine tells where datagrams came to, and has no trains", () => {
  assertEquals(probeUdpFeatures(ws2()), MESSAGES);
});

function withFake(name: string, run: (fake: FakeLibrary, calls: Ws2) => void): void {
  Deno.test(name, () => {
    using fake = new FakeLibrary("ws2_fake.dll");
    run(fake, ws2(fakePath("ws2_fake.dll")));
    fake.assertClean();
  });
}

withFake("what a system has is found out, and what it does not keep is not used", (fake, calls) => {
  const probed = (system: Record<string, boolean>): UdpFeatures => {
    fake.request("system", system);
    return probeUdpFeatures(calls);
  };
  assertEquals(probed({}), TRAINS);
  assertEquals(probed({ segments: false }), { ...TRAINS, segments: false });
  assertEquals(probed({ coalesces: false }), { ...TRAINS, coalesces: false });
  assertEquals(probed({ messages: false }), NO_FEATURES);
  assertEquals(probed({ segments: false, coalesces: false }), MESSAGES);
  assertEquals(probed({ marks: false }), { ...TRAINS, coalesces: false }, "joins, and does not say so");
  fake.request("system", {});
  fake.script({ function: "WSASendMsg", action: "fail", code: 10022, times: 0 });
  assertEquals(probeUdpFeatures(calls), NO_FEATURES);
  fake.request("unscript");
  fake.script({ function: "bind", action: "fail", code: 10013, times: 0 });
  assertEquals(probeUdpFeatures(calls), NO_FEATURES);
});

withFake("a train goes out by one call and comes by one, each datagram as it was", (fake, calls) => {
  for (const family of [4, 6] as const) {
    using a = new Rig(family, TRAINS, calls);
    using b = new Rig(family, TRAINS, calls);
    const train = Uint8Array.from({ length: 40 * 1452 + 700 }, (_, i) => i * 7);
    fake.request("sends");
    assertEquals(a.send(b.at(LOOPBACK[family].bytes), train, 1452), train.length);
    assertEquals(fake.request("sends").sends, [{
      to: LOOPBACK[family].text,
      port: b.port,
      source: LOOPBACK[family].text,
      interface: 0,
      segment: 1452,
      bytes: train.length,
    }]);
    assertEquals(b.receive(), train);
    assertEquals([b.io.segmentBytes, b.io.local], [1452, LOOPBACK[family].bytes]);
    assertEquals([b.io.receive(0, OUT), sourcePort(b.io)], [-1, a.port]);
  }
  const { trainsSent, trainsReceived } = fake.counters();
  assertEquals([trainsSent, trainsReceived], [2, 2]);
});

withFake("datagrams of two senders are not taken for one train", (_fake, calls) => {
  using a = new Rig(4, TRAINS, calls);
  using b = new Rig(4, TRAINS, calls);
  using c = new Rig(4, TRAINS, calls);
  for (const [sender, mark] of [[a, 1], [a, 2], [b, 3], [a, 4]] as const) {
    sender.send(c.at(), new Uint8Array(100).fill(mark));
  }
  const got = [1, 2, 3].map(() => [...new Set(c.receive()), c.io.segmentBytes, sourcePort(c.io)]);
  assertEquals(got, [[1, 2, 100, a.port], [3, 100, b.port], [4, 100, a.port]]);
});

withFake("a source that is gone is left out, and the datagrams arrive", (fake, calls) => {
  using a = new Rig(4, TRAINS, calls);
  using b = new Rig(4, TRAINS, calls);
  fake.request("sources", { gone: ["192.0.2.77"] });
  const to = b.at(Uint8Array.of(192, 0, 2, 77));
  for (const segmentBytes of [300, 100]) {
    assertEquals(a.send(to, new Uint8Array(300).fill(5), segmentBytes), 300);
    let bytes = 0;
    while (bytes < 300) bytes += b.receive().length;
  }
  const sources = fake.request("sends").sends.map(({ source }: { source: unknown }) => source);
  assertEquals(sources, [null, null]);
  assertEquals([a.io.canSegment, a.io.troubles.sourceGone, a.io.troubles.sendFailed], [true, 1, 0]);
});

withFake("a lone message that is not authentic ends the joining of trains", (fake, calls) => {
  fake.request("system", { marks: false });
  using a = new Rig(4, TRAINS, calls);
  using b = new Rig(4, TRAINS, calls);
  a.send(b.at(), new Uint8Array(200), 100);
  assertEquals([b.receive().length, b.io.segmentBytes], [200, 200]);
  b.io.doubtReceipt();
  b.io.doubtReceipt();
  a.send(b.at(), new Uint8Array(200), 100);
  assertEquals([b.receive().length, b.receive().length], [100, 100]);
  assertEquals([b.io.isCoalescing, b.io.troubles.unmarkedTrain], [false, 1]);
});

withFake("the fake sees what is wrong with a message", (fake, calls) => {
  using a = new Rig(4, NO_FEATURES, calls);
  fake.request("system", { segments: false });
  using b = new Rig(4, TRAINS, calls);
  b.send(a.at(), new Uint8Array(200), 100);
  const seen = fake.violations();
  assertEquals(seen, ["WSASendMsg: a train for a system that cuts none"]);
  fake.reset();
});
