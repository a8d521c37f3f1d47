/** Cutting on the way out and joining on the way in: what is cut is valid TCP, and joined again it is the same. */
import { assert, assertEquals } from "@std/assert";
import { Arena, INBOX, TUN_IN, VNET_OUT } from "../../../../core/transport/wireguard/arena.ts";
import { fold, sumPseudoHeader, sumWords } from "../../../../core/transport/wireguard/checksum.ts";
import { Coalescer, type PacketSink } from "../../../../core/transport/wireguard/coalescer.ts";
import { TunPacket } from "../../../../core/transport/wireguard/tun_packet.ts";
import { type SeededRandom, seededTest } from "../../../support/seeded_random.ts";

const VNET_BYTES = 12;
const PSH_ACK = 0x18;

/** Takes packets as the TUN would. */
class Sink implements PacketSink {
  readonly packets: { readonly header: Uint8Array; readonly bytes: Uint8Array }[] = [];
  #pieces: [number, number][] = [];
  takesUdpTrains = true;

  constructor(readonly arena: Arena) {}

  begin(): void {
    this.#pieces = [];
  }

  add(offset: number, length: number): void {
    this.#pieces.push([offset, length]);
  }

  write(): boolean {
    const [header, ...rest] = this.#pieces.map(([at, length]) => this.arena.bytes.slice(at, at + length));
    this.packets.push({ header: header!, bytes: Uint8Array.from(rest.flatMap((piece) => [...piece])) });
    return true;
  }
}

interface Segment {
  readonly version?: 4 | 6;
  readonly payload: Uint8Array;
  readonly sequence?: number;
  readonly flags?: number;
  readonly port?: number;
  readonly options?: Uint8Array;
}

/** An IP packet with TCP, checksums right. */
function tcpPacket(
  { version = 4, payload, sequence = 1000, flags = 0x10, port = 1, options = new Uint8Array(12) }: Segment,
): Uint8Array {
  const ipBytes = version === 4 ? 20 : 40;
  const tcpBytes = 20 + options.length;
  const bytes = new Uint8Array(ipBytes + tcpBytes + payload.length);
  const view = new DataView(bytes.buffer);
  if (version === 4) {
    bytes.set([0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    view.setUint16(2, bytes.length);
    view.setUint16(10, ~sumWords(view, 0, 20) & 0xffff);
  } else {
    bytes.set([
      0x60,
      0,
      0,
      0,
      0,
      0,
      6,
      64,
      0xfd,
      ...new Array(14).fill(0),
      1,
      0xfd,
      ...new Array(14).fill(0),
      2,
    ]);
    view.setUint16(4, bytes.length - 40);
  }
  view.setUint16(ipBytes, port);
  view.setUint16(ipBytes + 2, 5201);
  view.setUint32(ipBytes + 4, sequence);
  view.setUint32(ipBytes + 8, 77);
  bytes.set([(tcpBytes / 4) << 4, flags, 1, 0], ipBytes + 12);
  bytes.set(options, ipBytes + 20);
  bytes.set(payload, ipBytes + tcpBytes);
  const length = tcpBytes + payload.length;
  const pseudo = sumPseudoHeader(view, 0, { version, protocol: 6, length });
  view.setUint16(ipBytes + 16, ~fold(pseudo + sumWords(view, ipBytes, length)) & 0xffff);
  return bytes;
}

function assertChecksums(packet: Uint8Array): void {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const version = packet[0]! >>> 4;
  const ipBytes = version === 4 ? 20 : 40;
  if (version === 4) assertEquals(sumWords(view, 0, 20), 0xffff, "IPv4 header");
  const length = packet.length - ipBytes;
  const pseudo = sumPseudoHeader(view, 0, { version, protocol: 6, length });
  assertEquals(fold(pseudo + sumWords(view, ipBytes, length)), 0xffff, "TCP");
}

/** Cuts a packet as the TUN hands it over. */
function cut(arena: Arena, packet: Uint8Array, segmentBytes: number): Uint8Array[] {
  const version = packet[0]! >>> 4;
  const ipBytes = version === 4 ? 20 : 40;
  arena.bytes.fill(0, TUN_IN, TUN_IN + VNET_BYTES);
  arena.view.setUint8(TUN_IN, 1);
  arena.view.setUint8(TUN_IN + 1, version === 4 ? 1 : 4);
  arena.view.setUint16(TUN_IN + 4, segmentBytes, true);
  arena.view.setUint16(TUN_IN + 6, ipBytes, true);
  arena.view.setUint16(TUN_IN + 8, 16, true);
  arena.bytes.set(packet, TUN_IN + VNET_BYTES);
  const cutter = new TunPacket();
  cutter.read(arena.view, TUN_IN, VNET_BYTES + packet.length);
  return Array.from({ length: cutter.count }, (_, i) => {
    cutter.copyPiece(i, INBOX, arena);
    return arena.bytes.slice(INBOX, INBOX + cutter.pieceBytes(i));
  });
}

function join(arena: Arena, packets: readonly Uint8Array[]): Sink["packets"] {
  const sink = new Sink(arena);
  const coalescer = new Coalescer(arena, sink);
  let at = INBOX;
  for (const packet of packets) {
    arena.bytes.set(packet, at);
    coalescer.add(at, packet.length);
    at += packet.length + 5;
  }
  coalescer.flush();
  return sink.packets;
}

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
        const pieces = cut(arena, packet, segmentBytes);
        for (const [k, piece] of pieces.entries()) {
          assertChecksums(piece);
          const ipBytes = version === 4 ? 20 : 40;
          assertEquals((piece[ipBytes + 13]! & 8) !== 0, k === pieces.length - 1, "PSH on the last only");
        }
        const [joined, ...more] = join(arena, pieces);
        assertEquals(more, []);
        // The checksum of TCP is left to whoever needs it; everything else is as it was.
        const at = (version === 4 ? 20 : 40) + 16;
        const want = packet.slice();
        want.fill(0, at, at + 2);
        const got = joined!.bytes.slice();
        if (pieces.length > 1) got.fill(0, at, at + 2);
        else want.set(packet.subarray(at, at + 2), at);
        assertEquals(got, want);
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
      const packets = join(arena, [tcpPacket(first), second]);
      assertEquals(packets.length, want);
      if (want === 2) {
        assertEquals(packets[1]!.bytes, second);
        assertEquals(packets[1]!.header, new Uint8Array(VNET_BYTES));
      }
      assert(arena.bytes.subarray(VNET_OUT, VNET_OUT + VNET_BYTES).length === VNET_BYTES);
    });
  }
});

Deno.test("a shorter segment, or PSH, ends a joined packet", () => {
  const long = new Uint8Array(100);
  const short = new Uint8Array(40);
  const packets = join(new Arena(), [
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
