/**
 * Writes text to a stream that may be slow, full, closed or broken, without ever waiting for it.
 *
 * Lines queue up to a limit, one write is in flight at a time, and what does not fit is dropped and counted.
 * A stream that fails is given up: a log nobody reads must not cost the node its network.
 */

/** Where bytes go; `Deno.stdout` is one. */
export interface ByteSink {
  write(bytes: Uint8Array): Promise<number>;
}

/** Bytes that may wait for the stream. */
const DEFAULT_LIMIT_BYTES = 1024 * 1024;

/** Bytes handed to the stream at once; a pipe takes 64 KiB. */
const CHUNK_BYTES = 64 * 1024;

/** A bounded queue in front of a stream. */
export class BoundedWriter {
  readonly #sink: ByteSink;
  readonly #limitBytes: number;
  readonly #encoder = new TextEncoder();
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #dropped = 0;
  #inFlight = 0;
  #pump: Promise<void> | undefined;
  #broken = false;
  #full = false;

  constructor(sink: ByteSink, options: { limitBytes?: number } = {}) {
    this.#sink = sink;
    this.#limitBytes = options.limitBytes ?? DEFAULT_LIMIT_BYTES;
  }

  /** Lines dropped since {@linkcode takeDropped} was last called. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Whether a line may be queued now: false from the first dropped one until the stream has taken some. */
  get hasRoom(): boolean {
    return !this.#broken && !this.#full;
  }

  /** The number of dropped lines; counting starts anew. */
  takeDropped(): number {
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped;
  }

  /** Counts a line that is not worth making, since there is no room for it. */
  drop(): void {
    this.#dropped++;
  }

  /** Queues one line, or drops and counts it. Never waits, never throws. */
  write(line: string): void {
    const bytes = this.#encoder.encode(line);
    if (this.#broken || this.#queuedBytes + bytes.length > this.#limitBytes) {
      this.#full = true;
      this.#dropped++;
      return;
    }
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    this.#pump ??= this.#drain();
  }

  /** Resolves when all is written, the stream broke, or the time is over; `true` when nothing is left. */
  async flush(timeoutMs: number): Promise<boolean> {
    if (!this.#pump) return !this.#broken;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const timeout = new Promise<void>((resolve) => timer = setTimeout(resolve, timeoutMs));
    await Promise.race([this.#pump, timeout]);
    clearTimeout(timer);
    return this.#queuedBytes === 0 && !this.#broken;
  }

  async #drain(): Promise<void> {
    // Gather what is logged in the same turn into one write.
    await Promise.resolve();
    try {
      while (this.#queue.length > 0) await this.#writeAll(this.#takeChunk());
    } catch {
      this.#giveUp();
    }
    this.#pump = undefined;
  }

  #takeChunk(): Uint8Array {
    let bytes = 0;
    let count = 0;
    for (const line of this.#queue) {
      if (count > 0 && bytes + line.length > CHUNK_BYTES) break;
      bytes += line.length;
      count++;
    }
    this.#inFlight = count;
    const chunk = new Uint8Array(bytes);
    let offset = 0;
    for (const line of this.#queue.splice(0, count)) {
      chunk.set(line, offset);
      offset += line.length;
    }
    return chunk;
  }

  async #writeAll(chunk: Uint8Array): Promise<void> {
    for (let offset = 0; offset < chunk.length;) {
      const written = await this.#sink.write(chunk.subarray(offset));
      offset += written;
      this.#queuedBytes -= written;
    }
    this.#full = false;
  }

  #giveUp(): void {
    this.#broken = true;
    this.#dropped += this.#inFlight + this.#queue.length;
    this.#queue = [];
    this.#queuedBytes = 0;
  }
}
