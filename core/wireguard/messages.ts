/**
 * The four messages on the wire. All numbers are little-endian.
 *
 *     initiation   148  type 1 | 000 | sender u32 | ephemeral 32 | static 32+16 | timestamp 12+16 | mac1 16 | mac2 16
 *     response      92  type 2 | 000 | sender u32 | receiver u32 | ephemeral 32 | empty 0+16 | mac1 16 | mac2 16
 *     cookie reply  64  type 3 | 000 | receiver u32 | nonce 24 | cookie 16+16
 *     transport   >=32  type 4 | 000 | receiver u32 | counter u64 | packet n+16
 *
 * Decoders look at untrusted bytes: they return a message, whose fields are views into the datagram, or the
 * reason why it is none. They never throw.
 *
 * @see WireGuard paper §5.4.2 to §5.4.7.
 */

import {
  COOKIE_NONCE_BYTES,
  COOKIE_REPLY_BYTES,
  INITIATION_BYTES,
  KEY_BYTES,
  MAC_BYTES,
  MESSAGE_COOKIE_REPLY,
  MESSAGE_INITIATION,
  MESSAGE_RESPONSE,
  MESSAGE_TRANSPORT,
  RESPONSE_BYTES,
  TAG_BYTES,
  TIMESTAMP_BYTES,
  TRANSPORT_HEADER_BYTES,
  TRANSPORT_OVERHEAD_BYTES,
} from "./constants.ts";

/** Why bytes are not a message: an unknown type or nonzero reserved bytes, or the wrong length for the type. */
export type MalformedReason = "unknownType" | "badLength";

/** What a decoder makes of a datagram. */
export type Decoded<T> = { readonly ok: true; readonly message: T } | {
  readonly ok: false;
  readonly reason: MalformedReason;
};

/** Handshake initiation, §5.4.2, without its MACs. */
export interface Initiation {
  /** Index that the response has to name, u32. */
  readonly sender: number;
  /** 32 bytes. */
  readonly ephemeral: Uint8Array;
  /** Static key encrypted, 48 bytes. */
  readonly encryptedStatic: Uint8Array;
  /** TAI64N encrypted, 28 bytes. */
  readonly encryptedTimestamp: Uint8Array;
}

/** Handshake response, §5.4.3, without its MACs. */
export interface Response {
  /** Index that transport data to the responder has to name, u32. */
  readonly sender: number;
  /** `sender` of the initiation, u32. */
  readonly receiver: number;
  /** 32 bytes. */
  readonly ephemeral: Uint8Array;
  /** Nothing encrypted: a tag of 16 bytes. */
  readonly encryptedNothing: Uint8Array;
}

/** Cookie reply, §5.4.7. */
export interface CookieReply {
  /** `sender` of the message that is answered, u32. */
  readonly receiver: number;
  /** 24 bytes. */
  readonly nonce: Uint8Array;
  /** Cookie encrypted, 32 bytes. */
  readonly encryptedCookie: Uint8Array;
}

/** Transport data, §5.4.6. */
export interface TransportData {
  /** Index the receiver chose for the keypair, u32. */
  readonly receiver: number;
  /** Upper and lower half of the counter, u32 each. */
  readonly counterHigh: number;
  readonly counterLow: number;
  /** Packet encrypted, with tag; 16 bytes for a keepalive. */
  readonly encryptedPacket: Uint8Array;
}

/** Bytes of the two MACs at the end of a handshake message. */
const MACS_BYTES = 2 * MAC_BYTES;

/**
 * Type of a datagram, 1 to 4, when its length fits the type; the reason otherwise.
 *
 * The three reserved bytes have to be zero, as the kernel demands.
 */
export function messageType(datagram: Uint8Array): number | MalformedReason {
  const type = datagram.length < 4 ? 0 : readU32(datagram, 0);
  switch (type) {
    case MESSAGE_INITIATION:
      return datagram.length === INITIATION_BYTES ? type : "badLength";
    case MESSAGE_RESPONSE:
      return datagram.length === RESPONSE_BYTES ? type : "badLength";
    case MESSAGE_COOKIE_REPLY:
      return datagram.length === COOKIE_REPLY_BYTES ? type : "badLength";
    case MESSAGE_TRANSPORT:
      return datagram.length >= TRANSPORT_OVERHEAD_BYTES ? type : "badLength";
    default:
      return "unknownType";
  }
}

/** Reads a handshake initiation. Its MACs are {@linkcode mac1Of} and {@linkcode mac2Of}. */
export function decodeInitiation(datagram: Uint8Array): Decoded<Initiation> {
  const reason = mismatch(datagram, MESSAGE_INITIATION);
  if (reason !== undefined) return { ok: false, reason };
  const encryptedStatic = 8 + KEY_BYTES;
  const encryptedTimestamp = encryptedStatic + KEY_BYTES + TAG_BYTES;
  return {
    ok: true,
    message: {
      sender: readU32(datagram, 4),
      ephemeral: datagram.subarray(8, encryptedStatic),
      encryptedStatic: datagram.subarray(encryptedStatic, encryptedTimestamp),
      encryptedTimestamp: datagram.subarray(encryptedTimestamp, INITIATION_BYTES - MACS_BYTES),
    },
  };
}

/** Makes a handshake initiation with zeros for its MACs. */
export function encodeInitiation(message: Initiation): Uint8Array {
  const datagram = new Uint8Array(INITIATION_BYTES);
  writeU32(datagram, 0, MESSAGE_INITIATION);
  writeU32(datagram, 4, message.sender);
  putAll(datagram, 8, [
    [message.ephemeral, KEY_BYTES],
    [message.encryptedStatic, KEY_BYTES + TAG_BYTES],
    [message.encryptedTimestamp, TIMESTAMP_BYTES + TAG_BYTES],
  ]);
  return datagram;
}

/** Reads a handshake response. Its MACs are {@linkcode mac1Of} and {@linkcode mac2Of}. */
export function decodeResponse(datagram: Uint8Array): Decoded<Response> {
  const reason = mismatch(datagram, MESSAGE_RESPONSE);
  if (reason !== undefined) return { ok: false, reason };
  return {
    ok: true,
    message: {
      sender: readU32(datagram, 4),
      receiver: readU32(datagram, 8),
      ephemeral: datagram.subarray(12, 12 + KEY_BYTES),
      encryptedNothing: datagram.subarray(12 + KEY_BYTES, RESPONSE_BYTES - MACS_BYTES),
    },
  };
}

/** Makes a handshake response with zeros for its MACs. */
export function encodeResponse(message: Response): Uint8Array {
  const datagram = new Uint8Array(RESPONSE_BYTES);
  writeU32(datagram, 0, MESSAGE_RESPONSE);
  writeU32(datagram, 4, message.sender);
  writeU32(datagram, 8, message.receiver);
  putAll(datagram, 12, [[message.ephemeral, KEY_BYTES], [message.encryptedNothing, TAG_BYTES]]);
  return datagram;
}

/** Reads a cookie reply. */
export function decodeCookieReply(datagram: Uint8Array): Decoded<CookieReply> {
  const reason = mismatch(datagram, MESSAGE_COOKIE_REPLY);
  if (reason !== undefined) return { ok: false, reason };
  return {
    ok: true,
    message: {
      receiver: readU32(datagram, 4),
      nonce: datagram.subarray(8, 8 + COOKIE_NONCE_BYTES),
      encryptedCookie: datagram.subarray(8 + COOKIE_NONCE_BYTES),
    },
  };
}

/** Makes a cookie reply. */
export function encodeCookieReply(message: CookieReply): Uint8Array {
  const datagram = new Uint8Array(COOKIE_REPLY_BYTES);
  writeU32(datagram, 0, MESSAGE_COOKIE_REPLY);
  writeU32(datagram, 4, message.receiver);
  putAll(datagram, 8, [
    [message.nonce, COOKIE_NONCE_BYTES],
    [message.encryptedCookie, MAC_BYTES + TAG_BYTES],
  ]);
  return datagram;
}

/** Reads a transport data message. */
export function decodeTransport(datagram: Uint8Array): Decoded<TransportData> {
  const reason = mismatch(datagram, MESSAGE_TRANSPORT);
  if (reason !== undefined) return { ok: false, reason };
  return {
    ok: true,
    message: {
      receiver: readU32(datagram, 4),
      counterLow: readU32(datagram, 8),
      counterHigh: readU32(datagram, 12),
      encryptedPacket: datagram.subarray(TRANSPORT_HEADER_BYTES),
    },
  };
}

/** Writes the header of a transport data message into the first 16 bytes; the packet goes behind it. */
export function encodeTransportHeader(
  datagram: Uint8Array,
  header: Omit<TransportData, "encryptedPacket">,
): void {
  writeU32(datagram, 0, MESSAGE_TRANSPORT);
  writeU32(datagram, 4, header.receiver);
  writeU32(datagram, 8, header.counterLow);
  writeU32(datagram, 12, header.counterHigh);
}

/** The part of a handshake message that MAC1 covers. */
export function beforeMac1(datagram: Uint8Array): Uint8Array {
  return datagram.subarray(0, datagram.length - MACS_BYTES);
}

/** The part of a handshake message that MAC2 covers. */
export function beforeMac2(datagram: Uint8Array): Uint8Array {
  return datagram.subarray(0, datagram.length - MAC_BYTES);
}

/** MAC1 of a handshake message, a view. */
export function mac1Of(datagram: Uint8Array): Uint8Array {
  return datagram.subarray(datagram.length - MACS_BYTES, datagram.length - MAC_BYTES);
}

/** MAC2 of a handshake message, a view. */
export function mac2Of(datagram: Uint8Array): Uint8Array {
  return datagram.subarray(datagram.length - MAC_BYTES);
}

/** Index of the sender of a handshake message, u32. */
export function senderOf(datagram: Uint8Array): number {
  return readU32(datagram, 4);
}

/** Length to which a packet is padded: the next multiple of 16, but not past the MTU, so that nothing fragments. */
export function paddedLength(packetBytes: number, mtuBytes: number): number {
  const padded = Math.ceil(packetBytes / 16) * 16;
  return packetBytes <= mtuBytes ? Math.min(padded, mtuBytes) : padded;
}

function mismatch(datagram: Uint8Array, wanted: number): MalformedReason | undefined {
  const type = messageType(datagram);
  if (typeof type === "string") return type;
  return type === wanted ? undefined : "unknownType";
}

/** Copies fields one behind the other; a field of another length is a mistake of ours. */
function putAll(target: Uint8Array, start: number, fields: readonly (readonly [Uint8Array, number])[]): void {
  let offset = start;
  for (const [field, bytes] of fields) {
    if (field.length !== bytes) {
      throw new RangeError(`a message field at ${offset} has ${bytes} bytes, got ${field.length}`);
    }
    target.set(field, offset);
    offset += bytes;
  }
}

function readU32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}
