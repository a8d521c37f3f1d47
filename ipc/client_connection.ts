/**
 * The client's end of a connection: numbers requests, matches responses, passes events on.
 *
 * Source: spec/ipc.md §1, spec/daemon.md §7.4.
 */

import { DeadlineError, OverlayError } from "../core/errors.ts";
import type { OverlayEvent } from "../core/service.ts";
import { decodeClientFrame, encodeRequest } from "./codec.ts";
import { FrameDecoder } from "./frame.ts";
import { FrameWriter } from "./frame_writer.ts";
import type { OverlaydRequest, OverlaydResponse } from "./protocol.ts";
import type { IpcStream } from "./stream.ts";

/** Room for one read. */
const READ_BYTES = 32 * 1024;

/** Limits of one call. */
export interface CallOptions {
  /** Rejects the call after so long; by default it waits for ever. */
  readonly timeoutMs?: number;
  /** Rejects the call when aborted. The request may still take effect. */
  readonly signal?: AbortSignal;
}

/** A response as checked and as received, with members this version does not know. */
export interface ReceivedResponse {
  readonly response: OverlaydResponse;
  readonly raw: unknown;
}

interface PendingCall {
  readonly resolve: (received: ReceivedResponse) => void;
  readonly reject: (error: unknown) => void;
}

/** Requests and responses over one stream. It ends once and for all. */
export class ClientConnection {
  readonly #stream: IpcStream;
  readonly #name: string;
  readonly #writer: FrameWriter;
  readonly #pending = new Map<bigint, PendingCall>();
  readonly #listeners = new Set<(event: OverlayEvent) => void>();
  readonly #ended: Promise<void>;
  #lastId = 0n;
  #loss: OverlayError | undefined;

  /**
   * @param stream Connected; the connection closes it.
   * @param name What to call the daemon's endpoint in messages.
   */
  constructor(stream: IpcStream, name: string) {
    this.#stream = stream;
    this.#name = name;
    this.#writer = new FrameWriter(stream);
    this.#ended = this.#receive();
  }

  /** Resolves when the connection has ended, for whatever reason. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /**
   * Sends a request.
   *
   * @throws {OverlayError} `unavailable` when the connection is or gets lost, `deadline_exceeded` after
   * `timeoutMs`; the signal's reason when that is aborted. An `err` is a response like any other here.
   */
  async request(
    request: OverlaydRequest | Readonly<Record<string, unknown>>,
    options: CallOptions = {},
  ): Promise<ReceivedResponse> {
    options.signal?.throwIfAborted();
    if (this.#loss) throw this.#loss;
    const id = ++this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<ReceivedResponse>();
    this.#pending.set(id, { resolve, reject });
    const unwatch = this.#watch(id, String(request.op), options);
    try {
      this.#writer.send(encodeRequest(id, request));
      return await promise;
    } finally {
      this.#pending.delete(id);
      unwatch();
    }
  }

  /** Registers a listener for events; the result removes it. */
  subscribe(listener: (event: OverlayEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Closes the connection; open calls are rejected. */
  close(): void {
    this.#lose("was closed");
  }

  /** Rejects the call when its time is over or its signal aborted; the result ends the watch. */
  #watch(id: bigint, op: string, { timeoutMs, signal }: CallOptions): () => void {
    if (timeoutMs === undefined && !signal) return () => {};
    const reject = (error: unknown): void => this.#pending.get(id)?.reject(error);
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => {
      reject(new DeadlineError(`${op}: no answer from ${this.#name} within ${timeoutMs} ms`));
    }, timeoutMs);
    const abort = (): void => reject(signal!.reason);
    signal?.addEventListener("abort", abort);
    return () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    };
  }

  async #receive(): Promise<void> {
    const decoder = new FrameDecoder();
    try {
      for (;;) {
        const length = await this.#stream.read(decoder.reserve(READ_BYTES));
        if (length === null) return this.#lose("was closed by the daemon");
        decoder.commit(length);
        for (let body = decoder.next(); body; body = decoder.next()) this.#handle(body);
      }
    } catch (error) {
      this.#lose("was lost", error);
    }
  }

  #handle(body: Uint8Array): void {
    const frame = decodeClientFrame(body);
    switch (frame.kind) {
      case "response":
        return this.#pending.get(frame.id)?.resolve(frame);
      case "event":
        return this.#deliver(frame.event);
      case "malformed": {
        const error = new OverlayError("internal", `${this.#name} sent a bad frame: ${frame.reason}`);
        if (frame.id === undefined) throw error;
        return this.#pending.get(frame.id)?.reject(error);
      }
      case "foreign": // A newer daemon may send what we do not know.
        return;
    }
  }

  #deliver(event: OverlayEvent): void {
    // A listener that throws must not take the connection with it; the error surfaces as uncaught.
    for (const listener of this.#listeners) queueMicrotask(() => listener(event));
  }

  #lose(how: string, cause?: unknown): void {
    if (this.#loss) return;
    const reason = cause instanceof OverlayError ? `: ${cause.message}` : "";
    this.#loss = new OverlayError("unavailable", `connection to ${this.#name} ${how}${reason}`, { cause });
    this.#stream.close();
    for (const call of this.#pending.values()) call.reject(this.#loss);
  }
}
