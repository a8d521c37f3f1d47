/**
 * The outgoing half of a connection: frames in order, as few writes as the stream allows.
 *
 * Whatever is queued while a write is under way goes out together with the next one. Frames of a second,
 * lesser kind (events) are asked for only when nothing else is waiting.
 */

import { setImmediate } from "node:timers";
import { FrameEncoder } from "./frame.ts";
import type { IpcStream } from "./stream.ts";

/** Lesser frames are gathered up to about this many bytes a write. */
const LESSER_BATCH_BYTES = 16 * 1024;

/** What to write when there is nothing better: bodies of frames, `undefined` when there is none. */
export type LesserSource = () => string | undefined;

/** Writes frames to a stream in the background. Never throws for a broken stream: {@linkcode failed} says so. */
export class FrameWriter {
  readonly #stream: Pick<IpcStream, "write">;
  readonly #lesser: LesserSource;
  readonly #encoder = new FrameEncoder();
  readonly #waiting: { readonly atMost: number; readonly resolve: () => void }[] = [];
  #inFlight = 0;
  #pumping = false;
  #failure: { readonly error: unknown } | undefined;

  /**
   * @param stream Only written to, never closed.
   * @param lesser Asked for frames when nothing else waits; {@linkcode wake} tells that it may have some.
   */
  constructor(stream: Pick<IpcStream, "write">, lesser: LesserSource = (): undefined => undefined) {
    this.#stream = stream;
    this.#lesser = lesser;
  }

  /** Bytes accepted and not yet taken by the stream. */
  get queuedBytes(): number {
    return this.#encoder.byteLength + this.#inFlight;
  }

  /** Why writing stopped for good, if it did. */
  get failure(): { readonly error: unknown } | undefined {
    return this.#failure;
  }

  /**
   * Queues a frame. A no-op once writing has failed.
   *
   * @param more Whether another one is about to follow: the write then waits for all that the event loop can do
   * without waiting itself. A pipe takes a write at once, so that each frame would else be a write of its own.
   * @throws {FrameLengthError} If the body is over the limit; nothing is queued then.
   */
  send(body: string, more = false): void {
    if (this.#failure) return;
    this.#encoder.append(body);
    this.#start(more ? setImmediate : queueMicrotask);
  }

  /** Starts writing if there is something to write and no write is under way. */
  wake(): void {
    // Not at once: what the rest of this turn queues shares the write.
    this.#start(queueMicrotask);
  }

  #start(soon: (pump: () => void) => void): void {
    if (this.#pumping || this.#failure) return;
    this.#pumping = true;
    soon(() => void this.#pump());
  }

  /** Resolves when at most so many bytes are queued, or writing has failed. */
  drained(atMost: number): Promise<void> {
    if (this.#failure || this.queuedBytes <= atMost) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ atMost, resolve }));
  }

  async #pump(): Promise<void> {
    try {
      for (let bytes = this.#nextBatch(); bytes.length > 0; bytes = this.#nextBatch()) {
        await this.#writeAll(bytes);
      }
    } catch (error) {
      this.#failure = { error };
      this.#inFlight = 0;
      this.#encoder.take();
    } finally {
      this.#pumping = false;
      this.#release();
    }
  }

  #nextBatch(): Uint8Array {
    if (this.#encoder.byteLength === 0) {
      for (let body = this.#lesser(); body !== undefined; body = this.#lesser()) {
        this.#encoder.append(body);
        if (this.#encoder.byteLength >= LESSER_BATCH_BYTES) break;
      }
    }
    return this.#encoder.take();
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    this.#inFlight = bytes.length;
    while (this.#inFlight > 0) {
      const rest = bytes.subarray(bytes.length - this.#inFlight);
      this.#inFlight -= await this.#stream.write(rest);
      this.#release();
    }
  }

  #release(): void {
    for (let i = this.#waiting.length - 1; i >= 0; i--) {
      if (!this.#failure && this.queuedBytes > this.#waiting[i]!.atMost) continue;
      this.#waiting.splice(i, 1)[0]!.resolve();
    }
  }
}
