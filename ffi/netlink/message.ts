/**
 * Netlink messages: `struct nlmsghdr` (linux/netlink.h) and the control messages that every family shares.
 *
 * Layout, host byte order: u32 nlmsg_len (header and payload, padding not counted), u16 nlmsg_type,
 * u16 nlmsg_flags, u32 nlmsg_seq, u32 nlmsg_pid, payload, zeros up to a multiple of 4 bytes. A datagram holds one
 * message or several.
 */

import { ByteReader, ByteWriter, CodecError } from "../bytes.ts";
import type { ExtendedAck } from "../errors.ts";
import { AttributeSchema, STRING, U32 } from "./attribute.ts";
import {
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLMSG_ERROR,
  NLMSGERR_ATTR_MISS_TYPE,
  NLMSGERR_ATTR_MSG,
  NLMSGERR_ATTR_OFFS,
} from "./constants.ts";

/** `NLMSG_HDRLEN`. */
export const NLMSG_HDRLEN = 16;

/** One message. */
export interface NetlinkMessage {
  /** `RTM_*`, a generic family's id, or a control type below 16. */
  readonly type: number;
  /** `NLM_F_*`. */
  readonly flags: number;
  readonly sequence: number;
  /** 0 towards the kernel; the socket's port id in replies. */
  readonly portId: number;
  readonly payload: Uint8Array;
}

/** Encodes messages into one datagram. */
export function encodeMessages(messages: Iterable<NetlinkMessage>): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter({ initialBytes: 512 });
  for (const message of messages) {
    writer.u32(NLMSG_HDRLEN + message.payload.length).u16(message.type).u16(message.flags)
      .u32(message.sequence).u32(message.portId).bytes(message.payload).align(4);
  }
  return writer.finish();
}

/**
 * Decodes a datagram.
 *
 * @returns Messages in order; payloads are views. The padding of the last one may be missing.
 * @throws {CodecError} If a header or a payload is cut short.
 */
export function decodeMessages(datagram: Uint8Array): NetlinkMessage[] {
  const reader = new ByteReader(datagram, "nlmsghdr");
  const messages: NetlinkMessage[] = [];
  while (reader.remaining > 0) {
    const at = reader.offset;
    const length = reader.u32();
    const [type, flags, sequence, portId] = [reader.u16(), reader.u16(), reader.u32(), reader.u32()];
    if (length < NLMSG_HDRLEN) throw new CodecError("nlmsg_len", at, NLMSG_HDRLEN, length);
    const payload = reader.bytes(length - NLMSG_HDRLEN);
    reader.skip(Math.min((4 - length % 4) % 4, reader.remaining));
    messages.push({ type, flags, sequence, portId, payload });
  }
  return messages;
}

/** An `NLMSG_ERROR` or `NLMSG_DONE` message: how a request ended. */
export interface NetlinkResult {
  /** 0 for success, else a positive errno. */
  readonly errno: number;
  readonly extendedAck: ExtendedAck;
}

interface ExtendedAckAttributes {
  readonly message?: string;
  readonly offset?: number;
  readonly missingType?: number;
}

const EXTENDED_ACK = new AttributeSchema<ExtendedAckAttributes>({
  message: [NLMSGERR_ATTR_MSG, STRING],
  offset: [NLMSGERR_ATTR_OFFS, U32],
  missingType: [NLMSGERR_ATTR_MISS_TYPE, U32],
});

/**
 * Decodes `struct nlmsgerr`: s32 negative errno, the request's header, the request's payload unless capped or
 * successful, then attributes if `NLM_F_ACK_TLVS` is set. In `NLMSG_DONE` (end of a dump) the attributes follow
 * the errno, which old kernels leave out.
 *
 * @throws {CodecError} If the message is cut short.
 */
export function decodeResult(message: NetlinkMessage): NetlinkResult {
  const reader = new ByteReader(message.payload, "nlmsgerr");
  if (message.type !== NLMSG_ERROR && reader.remaining === 0) return { errno: 0, extendedAck: {} };
  const errno = Math.abs(reader.i32());
  if (message.type === NLMSG_ERROR) skipRequest(reader, errno !== 0 && (message.flags & NLM_F_CAPPED) === 0);
  if ((message.flags & NLM_F_ACK_TLVS) === 0) return { errno, extendedAck: {} };
  const { unknown: _, ...extendedAck } = EXTENDED_ACK.decode(reader.rest());
  return { errno, extendedAck };
}

function skipRequest(reader: ByteReader, withPayload: boolean): void {
  const length = reader.u32();
  reader.skip(NLMSG_HDRLEN - 4);
  if (withPayload && length > NLMSG_HDRLEN) {
    reader.skip(Math.min(Math.ceil((length - NLMSG_HDRLEN) / 4) * 4, reader.remaining));
  }
}
