/**
 * Conversations with the kernel over netlink: requests and their acknowledgements, dumps, notifications.
 *
 * Knows sequence numbers, multipart replies and errors; not what the messages are about (`netlink/`), nor system
 * calls (`netlink_socket.ts`).
 */

import { CodecError } from "./bytes.ts";
import { errnoName } from "./errno.ts";
import { NetlinkError, NetlinkProtocolError } from "./errors.ts";
import {
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_NOOP,
  NLMSG_OVERRUN,
} from "./netlink/constants.ts";
import { decodeMessages, decodeResult, encodeMessages, type NetlinkMessage } from "./netlink/message.ts";
import { type NetlinkSocket, type NetlinkSocketOptions, openNetlinkSocket } from "./netlink_socket.ts";

/** One message to the kernel. */
export interface NetlinkRequest {
  /** What it does, and to what, for errors: `create link veth-1`. */
  readonly what: string;
  readonly type: number;
  /** Flags besides `NLM_F_REQUEST`, which is always set, and `NLM_F_ACK`, which the last of a batch has. */
  readonly flags: number;
  readonly payload: Uint8Array;
}

/** How each request of a batch ended: an error, or `undefined` for success. */
export type Outcomes = readonly (NetlinkError | undefined)[];

/** How one request ended, and with what. */
export interface Reply {
  /** Absent: it succeeded. */
  readonly error?: NetlinkError;
  /** What a GET asked for. */
  readonly messages: readonly NetlinkMessage[];
}

/**
 * Messages per datagram. The errors of a datagram are all queued before the first is read, and the queue holds some
 * 200 by default.
 */
const BATCH_MAX_MESSAGES = 100;
/** Dumps flagged as inconsistent are asked for again this often. */
const DUMP_MAX_TRIES = 10;
/** An errno can be misread as "nothing queued" once in many thousand calls (see `errno.ts`); then look again. */
const EMPTY_MAX_TRIES = 3;

/** A socket with request and reply matched. Not for use by two callers at once across an `await`. */
export class NetlinkConnection implements Disposable {
  readonly #socket: NetlinkSocket;
  #sequence = 0;
  #inBackground = false;

  /** Takes the socket over. */
  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** Opens a socket and wraps it. @throws {ErrnoError} As {@linkcode openNetlinkSocket}. */
  static open(protocol: number, options: NetlinkSocketOptions = {}): NetlinkConnection {
    return new NetlinkConnection(openNetlinkSocket(protocol, options));
  }

  /**
   * Sends requests in one datagram (100 to each, if there are more) and waits until the last is acknowledged.
   *
   * The kernel handles all of a datagram's messages in order, whether earlier ones failed or not. It tells of
   * every failure unasked (netlink(7)), so only the last one's success has to be confirmed.
   *
   * @throws {NetlinkError} The first failure; it names its request.
   * @throws {NetlinkProtocolError} If the acknowledgement is missing, or an answer was lost.
   */
  execute(requests: readonly NetlinkRequest[]): void {
    const failed = this.tryExecute(requests).find((error) => error !== undefined);
    if (failed) throw failed;
  }

  /** As {@linkcode execute}, but returns each outcome. @throws {NetlinkProtocolError} As there. */
  tryExecute(requests: readonly NetlinkRequest[]): Outcomes {
    return this.exchange(requests).map(({ error }) => error);
  }

  /** As {@linkcode tryExecute}, for requests some of which are answered by messages (a GET of one object). */
  exchange(requests: readonly NetlinkRequest[]): Reply[] {
    this.#assertFree();
    const replies: Reply[] = [];
    for (let i = 0; i < requests.length; i += BATCH_MAX_MESSAGES) {
      const batch = this.#prepare(requests.slice(i, i + BATCH_MAX_MESSAGES));
      this.#socket.send(batch.datagram);
      replies.push(...this.#collectReplies(batch));
    }
    return replies;
  }

  /**
   * As {@linkcode tryExecute}, with the kernel's work done on another thread: for what takes it long, such as the
   * deletion of links. Until the promise settles the connection must not be used for anything else.
   */
  async tryExecuteInBackground(requests: readonly NetlinkRequest[]): Promise<Outcomes> {
    this.#assertFree();
    this.#inBackground = true;
    try {
      const outcomes: (NetlinkError | undefined)[] = [];
      for (let i = 0; i < requests.length; i += BATCH_MAX_MESSAGES) {
        const batch = this.#prepare(requests.slice(i, i + BATCH_MAX_MESSAGES));
        await this.#socket.sendInBackground(batch.datagram);
        outcomes.push(...this.#collectReplies(batch).map(({ error }) => error));
      }
      return outcomes;
    } finally {
      this.#inBackground = false;
    }
  }

  /** Sends one request that is answered by messages. @throws {NetlinkError} If the kernel refuses. */
  request(request: NetlinkRequest): readonly NetlinkMessage[] {
    const [reply] = this.exchange([request]);
    if (reply!.error) throw reply!.error;
    return reply!.messages;
  }

  /**
   * Asks for all objects of a kind. A dump that the kernel flags as inconsistent (`NLM_F_DUMP_INTR`) is repeated.
   *
   * @throws {NetlinkError} If the kernel refuses.
   * @throws {NetlinkProtocolError} If it stays inconsistent or is not finished.
   */
  dump(request: NetlinkRequest): NetlinkMessage[] {
    this.#assertFree();
    for (let attempt = 0; attempt < DUMP_MAX_TRIES; attempt++) {
      const messages = this.#dumpOnce(request);
      if (messages !== undefined) return messages;
    }
    throw new NetlinkProtocolError(request.what, `${request.what}: the dump kept changing under the reader`);
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }

  #assertFree(): void {
    if (this.#inBackground) throw new TypeError("the netlink connection is busy in the background");
  }

  #nextSequence(): number {
    // 0 marks notifications, so it is never a request's.
    this.#sequence = this.#sequence === 0xffff_ffff ? 1 : this.#sequence + 1;
    return this.#sequence;
  }

  #prepare(requests: readonly NetlinkRequest[]): Batch {
    const messages = requests.map(({ type, flags, payload }, i) => ({
      type,
      flags: flags | NLM_F_REQUEST | (i === requests.length - 1 ? NLM_F_ACK : 0),
      sequence: this.#nextSequence(),
      portId: 0,
      payload,
    }));
    const positions = new Map(messages.map(({ sequence }, i) => [sequence, i]));
    return { requests, positions, datagram: encodeMessages(messages) };
  }

  #collectReplies({ requests, positions }: Batch): Reply[] {
    const replies = requests.map((): { error?: NetlinkError; messages: NetlinkMessage[] } => ({
      messages: [],
    }));
    for (;;) {
      for (const message of this.#receiveAnswer(requests)) {
        const at = positions.get(message.sequence);
        if (at === undefined) continue; // left over from a conversation that was given up
        if (message.type !== NLMSG_ERROR) {
          replies[at]!.messages.push(message);
          continue;
        }
        const error = toError(requests[at]!, message);
        if (error) replies[at]!.error = error;
        if (at === requests.length - 1) return replies;
      }
    }
  }

  #receiveAnswer(requests: readonly NetlinkRequest[]): NetlinkMessage[] {
    const received = this.#receiveMessages();
    if (typeof received !== "string") return received;
    const { what } = requests.at(-1)!;
    const why = received === "lost" ? "the kernel's answer was lost" : "the kernel did not answer";
    throw new NetlinkProtocolError(what, `${what}: ${why}`);
  }

  /** `undefined`: the dump was inconsistent or part of it was lost; ask again. */
  #dumpOnce(request: NetlinkRequest): NetlinkMessage[] | undefined {
    const sequence = this.#nextSequence();
    const flags = request.flags | NLM_F_REQUEST | NLM_F_DUMP;
    this.#socket.send(
      encodeMessages([{ type: request.type, flags, sequence, portId: 0, payload: request.payload }]),
    );
    const found: NetlinkMessage[] = [];
    let whole = true;
    for (;;) {
      const messages = this.#receiveMessages();
      if (messages === "empty") {
        if (!whole) return undefined; // the end was in the part that was lost
        throw new NetlinkProtocolError(request.what, `${request.what}: the kernel did not finish its answer`);
      }
      if (messages === "lost") {
        whole = false;
        continue;
      }
      for (const message of messages) {
        if (message.sequence !== sequence) continue;
        if ((message.flags & NLM_F_DUMP_INTR) !== 0) whole = false;
        if (message.type === NLMSG_DONE || message.type === NLMSG_ERROR) {
          const error = toError(request, message);
          if (error) throw error;
          return whole ? found : undefined;
        }
        found.push(message);
      }
    }
  }

  #receiveMessages(): NetlinkMessage[] | "empty" | "lost" {
    for (let attempt = 0; attempt < EMPTY_MAX_TRIES; attempt++) {
      const received = this.#socket.receive();
      if (received.kind === "lost") return "lost";
      if (received.kind === "datagram") {
        return decodeMessages(received.bytes).filter((message) => message.type !== NLMSG_NOOP);
      }
    }
    return "empty";
  }
}

interface Batch {
  readonly requests: readonly NetlinkRequest[];
  /** Sequence number to position in `requests`. */
  readonly positions: ReadonlyMap<number, number>;
  readonly datagram: Uint8Array<ArrayBuffer>;
}

function toError(request: NetlinkRequest, message: NetlinkMessage): NetlinkError | undefined {
  const { errno, extendedAck } = decodeResult(message);
  return errno === 0 ? undefined : new NetlinkError(request.what, errno, errnoName(errno), extendedAck);
}

/** Who is told of notifications. */
export interface NetlinkListener {
  /** A message of a joined group. */
  onMessage(message: NetlinkMessage): void;
  /** Messages were lost: read everything anew. */
  onLost(): void;
}

/** Datagrams handed on before other work has its turn. */
const DELIVERIES_PER_TURN = 64;

/** Delivers the notifications of a socket until it is closed. */
export class NetlinkSubscription implements Disposable {
  readonly #socket: NetlinkSocket;
  readonly #listener: NetlinkListener;
  #closed = false;
  /** Settles when nothing more will be delivered; rejects if the socket fails. */
  readonly finished: Promise<void>;

  readonly #gatherMs: number;
  #endPause = (): void => {};

  /**
   * Takes the socket over; it must have joined its groups.
   *
   * @param options `gatherMs`: pause after each delivery, in which the kernel queues what comes (4 MiB of it).
   */
  constructor(
    socket: NetlinkSocket,
    listener: NetlinkListener,
    options: { readonly gatherMs?: number } = {},
  ) {
    this.#socket = socket;
    this.#listener = listener;
    this.#gatherMs = options.gatherMs ?? 0;
    this.finished = this.#run();
  }

  /** Opens a socket in the groups (`RTNLGRP_*`) and listens. @throws {ErrnoError} As `openNetlinkSocket`. */
  static open(protocol: number, groups: readonly number[], listener: NetlinkListener): NetlinkSubscription {
    return new NetlinkSubscription(openNetlinkSocket(protocol, { groups }), listener);
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#endPause();
    this.#socket[Symbol.dispose]();
  }

  async #run(): Promise<void> {
    while (await this.#socket.waitReadable()) {
      let more = true;
      for (let i = 0; i < DELIVERIES_PER_TURN && more && !this.#closed; i++) more = this.#deliverNext();
      if (!more && this.#gatherMs > 0 && !this.#closed) await this.#pause();
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.#gatherMs);
      this.#endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #deliverNext(): boolean {
    const received = this.#socket.receive();
    if (received.kind === "empty") return false;
    const messages = received.kind === "lost" ? undefined : decodeOrLose(received.bytes);
    if (messages === undefined) this.#listener.onLost();
    else for (const message of messages) this.#deliver(message);
    return true;
  }

  #deliver(message: NetlinkMessage): void {
    if (message.type === NLMSG_OVERRUN) this.#listener.onLost();
    else if (message.type > NLMSG_OVERRUN) this.#listener.onMessage(message);
  }
}

function decodeOrLose(datagram: Uint8Array): NetlinkMessage[] | undefined {
  try {
    return decodeMessages(datagram);
  } catch (error) {
    if (error instanceof CodecError) return undefined;
    throw error;
  }
}
