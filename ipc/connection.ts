/**
 * One client of the server: reads requests, has them answered one after the other, in order.
 *
 * What bounds a client: a frame has to be whole within a time of its first byte; memory for unfinished
 * frames comes from a budget that all connections share; while too many responses wait to be read no more
 * requests are; events wait in a bounded queue. Between frames a connection may be silent for ever, since
 * the caller keeps its one connection for life (spec/daemon.md §7.4).
 *
 * Source: spec/ipc.md §1, spec/daemon.md §5.
 */

import { DeadlineError } from "../core/errors.ts";
import { othersTurn } from "../core/event_loop.ts";
import type { OverlayEvent, OverlayService, RequestContext } from "../core/service.ts";
import type { ByteBudget } from "./byte_budget.ts";
import { decodeServerFrame, encodeEvent, encodeResponse } from "./codec.ts";
import { dispatch, errorResponse, errResponse } from "./dispatch.ts";
import { EventQueue } from "./event_queue.ts";
import { FrameDecoder, FrameLengthError } from "./frame.ts";
import { FrameWriter } from "./frame_writer.ts";
import type { IpcLog } from "./log.ts";
import type { OverlaydRequest, OverlaydResponse } from "./protocol.ts";
import type { IpcStream } from "./stream.ts";
import { settledWithin } from "./timeout.ts";

/** Room for one read of a connection that has been quiet. */
const QUIET_READ_BYTES = 4 * 1024;

/** Room for one read of a connection that has more to say. Also bounds how long one client holds the thread. */
const BUSY_READ_BYTES = 16 * 1024;

/** Receive memory that a connection has for free; what is over comes from the budget. */
const FREE_RECEIVE_BYTES = 64 * 1024;

/** With more response bytes than this unread, the connection's requests are left in its socket. */
const MAX_QUEUED_BYTES = 256 * 1024;

/** How long a closing connection waits for its last responses to be taken. */
const FLUSH_MS = 2_000;

/** What a connection shares with the others, and its limits. */
export interface ConnectionSetup {
  readonly service: OverlayService;
  readonly log: IpcLog;
  /** Called after the reply to a `shutdown` that succeeded has gone out, or has had time to. */
  readonly onShutdown: () => void;
  readonly requestTimeoutMs: number;
  readonly frameTimeoutMs: number;
  readonly maxQueuedEvents: number;
  /** For receive memory over what each connection has for free. */
  readonly receiveBudget: ByteBudget;
}

/** The server's end of one connection. */
export class ServerConnection {
  readonly #stream: IpcStream;
  readonly #setup: ConnectionSetup;
  readonly #events: EventQueue;
  readonly #writer: FrameWriter;
  readonly #decoder = new FrameDecoder();
  readonly #context: RequestContext = { connection: this };
  #frameTimer: ReturnType<typeof setTimeout> | undefined;
  #readBytes = QUIET_READ_BYTES;
  #budgeted = 0;
  #reading = false;
  #stopping = false;
  #closed = false;
  #warned = false;

  constructor(stream: IpcStream, setup: ConnectionSetup) {
    this.#stream = stream;
    this.#setup = setup;
    this.#events = new EventQueue(setup.maxQueuedEvents);
    this.#writer = new FrameWriter(stream, () => this.#nextEvent());
  }

  /** Whether it has ended: a caller that left no longer counts as one. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Serves until the client leaves, breaks the framing, or {@linkcode stop} is called. Never rejects. */
  async run(): Promise<void> {
    try {
      while (await this.#fill()) {
        const answered = await this.#answerBuffered();
        if (answered > 0 && this.#readBytes === BUSY_READ_BYTES) await othersTurn();
      }
      await this.#flush();
    } catch (error) {
      if (error instanceof FrameLengthError) await this.#flush();
      if (!this.#closed) this.#setup.log.debug("connection broken", { err: String(error) });
    } finally {
      this.close();
    }
  }

  /** Queues an event; never waits. */
  notify(event: OverlayEvent): void {
    this.#events.push(event);
    this.#writer.wake();
  }

  /** Lets the request under way finish and its response go out, then closes; resolves when that is done. */
  async stop(): Promise<void> {
    this.#stopping = true;
    if (!this.#reading) return;
    await this.#flush();
    this.close();
  }

  /** Closes at once. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#frameTimer);
    this.#setup.receiveBudget.take(-this.#budgeted);
    this.#stream.close();
  }

  #nextEvent(): string | undefined {
    const event = this.#events.shift();
    return event && encodeEvent(event);
  }

  /** Reads once. `false` when the connection is at its end. */
  async #fill(): Promise<boolean> {
    if (this.#stopping || this.#closed || this.#writer.failure) return false;
    const room = this.#decoder.reserve(this.#readBytes);
    if (!this.#withinBudget()) return false;
    this.#watchFrame();
    this.#reading = true;
    const length = await this.#stream.read(room);
    this.#reading = false;
    if (length === null) {
      if (this.#decoder.bufferedBytes > 0) this.#warn("connection ended inside a frame");
      return false;
    }
    this.#decoder.commit(length);
    this.#readBytes = length === room.length ? BUSY_READ_BYTES : QUIET_READ_BYTES;
    return !this.#stopping;
  }

  #withinBudget(): boolean {
    const wanted = Math.max(0, this.#decoder.capacityBytes - FREE_RECEIVE_BYTES);
    if (this.#setup.receiveBudget.take(wanted - this.#budgeted)) {
      this.#budgeted = wanted;
      return true;
    }
    this.#warn("connection closed: too much memory is held by unfinished frames");
    return false;
  }

  /** Sees to it that the frame whose first bytes are here is whole in time. */
  #watchFrame(): void {
    if (this.#decoder.bufferedBytes === 0 || this.#frameTimer !== undefined) return;
    this.#frameTimer = setTimeout(() => {
      this.#warn("connection closed: a frame was not complete in time");
      this.close();
    }, this.#setup.frameTimeoutMs);
  }

  /** Answers every whole frame that has been received; resolves to how many there were. */
  async #answerBuffered(): Promise<number> {
    let answered = 0;
    for (let body = this.#nextBody(); body && !this.#stopping; body = this.#nextBody()) {
      answered++;
      const frame = decodeServerFrame(body);
      if (frame.kind === "request") {
        await this.#answer(frame.id, frame.request);
      } else if (frame.kind === "malformed") {
        this.#warn("frame not understood", { reason: frame.reason });
        if (frame.id !== undefined) this.#refuse(frame.id, frame.reason);
      } else {
        this.#warn("frame ignored: only requests are for a server", { frame: frame.frame });
      }
      await this.#writer.drained(MAX_QUEUED_BYTES);
    }
    return answered;
  }

  #nextBody(): Uint8Array | undefined {
    const body = this.#takeBody();
    if (body) {
      clearTimeout(this.#frameTimer);
      this.#frameTimer = undefined;
    }
    return body;
  }

  #takeBody(): Uint8Array | undefined {
    try {
      return this.#decoder.next();
    } catch (error) {
      if (error instanceof FrameLengthError) this.#warn("connection closed", { err: error.message });
      throw error;
    }
  }

  async #answer(id: bigint, request: OverlaydRequest): Promise<void> {
    const { service, log } = this.#setup;
    const work = dispatch(request, service, this.#context).catch((error) =>
      errorResponse(request.op, error, log)
    );
    const response = await this.#withinDeadline(request.op, work);
    this.#send(id, request.op, response);
    log.debug("request answered", { op: request.op, result: response.result });
    if (request.op === "shutdown") await this.#shutDown(response, work);
  }

  async #withinDeadline(op: string, work: Promise<OverlaydResponse>): Promise<OverlaydResponse> {
    const timeoutMs = this.#setup.requestTimeoutMs;
    const response = await settledWithin(work, timeoutMs);
    if (response) return response;
    this.#setup.log.warn("request ran out of time, its work goes on", { op, timeoutMs });
    work.then(({ result }) => this.#setup.log.warn("late request ended", { op, result }));
    const { message, code } = new DeadlineError(
      `${op}: no result within ${timeoutMs} ms; the work goes on in the background`,
    );
    return errResponse(message, code);
  }

  /** Ends the daemon once the work is done, which may be later than its response, and the response is out. */
  async #shutDown(response: OverlaydResponse, work: Promise<OverlaydResponse>): Promise<void> {
    await this.#flush();
    const ending = work.then(({ result }) => result === "ok" && this.#setup.onShutdown());
    if (response.result === "ok") await ending;
  }

  #send(id: bigint, op: string, response: OverlaydResponse): void {
    try {
      this.#writer.send(encodeResponse(id, response), this.#decoder.hasNext);
    } catch (error) {
      // Over the frame limit, or not JSON: a defect of the service, and no reason to leave the client waiting.
      this.#writer.send(encodeResponse(id, errorResponse(op, error, this.#setup.log)));
    }
  }

  #refuse(id: bigint, reason: string): void {
    const refusal = encodeResponse(id, errResponse(reason, "invalid_argument"));
    this.#writer.send(refusal, this.#decoder.hasNext);
  }

  /** Waits a bounded time for what is queued to be taken. */
  async #flush(): Promise<void> {
    await settledWithin(this.#writer.drained(0), FLUSH_MS);
  }

  /** Warns the first time; a client that goes on gets debug lines only, so that it cannot fill the log. */
  #warn(message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    if (this.#warned) this.#setup.log.debug(message, fields);
    else this.#setup.log.warn(message, fields);
    this.#warned = true;
  }
}
