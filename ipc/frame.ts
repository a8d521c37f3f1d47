/**
 * Frames of the IPC byte stream: u32 little-endian body length, then that many bytes of UTF-8 JSON.
 *
 * Bytes only: what a body means is `codec.ts`'s business. Pure, so that every chunking can be tested.
 *
 * Source: spec/ipc.md §1.
 */

/** Largest body, in bytes. */
export const MAX_FRAME_BYTES = 8 * 1024 * 1024;

/** Bytes of the length prefix. */
export const FRAME_HEADER_BYTES = 4;

/** Below this capacity a buffer is not worth giving back. */
const KEPT_BYTES = 16 * 1024;

/** A frame announced or was given a body over {@linkcode MAX_FRAME_BYTES}; the stream cannot go on. */
export class FrameLengthError extends RangeError {
  constructor(readonly length: number) {
    super(`a frame of ${length} bytes is over the limit of ${MAX_FRAME_BYTES}`);
    this.name = "FrameLengthError";
  }
}

/**
 * Cuts a byte stream into frame bodies, whatever the chunks.
 *
 * The stream is read straight into the decoder: {@linkcode reserve} room, fill some of it,
 * {@linkcode commit} that many bytes, then take bodies with {@linkcode next} until it has none. Capacity
 * follows what has arrived, never what a prefix announces, so a client pays for memory in bytes sent. Each
 * byte is moved a constant number of times on average.
 */
export class FrameDecoder {
  #buffer = new Uint8Array(0);
  #start = 0;
  #end = 0;

  /** Bytes received that no returned body has covered yet. */
  get bufferedBytes(): number {
    return this.#end - this.#start;
  }

  /** Bytes of memory held. */
  get capacityBytes(): number {
    return this.#buffer.length;
  }

  /**
   * Room to read into, valid until the next call of any method but {@linkcode commit}.
   *
   * @param minBytes Least length of the result; it may be longer.
   */
  reserve(minBytes: number): Uint8Array<ArrayBuffer> {
    if (this.#start === this.#end) this.#reset(minBytes);
    if (this.#buffer.length - this.#end < minBytes) this.#makeRoom(minBytes);
    return this.#buffer.subarray(this.#end);
  }

  /** Whether {@linkcode next} has a body to give: it would neither throw nor give `undefined`. */
  get hasNext(): boolean {
    const buffered = this.bufferedBytes;
    if (buffered < FRAME_HEADER_BYTES) return false;
    const length = readLength(this.#buffer, this.#start);
    return length <= MAX_FRAME_BYTES && buffered >= FRAME_HEADER_BYTES + length;
  }

  /** States that the first `length` bytes of the reserved room were filled. */
  commit(length: number): void {
    if (length > this.#buffer.length - this.#end) {
      throw new RangeError(`cannot commit ${length} bytes, ${this.#buffer.length - this.#end} are reserved`);
    }
    this.#end += length;
  }

  /** Copies a chunk in: {@linkcode reserve} and {@linkcode commit} in one. */
  push(chunk: Uint8Array): void {
    this.reserve(chunk.length).set(chunk);
    this.commit(chunk.length);
  }

  /**
   * The next whole body, or `undefined` when more bytes are needed. The result is a view, valid until the
   * next {@linkcode reserve} or {@linkcode push}.
   *
   * @throws {FrameLengthError} As soon as a prefix announces too much. The stream is lost then.
   */
  next(): Uint8Array<ArrayBuffer> | undefined {
    const buffered = this.bufferedBytes;
    if (buffered < FRAME_HEADER_BYTES) return undefined;
    const length = readLength(this.#buffer, this.#start);
    if (length > MAX_FRAME_BYTES) throw new FrameLengthError(length);
    if (buffered < FRAME_HEADER_BYTES + length) return undefined;
    const bodyStart = this.#start + FRAME_HEADER_BYTES;
    this.#start = bodyStart + length;
    return this.#buffer.subarray(bodyStart, this.#start);
  }

  #reset(minBytes: number): void {
    this.#start = this.#end = 0;
    if (this.#buffer.length > Math.max(KEPT_BYTES, minBytes)) this.#buffer = new Uint8Array(0);
  }

  #makeRoom(minBytes: number): void {
    const buffered = this.bufferedBytes;
    if (buffered + minBytes <= this.#buffer.length) {
      this.#buffer.copyWithin(0, this.#start, this.#end);
    } else {
      const grown = new Uint8Array(Math.max(buffered + minBytes, Math.min(2 * buffered, this.#frameBytes())));
      grown.set(this.#buffer.subarray(this.#start, this.#end));
      this.#buffer = grown;
    }
    this.#start = 0;
    this.#end = buffered;
  }

  /** Length of the frame that is being received, or no limit while its prefix is not here. */
  #frameBytes(): number {
    if (this.bufferedBytes < FRAME_HEADER_BYTES) return Infinity;
    return FRAME_HEADER_BYTES + readLength(this.#buffer, this.#start);
  }
}

function readLength(buffer: Uint8Array, at: number): number {
  return (buffer[at]! | buffer[at + 1]! << 8 | buffer[at + 2]! << 16 | buffer[at + 3]! << 24) >>> 0;
}

/**
 * Gathers frames into one run of bytes, so that many go out in one write.
 *
 * {@linkcode take} hands the bytes over and leaves the encoder empty.
 */
export class FrameEncoder {
  readonly #text = new TextEncoder();
  #buffer = new Uint8Array(0);
  #length = 0;

  /** Bytes gathered, prefixes included. */
  get byteLength(): number {
    return this.#length;
  }

  /**
   * Appends one frame.
   *
   * @param body JSON text.
   * @throws {FrameLengthError} If the body is over the limit; nothing is appended then.
   */
  append(body: string): void {
    // UTF-8 is never shorter than the count of UTF-16 units.
    if (body.length > MAX_FRAME_BYTES) throw new FrameLengthError(body.length);
    // Nearly all bodies are ASCII, one byte a unit; the others are encoded again with room for the worst.
    let room = this.#room(FRAME_HEADER_BYTES + body.length);
    let { read, written } = this.#text.encodeInto(body, room.subarray(FRAME_HEADER_BYTES));
    if (read < body.length) {
      room = this.#room(FRAME_HEADER_BYTES + 3 * body.length);
      ({ read, written } = this.#text.encodeInto(body, room.subarray(FRAME_HEADER_BYTES)));
    }
    if (written > MAX_FRAME_BYTES) throw new FrameLengthError(written);
    room[0] = written;
    room[1] = written >> 8;
    room[2] = written >> 16;
    room[3] = written >> 24;
    this.#length += FRAME_HEADER_BYTES + written;
  }

  /** The bytes gathered since the last call; the caller owns them. */
  take(): Uint8Array<ArrayBuffer> {
    const bytes = this.#buffer.subarray(0, this.#length);
    this.#buffer = new Uint8Array(0);
    this.#length = 0;
    return bytes;
  }

  #room(bytes: number): Uint8Array<ArrayBuffer> {
    const needed = this.#length + bytes;
    if (needed > this.#buffer.length) {
      const grown = new Uint8Array(Math.max(needed, 2 * this.#buffer.length, 1024));
      grown.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = grown;
    }
    return this.#buffer.subarray(this.#length);
  }
}

/** One frame as bytes of its own. */
export function encodeFrame(body: string): Uint8Array<ArrayBuffer> {
  const encoder = new FrameEncoder();
  encoder.append(body);
  return encoder.take();
}
