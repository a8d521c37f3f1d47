import { assertEquals } from "@std/assert";
import { type FrameKind, frameKind } from "../../scripts/support/frame_kind.ts";

/** An Ethernet frame of that type around a packet, at least as long as the wire asks for. */
function frame(etherType: number, packet: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(Math.max(60, 14 + packet.length));
  bytes.set([etherType >> 8, etherType & 255], 12);
  bytes.set(packet, 14);
  return bytes;
}

const PORTS = [0xc8, 0xdc, 0xc8, 0xdd];

function v4(protocol: number, options: readonly number[] = []): number[] {
  const header = [
    0x45 + options.length / 4,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    64,
    protocol,
    0,
    0,
    192,
    0,
    2,
    1,
    192,
    0,
    2,
    2,
  ];
  return [...header, ...options, ...PORTS];
}

function v6(next: number, extension: readonly number[] = []): number[] {
  return [0x60, 0, 0, 0, 0, 0, next, 64, ...new Array<number>(32).fill(0), ...extension, ...PORTS];
}

/** Hop-by-hop options with a router alert, as multicast listener reports have them (RFC 3810 §5). */
const ROUTER_ALERT = [58, 0, 5, 2, 0, 0, 1, 0];

const ROWS: { name: string; frame: Uint8Array; want: FrameKind }[] = [
  { name: "ARP", frame: frame(0x0806, []), want: { name: "ARP" } },
  { name: "UDP over IPv4", frame: frame(0x0800, v4(17)), want: { name: "UDP", ports: [51420, 51421] } },
  {
    name: "UDP behind IPv4 options",
    frame: frame(0x0800, v4(17, [1, 1, 1, 0])),
    want: { name: "UDP", ports: [51420, 51421] },
  },
  { name: "TCP over IPv4", frame: frame(0x0800, v4(6)), want: { name: "TCP" } },
  { name: "ICMP", frame: frame(0x0800, v4(1)), want: { name: "ICMP" } },
  { name: "GRE", frame: frame(0x0800, v4(47)), want: { name: "IP protocol 47" } },
  { name: "UDP over IPv6", frame: frame(0x86dd, v6(17)), want: { name: "UDP", ports: [51420, 51421] } },
  { name: "ICMPv6", frame: frame(0x86dd, v6(58)), want: { name: "ICMPv6" } },
  { name: "a listener report", frame: frame(0x86dd, v6(0, ROUTER_ALERT)), want: { name: "ICMPv6" } },
  { name: "LLDP", frame: frame(0x88cc, []), want: { name: "ethertype 0x88cc" } },
  { name: "nothing", frame: new Uint8Array(0), want: { name: "a short frame" } },
  {
    name: "cut in the UDP header",
    frame: frame(0x86dd, v6(17)).subarray(0, 57),
    want: { name: "a short frame" },
  },
];

Deno.test("frameKind() names what a frame carries", async (t) => {
  for (const { name, frame, want } of ROWS) {
    await t.step(name, () => assertEquals(frameKind(frame), want));
  }
});

Deno.test("frameKind() takes every prefix of a frame", () => {
  for (const { frame } of ROWS) {
    for (let length = 0; length <= frame.length; length++) frameKind(frame.subarray(0, length));
  }
});
