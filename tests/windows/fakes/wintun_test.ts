/** The fake Wintun: rings, events, last errors, and planted mistakes. */
import { assert, assertEquals } from "@std/assert";
import { FakeLibrary } from "../support/fake_library.ts";
import { hex, packet, WintunCalls } from "../support/wintun_calls.ts";

const CAPACITY = 0x20000;
const NO_MORE_ITEMS = 259;
const HANDLE_EOF = 38;
const BUFFER_OVERFLOW = 111;

function wintunTest(
  name: string,
  run: (wintun: WintunCalls, fake: FakeLibrary) => void | Promise<void>,
): void {
  Deno.test(`fake Wintun: ${name}`, async () => {
    using fake = new FakeLibrary("wintun.dll");
    using wintun = new WintunCalls();
    await run(wintun, fake);
    fake.assertClean();
  });
}

wintunTest("an adapter has name, type, GUID and LUID, and goes when it is closed", (wintun, fake) => {
  const guid = "aabbccdd-eeff-5011-8233-445566778899";
  assertEquals(wintun.driverVersion(), 0);
  const adapter = wintun.create("zl-1-g", "ZLayer", guid);
  const luid = wintun.luid(adapter);
  assertEquals(luid >> 48n, 53n);
  assertEquals(wintun.driverVersion(), 14);
  const [row] = fake.request("adapters").adapters;
  assertEquals(row, {
    name: "zl-1-g",
    tunnelType: "ZLayer",
    guid,
    luid: `${luid}`,
    session: false,
    capacity: 0,
  });
  wintun.closeAdapter(adapter);
  assertEquals(fake.request("adapters").adapters, []);
  assertEquals(fake.calls(), ["WintunCreateAdapter", "WintunCloseAdapter"]);
});

wintunTest(
  "bad names and taken GUIDs are refused; a taken name makes the other one's change",
  (wintun, fake) => {
    const guid = crypto.randomUUID();
    assertEquals([wintun.tryCreate("", "ZLayer", guid), wintun.lastError], [null, 87]);
    assertEquals([wintun.tryCreate("x".repeat(128), "ZLayer", guid), wintun.lastError], [null, 87]);
    assertEquals([wintun.tryOpen("zl-1-g"), wintun.lastError], [null, 1168]);
    const first = wintun.create("zl-1-g", "ZLayer", guid);
    assertEquals([wintun.tryCreate("zl-2-g", "ZLayer", guid), wintun.lastError], [null, 183]);
    const second = wintun.create("zl-1-g", "ZLayer", crypto.randomUUID());
    const names = fake.request("adapters").adapters.map((one: { name: string }) => one.name).sort();
    assertEquals(names, ["zl-1-g", "zl-1-g 1"]);
    const opened = wintun.tryOpen("zl-1-g 1");
    wintun.closeAdapter(opened);
    assertEquals(fake.request("adapters").adapters.length, 2);
    for (const adapter of [first, second]) wintun.closeAdapter(adapter);
  },
);

wintunTest("a session needs a power of two between 128 KiB and 64 MiB, and is the only one", (wintun) => {
  const adapter = wintun.create("zl-1-g", "ZLayer", crypto.randomUUID());
  for (const capacity of [0x10000, 3 << 20, 128 << 20]) {
    assertEquals([wintun.tryStart(adapter, capacity), wintun.lastError], [null, 87]);
  }
  const session = wintun.tryStart(adapter, 0x400000);
  assert(session !== null);
  assertEquals([wintun.tryStart(adapter, CAPACITY), wintun.lastError], [null, 1247]);
  wintun.end(session);
  wintun.closeAdapter(adapter);
});

/** Runs with one adapter and one session. */
function sessionTest(
  name: string,
  run: (wintun: WintunCalls, session: Deno.PointerObject, fake: FakeLibrary) => void | Promise<void>,
): void {
  wintunTest(name, async (wintun, fake) => {
    const adapter = wintun.create("zl-1-g", "ZLayer", crypto.randomUUID());
    const session = wintun.tryStart(adapter, CAPACITY);
    assert(session !== null);
    await run(wintun, session, fake);
    wintun.end(session);
    wintun.closeAdapter(adapter);
  });
}

sessionTest("packets come in order; space is freed in order, releases in any", (wintun, session, fake) => {
  assertEquals([wintun.receive(session), wintun.lastError], [undefined, NO_MORE_ITEMS]);
  const big = Array.from({ length: 3 }, (_, n) => packet(40_000, n));
  const more = { packets: [...big.map(hex), hex(packet(40_000, 3))] };
  const { queued, dropped } = fake.request("inject", more);
  assertEquals([queued, dropped], [3, 1]);
  const held = big.map(() => wintun.receive(session));
  assertEquals(held.map((one) => one?.bytes), big);
  assertEquals(wintun.receive(session), undefined);
  for (const n of [2, 1]) wintun.release(session, held[n]!.pointer);
  assertEquals(fake.request("inject", { packets: [hex(packet(40_000, 4))] }).dropped, 1);
  wintun.release(session, held[0]!.pointer);
  assertEquals(fake.request("inject", { packets: [hex(packet(40_000, 4))] }).queued, 1);
  const last = wintun.receive(session);
  assertEquals(last?.bytes, packet(40_000, 4));
  wintun.release(session, last!.pointer);
});

sessionTest("the event is set when a packet comes to a reader that found none", (wintun, session, fake) => {
  const event = wintun.readWaitEvent(session);
  assertEquals(wintun.wait(event), false);
  fake.request("inject", { packets: [hex(packet(20, 1)), hex(packet(20, 2))] });
  assertEquals([wintun.wait(event), wintun.wait(event)], [true, false]);
  wintun.release(session, wintun.receive(session)!.pointer);
  fake.request("inject", { packets: [hex(packet(20, 3))] });
  assertEquals(wintun.wait(event), false, "the reader has not seen the ring empty");
  for (let i = 0; i < 2; i++) wintun.release(session, wintun.receive(session)!.pointer);
  assertEquals(wintun.receive(session), undefined);
  fake.request("inject", { packets: [hex(packet(20, 4))] });
  assertEquals(wintun.wait(event), true);
  wintun.release(session, wintun.receive(session)!.pointer);
});

sessionTest(
  "packets are sent in the order of their allocation, and a full ring says so",
  (wintun, session, fake) => {
    const first = wintun.allocate(session, packet(20, 1));
    const second = wintun.allocate(session, packet(30, 2));
    wintun.send(session, second);
    assertEquals(fake.request("take").packets, []);
    wintun.send(session, first);
    assertEquals(fake.request("take").packets, [hex(packet(20, 1)), hex(packet(30, 2))]);
    fake.request("stall");
    for (let i = 0; i < 2; i++) wintun.send(session, wintun.allocate(session, packet(60_000, i)));
    assertEquals([wintun.allocate(session, packet(60_000, 3)), wintun.lastError], [null, BUFFER_OVERFLOW]);
    fake.request("stall", { on: false });
    wintun.send(session, wintun.allocate(session, packet(60_000, 3)));
    assertEquals(fake.request("take").packets.length, 3);
  },
);

sessionTest("an adapter that vanishes wakes the reader and ends both directions", (wintun, session, fake) => {
  const event = wintun.readWaitEvent(session);
  fake.request("inject", { packets: [hex(packet(20, 1))] });
  fake.request("vanish");
  assertEquals(wintun.wait(event), true);
  assertEquals([wintun.receive(session), wintun.lastError], [undefined, HANDLE_EOF]);
  assertEquals([wintun.allocate(session, packet(20, 1)), wintun.lastError], [null, HANDLE_EOF]);
});

sessionTest("errors can be ordered", (wintun, session, fake) => {
  fake.request("receiveError", { code: 13 });
  assertEquals([wintun.receive(session), wintun.lastError], [undefined, 13]);
  fake.request("allocateError", { code: BUFFER_OVERFLOW, times: 2 });
  for (let i = 0; i < 2; i++) {
    assertEquals([wintun.allocate(session, packet(20, 1)), wintun.lastError], [null, BUFFER_OVERFLOW]);
  }
  wintun.send(session, wintun.allocate(session, packet(20, 1)));
});

const MISTAKES: {
  name: string;
  make: (wintun: WintunCalls, session: Deno.PointerObject) => void;
  want: string[];
}[] = [
  {
    name: "a packet is held when the session ends",
    make: (wintun, session) => void wintun.receive(session),
    want: ["WintunEndSession: 1 received packets are held"],
  },
  {
    name: "a packet was never sent",
    make: (wintun, session) => void wintun.allocate(session, packet(20, 1)),
    want: ["WintunEndSession: 1 allocated packets were not sent"],
  },
  {
    name: "a packet is released twice",
    make: (wintun, session) => {
      const held = wintun.receive(session);
      for (let i = 0; i < 2; i++) wintun.release(session, held!.pointer);
    },
    want: ["WintunReleaseReceivePacket: no packet that is held"],
  },
  {
    name: "a packet is sent twice",
    make: (wintun, session) => {
      const pointer = wintun.allocate(session, packet(20, 1));
      for (let i = 0; i < 2; i++) wintun.send(session, pointer);
    },
    want: ["WintunSendPacket: no packet that was allocated"],
  },
  {
    name: "a packet of no bytes",
    make: (wintun, session) => void wintun.allocate(session, new Uint8Array()),
    want: ["WintunAllocateSendPacket: of 0 bytes"],
  },
  {
    name: "no IP packet",
    make: (wintun, session) => wintun.send(session, wintun.allocate(session, new Uint8Array(20))),
    want: ["WintunSendPacket: no IPv4 or IPv6 packet"],
  },
  {
    name: "the event is closed",
    make: (wintun, session) => wintun.closeHandle(wintun.readWaitEvent(session)),
    want: ["WintunEndSession: its event was closed by the program"],
  },
];

Deno.test("fake Wintun: planted mistakes are seen", async (t) => {
  using fake = new FakeLibrary("wintun.dll");
  using wintun = new WintunCalls();
  for (const { name, make, want } of MISTAKES) {
    await t.step(name, () => {
      fake.reset();
      const adapter = wintun.create("zl-1-g", "ZLayer", crypto.randomUUID());
      const session = wintun.tryStart(adapter, CAPACITY);
      assert(session !== null);
      fake.request("inject", { packets: [hex(packet(20, 1))] });
      make(wintun, session);
      wintun.end(session);
      wintun.closeAdapter(adapter);
      assertEquals(fake.violations(), want);
    });
  }
  await t.step("closed too early, used too late", () => {
    fake.reset();
    const adapter = wintun.create("zl-1-g", "ZLayer", crypto.randomUUID());
    const session = wintun.tryStart(adapter, CAPACITY);
    assert(session !== null);
    wintun.closeAdapter(adapter);
    assertEquals(fake.counters().sessionsOpen, 1);
    wintun.end(session);
    wintun.receive(session);
    wintun.closeAdapter(adapter);
    assertEquals(fake.violations(), [
      "WintunCloseAdapter: its session has not been ended",
      "WintunReceivePacket: the session was ended before",
      "WintunCloseAdapter: the adapter was closed before",
    ]);
  });
  fake.reset();
});

Deno.test("fake Wintun: the fast way in and out, and the logger", async () => {
  using fake = new FakeLibrary("wintun.dll");
  using wintun = new WintunCalls();
  const lines = await wintun.logged(() => {
    const adapter = wintun.create("zl-1-g", "ZLayer", crypto.randomUUID());
    const session = wintun.tryStart(adapter, CAPACITY);
    assert(session !== null);
    const given = packet(100, 1);
    assertEquals(wintun.inject(given), true);
    const held = wintun.receive(session);
    wintun.release(session, held!.pointer);
    assertEquals(held?.bytes, given);
    wintun.send(session, wintun.allocate(session, given));
    assertEquals(wintun.take(), given);
    assertEquals(wintun.take(), undefined);
    wintun.end(session);
    wintun.closeAdapter(adapter);
  });
  assertEquals(lines, ["0 Creating adapter", "0 Removing adapter"]);
  fake.assertClean();
});
