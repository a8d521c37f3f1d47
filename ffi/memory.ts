/** Memory that C code sees: strings, and buffers that stay put with their address. */

/** A NUL-terminated UTF-8 string. @throws {TypeError} If the text holds a NUL. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  if (text.includes("\0")) throw new TypeError("text for C must not hold a NUL");
  return new Uint8Array(new TextEncoder().encode(`${text}\0`));
}

/**
 * A buffer together with its address, looked up once.
 *
 * The object must stay reachable for as long as C code may use the address: hold it in a field.
 */
export class PinnedBuffer {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  readonly pointer: Deno.PointerObject;
  /** The same as a number: addresses of user space are well below 2^53. */
  readonly address: number;

  /**
   * @param memory Size in bytes, at least 1; or memory that is there already, is a buffer's whole and never moves.
   */
  constructor(memory: number | Uint8Array<ArrayBuffer>) {
    this.bytes = typeof memory === "number" ? new Uint8Array(memory) : memory;
    this.view = new DataView(this.bytes.buffer);
    const pointer = Deno.UnsafePointer.of(this.bytes);
    if (pointer === null) {
      throw new RangeError(`a pinned buffer needs at least 1 byte, got ${this.bytes.length}`);
    }
    this.pointer = pointer;
    this.address = Number(Deno.UnsafePointer.value(pointer));
  }
}
