/** IP packets as a TUN with `IFF_VNET_HDR` gives and takes them: made, cut, joined and checked. */
import { assertEquals } from "@std/assert";
import { type Arena, INBOX, TUN_IN } from "../../core/transport/wireguard/arena.ts";
import { fold, sumPseudoHeader, sumWords } from "../../core/transport/wireguard/checksum.ts";
import { Coalescer, type PacketSink } from "../../core/transport/wireguard/coalescer.ts";
import { TunPacket } from "../../core/transport/wireguard/tun_packet.ts";

/** Bytes of the header before a packet. */
export const VNET_BYTES = 12;
const TCP = 6;
const UDP = 17;
/** Of the header before a packet: the type for what is still to be cut. */
const GSO_TYPES: Readonly<Record<string, number>> = { "4 6": 1, "6 6": 4, "4 17": 5, "6 17": 5 };

/** A packet and the header written before it. */
export interface WrittenPacket {
  readonly header: Uint8Array;
  readonly bytes: Uint8Array;
}

/** What the TUN of a test takes; everything unless said. */
export interface SinkOptions {
  readonly takesUdpTrains?: boolean;
  readonly takesLarge?: boolean;
}

/** Takes packets as the TUN would. */
class Sink implements PacketSink {
  readonly packets: WrittenPacket[] = [];
  readonly takesUdpTrains: boolean;
  readonly takesLarge: boolean;
  readonly #arena: Arena;
  #pieces: [number, number][] = [];

  constructor(arena: Arena, { takesUdpTrains = true, takesLarge = true }: SinkOptions) {
    this.#arena = arena;
    this.takesUdpTrains = takesUdpTrains;
    this.takesLarge = takesLarge;
  }

  begin(): void {
    this.#pieces = [];
  }

  add(offset: number, length: number): void {
    this.#pieces.push([offset, length]);
  }

  write(): boolean {
    const [header, ...rest] = this.#pieces.map(([at, length]) => this.#arena.bytes.slice(at, at + length));
    this.packets.push({ header: header!, bytes: Uint8Array.from(rest.flatMap((piece) => [...piece])) });
    return true;
  }
}

/** What packets differ in. */
export interface PacketFields {
  readonly version?: 4 | 6;
  readonly payload: Uint8Array;
  /** Source port. */
  readonly port?: number;
}

/** What TCP packets differ in besides. */
export interface TcpFields extends PacketFields {
  readonly sequence?: number;
  readonly flags?: number;
  readonly options?: Uint8Array;
}

/** An IP packet with TCP, checksums right. */
export function tcpPacket(fields: TcpFields): Uint8Array {
  const { sequence = 1000, flags = 0x10, options = new Uint8Array(12) } = fields;
  const header = new Uint8Array(20 + options.length);
  const view = new DataView(header.buffer);
  view.setUint32(4, sequence);
  view.setUint32(8, 77);
  header.set([(header.length / 4) << 4, flags, 1, 0], 12);
  header.set(options, 20);
  return ipPacket(fields, TCP, header);
}

/** An IP packet with UDP, checksums right. */
export function udpPacket(fields: PacketFields): Uint8Array {
  const header = new Uint8Array(8);
  new DataView(header.buffer).setUint16(4, 8 + fields.payload.length);
  return ipPacket(fields, UDP, header);
}

function ipPacket(
  { version = 4, payload, port = 1 }: PacketFields,
  protocol: number,
  header: Uint8Array,
): Uint8Array {
  const ip = version === 4
    ? [0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]
    : [0x60, 0, 0, 0, 0, 0, protocol, 64, ...ulaOf(1), ...ulaOf(2)];
  const bytes = Uint8Array.from([...ip, ...header, ...payload]);
  const view = new DataView(bytes.buffer);
  const length = bytes.length - ip.length;
  if (version === 4) {
    view.setUint16(2, bytes.length);
    view.setUint16(10, ~sumWords(view, 0, 20) & 0xffff);
  } else {
    view.setUint16(4, length);
  }
  view.setUint16(ip.length, port);
  view.setUint16(ip.length + 2, 5201);
  const sum = sumPseudoHeader(view, 0, { version, protocol, length }) + sumWords(view, ip.length, length);
  view.setUint16(checksumField(bytes), ~fold(sum) & 0xffff || 0xffff);
  return bytes;
}

function ulaOf(last: number): number[] {
  return [0xfd, ...new Array(14).fill(0), last];
}

/** Bytes of the IP header. */
export function ipBytesOf(packet: Uint8Array): number {
  return packet[0]! >>> 4 === 4 ? 20 : 40;
}

/** Protocol in the IP header. */
export function protocolOf(packet: Uint8Array): number {
  return packet[packet[0]! >>> 4 === 4 ? 9 : 6]!;
}

/** Where the checksum of TCP or UDP is. */
export function checksumField(packet: Uint8Array): number {
  return ipBytesOf(packet) + (protocolOf(packet) === TCP ? 16 : 6);
}

/** Fails unless the checksums of a packet are right. */
export function assertChecksums(packet: Uint8Array): void {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const version = packet[0]! >>> 4;
  const ipBytes = ipBytesOf(packet);
  if (version === 4) assertEquals(sumWords(view, 0, 20), 0xffff, "IPv4 header");
  const length = packet.length - ipBytes;
  const pseudo = sumPseudoHeader(view, 0, { version, protocol: protocolOf(packet), length });
  assertEquals(fold(pseudo + sumWords(view, ipBytes, length)), 0xffff, "TCP or UDP");
}

/**
 * Puts a packet where the TUN would, lacking its checksum, and cuts it.
 *
 * @param segmentBytes Payload of each piece; 0 for a packet that stays whole.
 */
export function cutPacket(arena: Arena, packet: Uint8Array, segmentBytes: number): Uint8Array[] {
  const ipBytes = ipBytesOf(packet);
  const protocol = protocolOf(packet);
  const { bytes, view } = arena;
  bytes.fill(0, TUN_IN, TUN_IN + VNET_BYTES);
  view.setUint8(TUN_IN, 1);
  view.setUint8(TUN_IN + 1, segmentBytes === 0 ? 0 : GSO_TYPES[`${packet[0]! >>> 4} ${protocol}`]!);
  view.setUint16(TUN_IN + 4, segmentBytes, true);
  view.setUint16(TUN_IN + 6, ipBytes, true);
  view.setUint16(TUN_IN + 8, checksumField(packet) - ipBytes, true);
  const at = TUN_IN + VNET_BYTES;
  bytes.set(packet, at);
  const version = packet[0]! >>> 4;
  const pseudo = sumPseudoHeader(view, at, { version, protocol, length: packet.length - ipBytes });
  view.setUint16(at + checksumField(packet), pseudo);
  const cutter = new TunPacket();
  cutter.read(view, TUN_IN, VNET_BYTES + packet.length);
  return Array.from({ length: cutter.count }, (_, i) => {
    cutter.copyPiece(i, INBOX, arena);
    return bytes.slice(INBOX, INBOX + cutter.pieceBytes(i));
  });
}

/** What becomes of packets that were received together. */
export function joinPackets(
  arena: Arena,
  packets: readonly Uint8Array[],
  options: SinkOptions = {},
): WrittenPacket[] {
  const sink = new Sink(arena, options);
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

/** A packet with zeros for the checksum of TCP or UDP, which a joined one does not have. */
export function withoutChecksum(packet: Uint8Array): Uint8Array {
  const copy = packet.slice();
  copy.fill(0, checksumField(packet), checksumField(packet) + 2);
  return copy;
}
