/**
 * Cursors over bytes: a reader that checks every step, a writer that grows.
 *
 * The one module of `ffi/` that every folder may import; it imports nothing and touches no system.
 */

/** Whether this machine stores the low byte first; kernel structures are in this order. */
export const HOST_LITTLE_ENDIAN: boolean = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Bytes that do not hold what they should. The only error that decoders throw. */
export class CodecError extends Error {
  /**
   * @param what Name of the structure or field being decoded.
   * @param offset Where in the decoded bytes, from 0.
   * @param needed Bytes needed there, or the value expected.
   * @param got Bytes left there, or the value found.
   */
  constructor(readonly what: string, readonly offset: number, readonly needed: number, readonly got: number) {
    super(`${what}: needs ${needed} at offset ${offset}, got ${got}`);
    this.name = "CodecError";
  }
}

/** Options of {@linkcode ByteReader} and {@linkcode ByteWriter}. */
export interface ByteOrderOptions {
  /** Byte order of multi-byte numbers; the machine's own unless said. */
  readonly littleEndian?: boolean;
}

/** Reads forward through bytes it does not own; slices it returns are views of them. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #littleEndian: boolean;
  readonly #what: string;
  #offset = 0;

  /** @param what Name of what is decoded, for errors. */
  constructor(bytes: Uint8Array, what: string, options: ByteOrderOptions = {}) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#littleEndian = options.littleEndian ?? HOST_LITTLE_ENDIAN;
    this.#what = what;
  }

  /** Bytes consumed so far. */
  get offset(): number {
    return this.#offset;
  }

  /** Bytes left. */
  get remaining(): number {
    return this.#bytes.length - this.#offset;
  }

  /** Next unsigned byte. @throws {CodecError} At the end. */
  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  /** Next unsigned 16-bit number. @throws {CodecError} If fewer than 2 bytes are left. */
  u16(): number {
    return this.#view.getUint16(this.#advance(2), this.#littleEndian);
  }

  /** Next unsigned 16-bit number in network order. @throws {CodecError} If fewer than 2 bytes are left. */
  u16be(): number {
    return this.#view.getUint16(this.#advance(2), false);
  }

  /** Next unsigned 32-bit number. @throws {CodecError} If fewer than 4 bytes are left. */
  u32(): number {
    return this.#view.getUint32(this.#advance(4), this.#littleEndian);
  }

  /** Next signed 32-bit number. @throws {CodecError} If fewer than 4 bytes are left. */
  i32(): number {
    return this.#view.getInt32(this.#advance(4), this.#littleEndian);
  }

  /** Next unsigned 64-bit number. @throws {CodecError} If fewer than 8 bytes are left. */
  u64(): bigint {
    return this.#view.getBigUint64(this.#advance(8), this.#littleEndian);
  }

  /** Next signed 64-bit number. @throws {CodecError} If fewer than 8 bytes are left. */
  i64(): bigint {
    return this.#view.getBigInt64(this.#advance(8), this.#littleEndian);
  }

  /** The next `length` bytes, as a view. @throws {CodecError} If fewer are left. */
  bytes(length: number): Uint8Array {
    const start = this.#advance(length);
    return this.#bytes.subarray(start, start + length);
  }

  /** All that is left, as a view. */
  rest(): Uint8Array {
    return this.bytes(this.remaining);
  }

  /** Passes over `length` bytes. @throws {CodecError} If fewer are left. */
  skip(length: number): void {
    this.#advance(length);
  }

  #advance(length: number): number {
    const start = this.#offset;
    if (length > this.remaining) throw new CodecError(this.#what, start, length, this.remaining);
    this.#offset = start + length;
    return start;
  }
}

/** Writes forward into a buffer of its own, which grows. */
export class ByteWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView<ArrayBuffer>;
  readonly #littleEndian: boolean;
  #length = 0;

  constructor(options: ByteOrderOptions & { readonly initialBytes?: number } = {}) {
    this.#bytes = new Uint8Array(options.initialBytes ?? 128);
    this.#view = new DataView(this.#bytes.buffer);
    this.#littleEndian = options.littleEndian ?? HOST_LITTLE_ENDIAN;
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** Appends a byte. */
  u8(value: number): this {
    this.#view.setUint8(this.#reserve(1), value);
    return this;
  }

  /** Appends an unsigned 16-bit number. */
  u16(value: number): this {
    const at = this.#reserve(2);
    this.#view.setUint16(at, value, this.#littleEndian);
    return this;
  }

  /** Appends an unsigned 16-bit number in network order. */
  u16be(value: number): this {
    const at = this.#reserve(2);
    this.#view.setUint16(at, value, false);
    return this;
  }

  /** Appends a 32-bit number, signed or not. */
  u32(value: number): this {
    const at = this.#reserve(4);
    this.#view.setUint32(at, value, this.#littleEndian);
    return this;
  }

  /** Appends a 64-bit number, signed or not. */
  u64(value: bigint): this {
    const at = this.#reserve(8);
    this.#view.setBigUint64(at, value, this.#littleEndian);
    return this;
  }

  /** Appends bytes. */
  bytes(value: Uint8Array): this {
    const at = this.#reserve(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  /** Appends `count` zero bytes. */
  zeros(count: number): this {
    this.#reserve(count);
    return this;
  }

  /** Appends zero bytes until the length is a multiple of `alignment`. */
  align(alignment: number): this {
    return this.zeros((alignment - this.#length % alignment) % alignment);
  }

  /** Overwrites the 16-bit number at `offset`, which must have been written. */
  patchU16(offset: number, value: number): this {
    this.#view.setUint16(offset, value, this.#littleEndian);
    return this;
  }

  /** Overwrites the 32-bit number at `offset`, which must have been written. */
  patchU32(offset: number, value: number): this {
    this.#view.setUint32(offset, value, this.#littleEndian);
    return this;
  }

  /** What was written, as a view that later writes may detach from. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  #reserve(count: number): number {
    const at = this.#length;
    const end = at + count;
    if (end > this.#bytes.length) this.#grow(end);
    this.#length = end;
    return at;
  }

  #grow(atLeast: number): void {
    const grown = new Uint8Array(Math.max(atLeast, this.#bytes.length * 2));
    grown.set(this.#bytes);
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

/** Whether two byte strings are equal. */
export function bytesEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
