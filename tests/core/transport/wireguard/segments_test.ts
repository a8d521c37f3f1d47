/** Cutting on the way out and joining on the way in: what is cut is valid TCP, and joined again it is the same. */
import { assert, assertEquals } from "@std/assert";
import { Arena, INBOX, TUN_IN, VNET_OUT } from "../../../../core/transport/wireguard/arena.ts";
import { fold, sumWords } from "../../../../core/transport/wireguard/checksum.ts";
import { openPlain } from "../../../../core/transport/wireguard/copy_memory.ts";
import { TunPacket } from "../../../../core/transport/wireguard/tun_packet.ts";
import { type SeededRandom, seededTest } from "../../../support/seeded_random.ts";
import {
  assertChecksums,
  cutPacket,
  joinPackets,
  tcpPacket,
  udpPacket,
  VNET_BYTES,
  withoutChecksum,
} from "../../../support/tun_packets.ts";

const PSH_ACK = 0x18;

Deno.test("sumWords() agrees with RFC 1071 §3 and with a sum byte by byte", () => {
  const view = (...bytes: number[]): DataView => new DataView(Uint8Array.from(bytes).buffer);
  assertEquals(sumWords(view(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7), 0, 8), 0xddf2);
  assertEquals(sumWords(view(1), 0, 1), 0x100);
  assertEquals(sumWords(view(), 0, 0), 0);
});

seededTest("sumWords() is the naive sum at any offset and length", (random) => {
  const bytes = random.bytes(4096);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < 300; i++) {
    const offset = random.below(64);
    const length = random.below(bytes.length - offset);
    let sum = 0;
    for (let k = 0; k < length; k++) sum += bytes[offset + k]! << (k % 2 === 0 ? 8 : 0);
    // Zero has two forms in ones' complement.
    assertEquals(sumWords(view, offset, length) % 0xffff, fold(sum) % 0xffff, `${offset} ${length}`);
  }
});

function sample(random: SeededRandom, version: 4 | 6): Uint8Array {
  const payload = random.bytes(2 + random.below(20_000));
  return tcpPacket({ version, payload, sequence: random.u32(), flags: PSH_ACK, port: random.below(65536) });
}

for (const version of [4, 6] as const) {
  seededTest(
    `IPv${version}: pieces of large TCP have right headers, and joined they are what was cut`,
    (random) => {
      const arena = new Arena();
      for (let i = 0; i < 40; i++) {
        const packet = sample(random, version);
        const segmentBytes = 500 + random.below(900);
        const pieces = cutPacket(arena, packet, segmentBytes);
        for (const [k, piece] of pieces.entries()) {
          assertChecksums(piece);
          const ipBytes = version === 4 ? 20 : 40;
          assertEquals((piece[ipBytes + 13]! & 8) !== 0, k === pieces.length - 1, "PSH on the last only");
        }
        const [joined, ...more] = joinPackets(arena, pieces);
        assertEquals(more, []);
        // The checksum of TCP is left to whoever needs it; everything else is as it was.
        if (pieces.length > 1) assertEquals(withoutChecksum(joined!.bytes), withoutChecksum(packet));
        else assertEquals(joined!.bytes, packet);
        const header = new DataView(joined!.header.buffer);
        assertEquals(header.getUint8(1), pieces.length === 1 ? 0 : version === 4 ? 1 : 4);
        if (pieces.length > 1) assertEquals(header.getUint16(4, true), segmentBytes);
      }
    },
  );
}

Deno.test("what does not continue a segment is not joined to it", async (t) => {
  const payload = new Uint8Array(100).fill(1);
  const first = { payload, sequence: 1000 };
  const next = { payload, sequence: 1100 };
  const fragment = tcpPacket(next);
  fragment[6] = 0x20;
  const rows: { name: string; second: Uint8Array; want: number }[] = [
    { name: "the next segment is", second: tcpPacket(next), want: 1 },
    { name: "a gap", second: tcpPacket({ ...next, sequence: 1101 }), want: 2 },
    { name: "the same again", second: tcpPacket(first), want: 2 },
    { name: "another port", second: tcpPacket({ ...next, port: 2 }), want: 2 },
    { name: "FIN", second: tcpPacket({ ...next, flags: 0x11 }), want: 2 },
    { name: "other options", second: tcpPacket({ ...next, options: new Uint8Array(12).fill(1) }), want: 2 },
    {
      name: "options of another length",
      second: tcpPacket({ ...next, options: new Uint8Array(8) }),
      want: 2,
    },
    { name: "a longer segment", second: tcpPacket({ ...next, payload: new Uint8Array(101) }), want: 2 },
    { name: "the other family", second: tcpPacket({ ...next, version: 6 }), want: 2 },
    { name: "a fragment", second: fragment, want: 2 },
    { name: "no payload", second: tcpPacket({ ...next, payload: new Uint8Array(0) }), want: 2 },
    { name: "another protocol", second: tcpPacket(next).map((byte, i) => i === 9 ? 17 : byte), want: 2 },
    { name: "half a header", second: tcpPacket(next).slice(0, 30), want: 2 },
  ];
  for (const { name, second, want } of rows) {
    await t.step(name, () => {
      const arena = new Arena();
      const packets = joinPackets(arena, [tcpPacket(first), second]);
      assertEquals(packets.length, want);
      if (want === 2) {
        assertEquals(packets[1]!.bytes, second);
        assertEquals(packets[1]!.header, new Uint8Array(VNET_BYTES));
      }
      assert(arena.bytes.subarray(VNET_OUT, VNET_OUT + VNET_BYTES).length === VNET_BYTES);
    });
  }
});

Deno.test("nothing is joined for a device that takes no large packets", () => {
  const payload = new Uint8Array(100);
  const packets = [0, 1, 2].map((n) => tcpPacket({ payload, sequence: 1000 + n * 100 }));
  assertEquals(joinPackets(new Arena(), packets).length, 1);
  const written = joinPackets(new Arena(), packets, { takesLarge: false });
  assertEquals(written.map(({ bytes }) => bytes), packets);
});

Deno.test("a shorter segment, or PSH, ends a joined packet", () => {
  const long = new Uint8Array(100);
  const short = new Uint8Array(40);
  const packets = joinPackets(new Arena(), [
    tcpPacket({ payload: long, sequence: 0 }),
    tcpPacket({ payload: short, sequence: 100 }),
    tcpPacket({ payload: short, sequence: 140 }),
    tcpPacket({ payload: short, sequence: 180, flags: PSH_ACK }),
    tcpPacket({ payload: short, sequence: 220 }),
  ]);
  assertEquals(packets.map(({ bytes }) => bytes.length - 52), [140, 80, 40]);
  assertEquals(packets[1]!.bytes[33]! & 8, 8, "PSH is kept");
});

seededTest("TunPacket.read() of arbitrary headers makes no piece outside of the packet", (random) => {
  const arena = new Arena();
  const packet = new TunPacket();
  for (let i = 0; i < 5_000; i++) {
    const bytes = random.bytes(12 + random.below(200));
    bytes[0] = random.below(2);
    bytes[1] = random.pick([0, 1, 4, 5, 0x81]);
    arena.bytes.set(bytes, TUN_IN);
    packet.read(arena.view, TUN_IN, bytes.length);
    let total = 0;
    for (let k = 0; k < packet.count; k++) {
      const length = packet.pieceBytes(k);
      assert(length > packet.headerBytes && length <= bytes.length - 12);
      packet.copyPiece(k, INBOX, arena);
      total += length - packet.headerBytes;
    }
    if (packet.count > 0) assertEquals(total, bytes.length - 12 - packet.headerBytes);
  }
});

for (const version of [4, 6] as const) {
  seededTest(
    `IPv${version}: a train of UDP datagrams is cut into right ones, and joined it is the same`,
    (random) => {
      const arena = new Arena();
      for (let i = 0; i < 40; i++) {
        const segmentBytes = 200 + random.below(1_000);
        const payload = random.bytes(1 + random.below(segmentBytes * 40));
        const packet = udpPacket({ version, payload, port: random.below(65536) });
        const pieces = cutPacket(arena, packet, segmentBytes);
        pieces.forEach(assertChecksums);
        assertEquals(pieces.flatMap((piece) => [...piece.subarray(packet.length - payload.length)]), [
          ...payload,
        ]);
        const [joined, ...more] = joinPackets(arena, pieces);
        assertEquals(more, []);
        const header = new DataView(joined!.header.buffer);
        assertEquals(header.getUint8(1), pieces.length === 1 ? 0 : 5);
        if (pieces.length === 1) return assertEquals(joined!.bytes, packet);
        assertEquals(withoutChecksum(joined!.bytes), withoutChecksum(packet));
        assertEquals([header.getUint16(4, true), header.getUint16(8, true)], [segmentBytes, 6]);
      }
    },
  );
}

Deno.test("what does not continue a train of UDP datagrams is not joined to it", async (t) => {
  const payload = new Uint8Array(100).fill(1);
  const change = (at: number, value: number): Uint8Array => {
    const packet = udpPacket({ payload });
    packet[at] = value;
    return packet;
  };
  const withoutSum = withoutChecksum(udpPacket({ payload }));
  const rows: { name: string; second: Uint8Array; want: number; trains?: boolean }[] = [
    { name: "the next datagram is", second: udpPacket({ payload }), want: 1 },
    { name: "another identification too", second: change(5, 0x35), want: 1 },
    { name: "a shorter one too", second: udpPacket({ payload: new Uint8Array(1) }), want: 1 },
    { name: "a longer one", second: udpPacket({ payload: new Uint8Array(101) }), want: 2 },
    { name: "another port", second: udpPacket({ payload, port: 2 }), want: 2 },
    { name: "another time to live", second: change(8, 63), want: 2 },
    { name: "another traffic class", second: change(1, 1), want: 2 },
    { name: 'without "do not fragment"', second: change(6, 0), want: 2 },
    { name: "a fragment", second: change(6, 0x20), want: 2 },
    { name: "another source", second: change(15, 9), want: 2 },
    { name: "TCP", second: tcpPacket({ payload }), want: 2 },
    { name: "the other family", second: udpPacket({ payload, version: 6 }), want: 2 },
    { name: "no payload", second: udpPacket({ payload: new Uint8Array(0) }), want: 2 },
    { name: "no checksum", second: withoutSum, want: 2 },
    { name: "a length that is not the packet's", second: change(25, 107), want: 2 },
    { name: "a kernel that takes no trains", second: udpPacket({ payload }), want: 2, trains: false },
  ];
  for (const { name, second, want, trains = true } of rows) {
    await t.step(name, () => {
      const packets = joinPackets(new Arena(), [udpPacket({ payload }), second], { takesUdpTrains: trains });
      assertEquals(packets.length, want);
      if (want === 1) return;
      assertEquals(packets.map(({ bytes }) => bytes), [udpPacket({ payload }), second]);
      for (const { header } of packets) assertEquals(header, new Uint8Array(VNET_BYTES));
    });
  }
});

Deno.test("a train has at most 64 datagrams and 64 KiB, and ends with a shorter one", () => {
  const lengths = (payloads: readonly number[]): number[] =>
    joinPackets(new Arena(), payloads.map((length) => udpPacket({ payload: new Uint8Array(length) })))
      .map(({ bytes }) => bytes.length - 28);
  assertEquals(lengths(new Array(100).fill(50)), [64 * 50, 36 * 50]);
  assertEquals(lengths(new Array(48).fill(1_400)), [46 * 1_400, 2 * 1_400]);
  assertEquals(lengths([50, 50, 20, 50, 50]), [120, 100]);
});

Deno.test("a packet that stays whole gets the checksum it lacks, with and without WebAssembly", () => {
  const payload = Uint8Array.from({ length: 333 }, (_, i) => i * 31);
  for (const arena of [new Arena(), new Arena(openPlain(800_000))]) {
    for (
      const packet of [tcpPacket({ payload }), udpPacket({ payload, version: 6 }), udpPacket({ payload })]
    ) {
      assertEquals(cutPacket(arena, packet, 0), [packet]);
    }
  }
});

Deno.test("UDP whose sum is zero says so by its other zero", () => {
  const plain = udpPacket({ payload: new Uint8Array(2) });
  const view = new DataView(plain.buffer);
  // The payload takes up what the checksum was: the sum of all words is then all ones without it.
  const packet = udpPacket({ payload: Uint8Array.of(view.getUint8(26), view.getUint8(27)) });
  assertEquals(new DataView(packet.buffer).getUint16(26), 0xffff);
  assertEquals(cutPacket(new Arena(), packet, 0), [packet]);
});
