/**
 * A netlink socket whose other end is a function: it is given each datagram sent, as messages, and returns the
 * datagrams to answer with. Framing, sequence numbers and errors are those of the real code.
 */

import { ByteWriter } from "../../ffi/bytes.ts";
import { encodeAttributes } from "../../ffi/netlink/attribute.ts";
import {
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLM_F_MULTI,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSGERR_ATTR_MSG,
  NLMSGERR_ATTR_OFFS,
} from "../../ffi/netlink/constants.ts";
import { decodeMessages, encodeMessages, type NetlinkMessage } from "../../ffi/netlink/message.ts";
import type { NetlinkSocket, Received } from "../../ffi/netlink_socket.ts";

/** The kernel's side of one datagram: what it queues for the reader. */
export type Responder = (messages: readonly NetlinkMessage[]) => Iterable<Uint8Array | "lost" | "empty">;

/** See the module. */
export class FakeNetlinkSocket implements NetlinkSocket {
  /** Every datagram that was sent, decoded. */
  readonly sent: NetlinkMessage[][] = [];
  readonly #respond: Responder;
  readonly #queue: Received[] = [];
  #waiting: ((readable: boolean) => void) | undefined;
  closed = false;

  constructor(respond: Responder = () => []) {
    this.#respond = respond;
  }

  send(datagram: Uint8Array<ArrayBuffer>): void {
    const messages = decodeMessages(datagram.slice());
    this.sent.push(messages);
    this.push(...this.#respond(messages));
  }

  sendInBackground(datagram: Uint8Array<ArrayBuffer>): Promise<void> {
    return Promise.resolve().then(() => this.send(datagram));
  }

  receive(): Received {
    return this.#queue.shift() ?? { kind: "empty" };
  }

  /** Queues datagrams for the reader, as notifications come. */
  push(...datagrams: (Uint8Array | "lost" | "empty")[]): void {
    for (const datagram of datagrams) {
      this.#queue.push(
        typeof datagram === "string" ? { kind: datagram } : { kind: "datagram", bytes: datagram },
      );
    }
    if (datagrams.length > 0) this.#wake(true);
  }

  waitReadable(): Promise<boolean> {
    if (this.closed) return Promise.resolve(false);
    if (this.#queue.length > 0) return Promise.resolve(true);
    return new Promise((resolve) => this.#waiting = resolve);
  }

  [Symbol.dispose](): void {
    this.closed = true;
    this.#wake(false);
  }

  #wake(readable: boolean): void {
    this.#waiting?.(readable);
    this.#waiting = undefined;
  }
}

/** `NLMSG_ERROR` for a request: errno 0 is the acknowledgement. */
export function acknowledge(
  request: NetlinkMessage,
  errno = 0,
  options: { readonly message?: string; readonly offset?: number } = {},
): Uint8Array<ArrayBuffer> {
  const attributes = encodeAttributes([
    ...options.message === undefined
      ? []
      : [{ type: NLMSGERR_ATTR_MSG, flags: 0, payload: new TextEncoder().encode(`${options.message}\0`) }],
    ...options.offset === undefined
      ? []
      : [{ type: NLMSGERR_ATTR_OFFS, flags: 0, payload: new ByteWriter().u32(options.offset).finish() }],
  ]);
  const payload = new ByteWriter().u32(-errno).u32(16 + request.payload.length).u16(request.type)
    .u16(request.flags).u32(request.sequence).u32(0).bytes(attributes).finish();
  const flags = NLM_F_CAPPED | (attributes.length > 0 ? NLM_F_ACK_TLVS : 0);
  return encodeMessages([{ type: NLMSG_ERROR, flags, sequence: request.sequence, portId: 7, payload }]);
}

/** One datagram of a dump. */
export function dumpPart(
  request: NetlinkMessage,
  payloads: readonly Uint8Array[],
  flags = 0,
): Uint8Array<ArrayBuffer> {
  return encodeMessages(payloads.map((payload) => ({
    type: request.type,
    flags: NLM_F_MULTI | flags,
    sequence: request.sequence,
    portId: 7,
    payload,
  })));
}

/** The end of a dump. */
export function dumpDone(request: NetlinkMessage, errno = 0, flags = 0): Uint8Array<ArrayBuffer> {
  const payload = new ByteWriter().u32(-errno).finish();
  const { sequence } = request;
  return encodeMessages([{ type: NLMSG_DONE, flags: NLM_F_MULTI | flags, sequence, portId: 7, payload }]);
}
