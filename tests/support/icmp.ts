/** ICMP echo packets that a kernel answers. */
import { ipToBytes, parseIp } from "../../core/ip/address.ts";

const ICMP = 1;
const ICMPV6 = 58;

/** An echo request of the family of its addresses. */
export function echoRequest(
  source: string,
  destination: string,
  options: { readonly sequence: number; readonly payloadBytes?: number },
): Uint8Array {
  const [from, to] = [ipToBytes(parseIp(source)!), ipToBytes(parseIp(destination)!)];
  const isV4 = from.length === 4;
  const message = new Uint8Array(8 + (options.payloadBytes ?? 16));
  const view = new DataView(message.buffer);
  message[0] = isV4 ? 8 : 128;
  view.setUint16(4, 0x7a74);
  view.setUint16(6, options.sequence);
  const pseudo = isV4
    ? []
    : [...from, ...to, 0, 0, message.length >>> 8, message.length & 0xff, 0, 0, 0, ICMPV6];
  view.setUint16(2, checksum(Uint8Array.of(...pseudo, ...message)));
  return Uint8Array.of(
    ...(isV4 ? headerV4(from, to, message.length) : headerV6(from, to, message.length)),
    ...message,
  );
}

/** The answer to an echo request of IPv4: addresses exchanged, type 0; the checksums stay right by arithmetic. */
export function echoReplyTo(packet: Uint8Array): Uint8Array<ArrayBuffer> {
  const answer = Uint8Array.from(packet);
  answer.set(packet.subarray(12, 16), 16);
  answer.set(packet.subarray(16, 20), 12);
  answer[20] = 0;
  const view = new DataView(answer.buffer);
  const sum = view.getUint16(22) + 0x0800;
  view.setUint16(22, (sum & 0xffff) + (sum >>> 16));
  return answer;
}

/** Whether a packet of IPv4 is the answer to a request of that sequence number. */
export function isEchoReply(packet: Uint8Array, sequence: number): boolean {
  const view = new DataView(packet.buffer, packet.byteOffset);
  return packet[9] === ICMP && packet[20] === 0 && view.getUint16(26) === sequence;
}

function headerV4(from: Uint8Array, to: Uint8Array, payloadBytes: number): Uint8Array {
  const header = new Uint8Array(20);
  const view = new DataView(header.buffer);
  header[0] = 0x45;
  view.setUint16(2, 20 + payloadBytes);
  header[8] = 64;
  header[9] = ICMP;
  header.set(from, 12);
  header.set(to, 16);
  view.setUint16(10, checksum(header));
  return header;
}

function headerV6(from: Uint8Array, to: Uint8Array, payloadBytes: number): Uint8Array {
  const header = new Uint8Array(40);
  header[0] = 0x60;
  new DataView(header.buffer).setUint16(4, payloadBytes);
  header[6] = ICMPV6;
  header[7] = 64;
  header.set(from, 8);
  header.set(to, 24);
  return header;
}

/** RFC 1071. */
function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
