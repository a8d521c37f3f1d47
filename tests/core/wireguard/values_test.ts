/** The small values: timestamps, endpoints, packets, staged packets, bytes. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { compareBytes, equalBytes, hex, isZero } from "../../../core/wireguard/bytes.ts";
import { PeerEndpoint } from "../../../core/wireguard/endpoint.ts";
import { packetLength } from "../../../core/wireguard/ip_packet.ts";
import { StagedPackets, StagingRoom } from "../../../core/wireguard/staged_packets.ts";
import { decodeTai64n, encodeTai64n, TimestampSource } from "../../../core/wireguard/tai64n.ts";
import { toHex } from "../../support/golden.ts";
import { seededTest } from "../../support/seeded_random.ts";
import { endpoint, ipPacket } from "../../support/sim_wireguard.ts";

Deno.test("encodeTai64n() agrees with the page that defines TAI64", () => {
  // https://cr.yp.to/libtai/tai64.html: 1992-06-02 08:07:09 TAI (08:06:43 UTC as clocks with leap seconds count).
  assertEquals(toHex(encodeTai64n(0n)), "40 00 00 00 00 00 00 0a 00 00 00 00");
  const nanos = 1_700_000_000_123_456_789n;
  assertEquals(decodeTai64n(encodeTai64n(nanos)), nanos);
});

Deno.test("TimestampSource rises always: clock at rest, ahead and set back", () => {
  let wall = 1_700_000_000_000;
  const source = new TimestampSource(() => wall);
  const labels: Uint8Array[] = [];
  for (const step of [0, 0, 1, 1, 5_000, -86_400_000, 0, 1, 86_500_000]) {
    wall += step;
    labels.push(source.next());
  }
  for (let i = 1; i < labels.length; i++) assert(compareBytes(labels[i]!, labels[i - 1]!) > 0, `label ${i}`);
  assertEquals(decodeTai64n(labels.at(-1)!) / 1_000_000_000n, BigInt(wall) / 1000n, "back on the clock");
});

seededTest(
  "TimestampSource gives no time finer than 2^24 ns and no nanoseconds of a second or more",
  (random) => {
    for (let i = 0; i < 200; i++) {
      const wall = 1_700_000_000_000 + random.below(1e9);
      const nanos = decodeTai64n(new TimestampSource(() => wall).next());
      assertEquals((nanos % 1_000_000_000n) % (1n << 24n), 0n);
      const behind = BigInt(wall) * 1_000_000n - nanos;
      assert(behind >= 0n && behind < 1n << 24n);
    }
  },
);

Deno.test("PeerEndpoint prints, compares and is immutable", () => {
  assertEquals(endpoint("192.0.2.1").toString(), "192.0.2.1:51820");
  assertEquals(endpoint("2001:db8::1", 1).toString(), "[2001:db8::1]:1");
  const bytes = Uint8Array.of(192, 0, 2, 1);
  const one = new PeerEndpoint(bytes, 51820);
  bytes.fill(0);
  assert(one.equals(endpoint("192.0.2.1")));
  for (const other of [endpoint("192.0.2.2"), endpoint("192.0.2.1", 1), endpoint("2001:db8::1")]) {
    assertEquals(one.equals(other), false, other.toString());
  }
  assertEquals(toHex(one.toBytes()), "c0 00 02 01 ca 6c");
});

Deno.test("PeerEndpoint tells our own address and the scope apart", () => {
  const address = endpoint("fe80::1").address;
  const local = { address: endpoint("fe80::2").address, interfaceIndex: 3 };
  const plain = new PeerEndpoint(address, 1);
  const sticky = new PeerEndpoint(address, 1, { local });
  assertEquals(plain.equals(sticky), false);
  assert(sticky.equals(new PeerEndpoint(address, 1, { local: { ...local } })));
  assertEquals(
    sticky.equals(new PeerEndpoint(address, 1, { local: { ...local, interfaceIndex: 4 } })),
    false,
  );
  assert(sticky.withoutLocal().equals(plain));
  assertEquals(plain.withoutLocal(), plain);
  assertEquals(plain.equals(new PeerEndpoint(address, 1, { scopeId: 2 })), false);
});

Deno.test("PeerEndpoint refuses addresses and ports that cannot be", () => {
  assertThrows(() => new PeerEndpoint(new Uint8Array(5), 1), RangeError);
  for (const port of [-1, 65_536, 1.5]) {
    assertThrows(() => new PeerEndpoint(new Uint8Array(4), port), RangeError);
  }
});

Deno.test("packetLength() reads the header's length and leaves padding out", () => {
  for (const [from, to] of [["10.0.0.1", "10.0.0.2"], ["fd00::1", "fd00::2"]] as const) {
    const packet = ipPacket(from, to, new Uint8Array(5));
    const padded = Uint8Array.of(7, 7, ...packet, 0, 0, 0);
    assertEquals(packetLength(padded, 2, packet.length + 3), packet.length);
    assertEquals(packetLength(padded, 2, packet.length), packet.length);
    assertEquals(packetLength(padded, 2, packet.length - 1), 0, "cut short");
    assertEquals(packetLength(padded, 2, 19), 0);
  }
  const tooShort = ipPacket("10.0.0.1", "10.0.0.2", new Uint8Array(0));
  tooShort[3] = 19;
  assertEquals(packetLength(tooShort, 0, 20), 0, "a length below the header's");
  assertEquals(packetLength(ipPacket("fd00::1", "fd00::2", new Uint8Array(0)), 0, 39), 0);
  assertEquals(packetLength(new Uint8Array(40), 0, 40), 0, "version 0");
});

Deno.test("StagedPackets keeps 128 packets and a mebibyte, copies, and hands all over", () => {
  const staged = new StagedPackets();
  const packet = Uint8Array.of(2);
  assertEquals(staged.push(Uint8Array.of(0)), 0);
  for (let i = 1; i < 128; i++) assertEquals(staged.push(Uint8Array.of(i)), 0);
  assertEquals([staged.push(Uint8Array.of(128)), staged.size], [1, 128]);
  assertEquals(staged.takeAll().map(([byte]) => byte), Array.from({ length: 128 }, (_, i) => i + 1));
  staged.push(packet);
  packet[0] = 3;
  assertEquals(staged.takeAll(), [Uint8Array.of(2)], "a copy");
  assertEquals([staged.size, staged.takeAll()], [0, []]);
  const huge = new Uint8Array(400_000);
  assertEquals([staged.push(huge), staged.push(huge), staged.push(huge), staged.size], [0, 0, 1, 2]);
  assertEquals([staged.push(new Uint8Array(3_000_000)), staged.size], [2, 1], "one always stays");
});

Deno.test("StagedPackets of a device share 16 MiB; the packet that waits longest goes, whoever's it is", () => {
  const room = new StagingRoom();
  const peers = Array.from({ length: 1_000 }, () => new StagedPackets(room));
  let dropped = 0;
  for (let i = 0; i < 128; i++) for (const peer of peers) dropped += peer.push(new Uint8Array(1_400));
  const held = peers.reduce((sum, { size }) => sum + size, 0);
  assertEquals(held + dropped, 128_000, "each is held or counted");
  assert(room.bytes <= 16 << 20 && room.bytes > 15 << 20, `${room.bytes} bytes`);
  assert(peers.every(({ size }) => size === 10 || size === 11), "all fare alike");
  const newcomer = new StagedPackets(room);
  for (let i = 0; i < 128; i++) assertEquals(newcomer.push(Uint8Array.of(i)) <= 1, true);
  assertEquals(newcomer.takeAll().map(([byte]) => byte), Array.from({ length: 128 }, (_, i) => i));
  for (const peer of peers) peer.takeAll();
  assertEquals(room.bytes, 0);
  assertEquals([newcomer.push(new Uint8Array(20 << 20)), newcomer.size], [0, 1], "one always stays");
});

seededTest("StagingRoom loses exactly what waits longest, however packets come and go", (random) => {
  const room = new StagingRoom();
  const peers = Array.from({ length: 5 }, () => new StagedPackets(room));
  const most = (16 << 20) - 128;
  let model: { readonly owner: number; readonly mark: number; readonly isHuge: boolean }[] = [];
  for (let mark = 0; mark < 3_000; mark++) {
    const owner = random.below(peers.length);
    const own = (): typeof model => model.filter((entry) => entry.owner === owner);
    const roll = random.below(100);
    if (roll < 70) {
      // A huge one leaves no room for others, and the next one needs its room.
      const isHuge = roll === 0;
      const packet = new Uint8Array(isHuge ? most : 4);
      new DataView(packet.buffer).setUint32(0, mark);
      peers[owner]!.push(packet);
      if (isHuge || model[0]?.isHuge) model = [];
      if (own().length === 128) model.splice(model.indexOf(own()[0]!), 1);
      model.push({ owner, mark, isHuge });
    } else if (roll < 90) {
      peers[owner]!.dropOldest();
      const [oldest] = own();
      if (oldest) model.splice(model.indexOf(oldest), 1);
    } else {
      const marks = peers[owner]!.takeAll().map((packet) => new DataView(packet.buffer).getUint32(0));
      assertEquals(marks, own().map((entry) => entry.mark));
      model = model.filter((entry) => entry.owner !== owner);
    }
    for (const [i, { size }] of peers.entries()) {
      assertEquals(size, model.filter((entry) => entry.owner === i).length, `step ${mark}`);
    }
  }
});

Deno.test("bytes: comparisons", () => {
  assertEquals([isZero(new Uint8Array(3)), isZero(Uint8Array.of(0, 0, 1)), isZero(new Uint8Array(0))], [
    true,
    false,
    true,
  ]);
  assertEquals(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2)), true);
  assertEquals(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3)), false);
  assertEquals(equalBytes(Uint8Array.of(1), Uint8Array.of(1, 0)), false);
  assertEquals(Math.sign(compareBytes(Uint8Array.of(1, 255), Uint8Array.of(2, 0))), -1);
  assertEquals(hex(Uint8Array.of(0, 10, 255)), "000aff");
});
