/**
 * What the sender of a packet is told that goes nowhere: ICMP host unreachable, or ICMPv6 address unreachable, as
 * the kernel's WireGuard does. So a program learns at once what it would else learn by waiting.
 *
 *     IP header      from the destination of the packet to its source
 *     ICMP           u8 type, u8 code, u16 checksum, u32 zero, start of the packet
 *
 * The answer comes from the destination, as the device knows no address of its own.
 *
 * @see RFC 792; RFC 1122 §3.2.2; RFC 4443 §2.4, §3.1; Linux `drivers/net/wireguard/device.c`.
 */

import { IPV4_DESTINATION, IPV4_SOURCE, IPV6_DESTINATION, IPV6_SOURCE, ipVersion } from "./ip_packet.ts";

const ICMP = 1;
const ICMPV6 = 58;
const ICMP_BYTES = 8;
const HOP_LIMIT = 64;
/** What every host takes: RFC 1122 §3.2.2, RFC 4443 §2.4. */
const MAX_BYTES = { 4: 576, 6: 1280 } as const;
/** Types that are errors themselves, which are never answered. */
const IPV4_ERRORS: ReadonlySet<number> = new Set([3, 4, 5, 11, 12]);
const FIRST_IPV6_INFORMATION = 128;
const IPV6_REDIRECT = 137;
/** Protocols with nothing between them and the IPv6 header; what follows others is not looked for. */
const IPV6_PROTOCOLS: ReadonlySet<number> = new Set([6, 17, ICMPV6]);

/** Bytes of a packet that an answer needs at most. */
export const QUOTED_BYTES: number = MAX_BYTES[6] - 40 - ICMP_BYTES;

/** Answers in a second; a scan of a network that is not there asks for many more. */
const ANSWERS_PER_SECOND = 100;

/** Answers of a device, so many and no more. */
export class UnreachableAnswers {
  #second = -1;
  #count = 0;

  /** The answer to a packet; undefined if it is to have none. @param packet Its start, or all of it. */
  answer(packet: Uint8Array, now: number): Uint8Array | undefined {
    const second = Math.floor(now / 1000);
    if (second !== this.#second) this.#count = 0;
    this.#second = second;
    if (this.#count >= ANSWERS_PER_SECOND) return undefined;
    const answer = unreachable(packet);
    if (answer !== undefined) this.#count++;
    return answer;
  }
}

/** The answer to a packet, if it is of a kind that may be answered. */
export function unreachable(packet: Uint8Array): Uint8Array | undefined {
  switch (ipVersion(packet, 0, packet.length)) {
    case 4:
      return mayAnswerIpv4(packet) ? answerIpv4(packet) : undefined;
    case 6:
      return mayAnswerIpv6(packet) ? answerIpv6(packet) : undefined;
    default:
      return undefined;
  }
}

function mayAnswerIpv4(packet: Uint8Array): boolean {
  const headerBytes = (packet[0]! & 0xf) * 4;
  const fragmentOffset = ((packet[6]! & 0x1f) << 8) | packet[7]!;
  if (headerBytes < 20 || packet.length < headerBytes + 8 || fragmentOffset !== 0) return false;
  if (packet[9] === ICMP && IPV4_ERRORS.has(packet[headerBytes]!)) return false;
  const [source, destination] = [packet[IPV4_SOURCE]!, packet[IPV4_DESTINATION]!];
  return source !== 0 && source !== 127 && source < 224 && destination < 224;
}

function mayAnswerIpv6(packet: Uint8Array): boolean {
  const protocol = packet[6]!;
  if (!IPV6_PROTOCOLS.has(protocol) || packet.length < 48) return false;
  const type = packet[40]!;
  if (protocol === ICMPV6 && (type < FIRST_IPV6_INFORMATION || type === IPV6_REDIRECT)) return false;
  const isUnspecified = packet.subarray(IPV6_SOURCE, IPV6_SOURCE + 16).every((byte) => byte === 0);
  return !isUnspecified && packet[IPV6_SOURCE] !== 0xff && packet[IPV6_DESTINATION] !== 0xff;
}

function answerIpv4(packet: Uint8Array): Uint8Array {
  const answer = quoting(packet, 20, MAX_BYTES[4]);
  const view = new DataView(answer.buffer);
  answer[0] = 0x45;
  view.setUint16(2, answer.length);
  answer[8] = HOP_LIMIT;
  answer[9] = ICMP;
  answer.set(packet.subarray(IPV4_DESTINATION, IPV4_DESTINATION + 4), IPV4_SOURCE);
  answer.set(packet.subarray(IPV4_SOURCE, IPV4_SOURCE + 4), IPV4_DESTINATION);
  view.setUint16(10, checksum(answer.subarray(0, 20), 0));
  // Type 3, code 1: destination unreachable, host.
  answer.set([3, 1], 20);
  view.setUint16(22, checksum(answer.subarray(20), 0));
  return answer;
}

function answerIpv6(packet: Uint8Array): Uint8Array {
  const answer = quoting(packet, 40, MAX_BYTES[6]);
  const view = new DataView(answer.buffer);
  answer[0] = 0x60;
  view.setUint16(4, answer.length - 40);
  answer[6] = ICMPV6;
  answer[7] = HOP_LIMIT;
  answer.set(packet.subarray(IPV6_DESTINATION, IPV6_DESTINATION + 16), IPV6_SOURCE);
  answer.set(packet.subarray(IPV6_SOURCE, IPV6_SOURCE + 16), IPV6_DESTINATION);
  // Type 1, code 3: destination unreachable, address. The checksum counts addresses, length and protocol in.
  answer.set([1, 3], 40);
  view.setUint16(42, checksum(answer.subarray(IPV6_SOURCE), answer.length - 40 + ICMPV6));
  return answer;
}

/** Room for headers, then as much of the packet as fits. */
function quoting(packet: Uint8Array, headerBytes: number, maxBytes: number): Uint8Array<ArrayBuffer> {
  const quoted = packet.subarray(0, maxBytes - headerBytes - ICMP_BYTES);
  const answer = new Uint8Array(headerBytes + ICMP_BYTES + quoted.length);
  answer.set(quoted, headerBytes + ICMP_BYTES);
  return answer;
}

/** @see RFC 1071. */
function checksum(bytes: Uint8Array, initial: number): number {
  let sum = initial;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
