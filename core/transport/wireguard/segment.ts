/**
 * What a received packet is to those who join packets: TCP with data, or UDP, in IPv4 or IPv6 without options.
 *
 * @see Linux `net/ipv4/tcp_offload.c`, `net/ipv4/udp_offload.c` for what may be joined.
 */

/** Protocol number of TCP. */
export const TCP = 6;
/** Protocol number of UDP. */
export const UDP = 17;
/** Flag of TCP: hand over at once. */
export const PSH = 0x08;

const ACK = 0x10;
const IPV4_BYTES = 20;
const IPV6_BYTES = 40;
const TCP_BYTES = 20;
const UDP_BYTES = 8;

/** One packet. One object, filled again for each. */
export class Segment {
  /** TCP or UDP; 0 for anything that is not joined, and then nothing else has a meaning. */
  protocol = 0;
  /** Bytes of the IP header: 20 or 40. */
  ipBytes = 0;
  /** Bytes of both headers. */
  headerBytes = 0;
  payloadBytes = 0;
  /** Of TCP, u32. */
  sequence = 0;
  /** Whether TCP asks to hand it over at once. */
  isPushed = false;

  /** Reads a packet of at least 20 bytes. */
  read(view: DataView, packet: number, length: number): void {
    this.protocol = 0;
    const first = view.getUint8(packet);
    if (first === 0x45) {
      // Fragments: more to come, or an offset.
      if ((view.getUint16(packet + 6) & 0x3fff) === 0) {
        this.#readTransport(view, packet, length, IPV4_BYTES, view.getUint8(packet + 9));
      }
    } else if ((first >>> 4) === 6 && length >= IPV6_BYTES) {
      this.#readTransport(view, packet, length, IPV6_BYTES, view.getUint8(packet + 6));
    }
  }

  #readTransport(view: DataView, packet: number, length: number, ipBytes: number, protocol: number): void {
    this.ipBytes = ipBytes;
    if (protocol === TCP) this.#readTcp(view, packet + ipBytes, length - ipBytes);
    else if (protocol === UDP) this.#readUdp(view, packet + ipBytes, length - ipBytes);
  }

  #readTcp(view: DataView, tcp: number, available: number): void {
    if (available < TCP_BYTES) return;
    const tcpBytes = (view.getUint8(tcp + 12) >>> 4) * 4;
    const flags = view.getUint8(tcp + 13);
    if (tcpBytes < TCP_BYTES || tcpBytes >= available || (flags & ~PSH) !== ACK) return;
    this.protocol = TCP;
    this.headerBytes = this.ipBytes + tcpBytes;
    this.payloadBytes = available - tcpBytes;
    this.sequence = view.getUint32(tcp + 4);
    this.isPushed = (flags & PSH) !== 0;
  }

  #readUdp(view: DataView, udp: number, available: number): void {
    if (available <= UDP_BYTES || view.getUint16(udp + 4) !== available) return;
    // Without checksum: joined, it would get one.
    if (view.getUint16(udp + 6) === 0) return;
    this.protocol = UDP;
    this.headerBytes = this.ipBytes + UDP_BYTES;
    this.payloadBytes = available - UDP_BYTES;
    this.sequence = 0;
    this.isPushed = false;
  }
}

/**
 * Whether two packets, both of the kind that `segment` says, have equal headers but for length, identification,
 * checksums, sequence number and PSH.
 */
export function sameHeaders(view: DataView, a: number, b: number, segment: Segment): boolean {
  const { ipBytes } = segment;
  if (!(ipBytes === IPV4_BYTES ? sameIpv4(view, a, b) : sameIpv6(view, a, b))) return false;
  if (view.getUint32(a + ipBytes) !== view.getUint32(b + ipBytes)) return false;
  return segment.protocol === UDP || sameTcp(view, a + ipBytes, b + ipBytes, segment.headerBytes - ipBytes);
}

/** Version, traffic class, fragmentation flags, time to live, protocol, addresses. */
function sameIpv4(view: DataView, a: number, b: number): boolean {
  return view.getUint16(a) === view.getUint16(b) && view.getUint32(a + 6) === view.getUint32(b + 6) &&
    view.getUint32(a + 12) === view.getUint32(b + 12) && view.getUint32(a + 16) === view.getUint32(b + 16);
}

/** Version, traffic class, flow label, next header, hop limit, addresses. */
function sameIpv6(view: DataView, a: number, b: number): boolean {
  return view.getUint32(a) === view.getUint32(b) && view.getUint16(a + 6) === view.getUint16(b + 6) &&
    sameWords(view, a + 8, b + 8, 32);
}

/** Acknowledgement, flags but PSH by {@linkcode Segment.read}, window, options. */
function sameTcp(view: DataView, a: number, b: number, tcpBytes: number): boolean {
  return view.getUint32(a + 8) === view.getUint32(b + 8) &&
    (view.getUint16(a + 12) | PSH) === (view.getUint16(b + 12) | PSH) &&
    view.getUint16(a + 14) === view.getUint16(b + 14) && sameWords(view, a + 20, b + 20, tcpBytes - 20);
}

function sameWords(view: DataView, a: number, b: number, length: number): boolean {
  for (let i = 0; i < length; i += 4) {
    if (view.getUint32(a + i) !== view.getUint32(b + i)) return false;
  }
  return true;
}
