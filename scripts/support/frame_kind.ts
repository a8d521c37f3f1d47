/** What an Ethernet frame carries, in a word or two. Pure. */

const ETHERNET_BYTES = 14;
const IPV6_BYTES = 40;

/** `linux/if_ether.h` */
const ETH_P_IP = 0x0800, ETH_P_ARP = 0x0806, ETH_P_IPV6 = 0x86dd;

/** Protocol numbers of IP (RFC 8200 §4.3 for the hop-by-hop options). */
const HOP_BY_HOP = 0, ICMP = 1, TCP = 6, UDP = 17, ICMPV6 = 58;

const NAMES: ReadonlyMap<number, string> = new Map([[ICMP, "ICMP"], [TCP, "TCP"], [ICMPV6, "ICMPv6"]]);

/** What a frame is, and for UDP its ports. */
export interface FrameKind {
  /** `ARP`, `UDP`, `TCP`, `ICMP`, `ICMPv6`, else the number in words. */
  readonly name: string;
  /** Source and destination. */
  readonly ports?: readonly [number, number];
}

/** Tells what a frame carries; one that is cut short has its own name. */
export function frameKind(frame: Uint8Array): FrameKind {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.length < ETHERNET_BYTES + 20) return { name: "a short frame" };
  switch (view.getUint16(12)) {
    case ETH_P_ARP:
      return { name: "ARP" };
    case ETH_P_IP:
      return packetKind(view, view.getUint8(ETHERNET_BYTES + 9), (view.getUint8(ETHERNET_BYTES) & 15) * 4);
    case ETH_P_IPV6: {
      const next = view.getUint8(ETHERNET_BYTES + 6);
      const at = ETHERNET_BYTES + IPV6_BYTES;
      if (next !== HOP_BY_HOP || frame.length < at + 8) return packetKind(view, next, IPV6_BYTES);
      return packetKind(view, view.getUint8(at), IPV6_BYTES + (view.getUint8(at + 1) + 1) * 8);
    }
    default:
      return { name: `ethertype 0x${view.getUint16(12).toString(16)}` };
  }
}

function packetKind(view: DataView, protocol: number, headerBytes: number): FrameKind {
  if (protocol !== UDP) return { name: NAMES.get(protocol) ?? `IP protocol ${protocol}` };
  const at = ETHERNET_BYTES + headerBytes;
  if (view.byteLength < at + 4) return { name: "a short frame" };
  return { name: "UDP", ports: [view.getUint16(at), view.getUint16(at + 2)] };
}
