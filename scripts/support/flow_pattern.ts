/**
 * What {@linkcode TcpFlow} sends: the same numbered lines of plain text over and over, so that the other end can
 * tell any byte that is changed, missing or out of place, and a tap any packet that shows them. Pure.
 */
import { Buffer } from "node:buffer";

/** In every line, to be looked for where it must not be. */
export const MARKER = "zlayer-overlayd: plain text in the overlay";

const LINES = 1_000;

/** One period of the flow: 1,000 lines, some 50 KB. */
export const PATTERN: Uint8Array<ArrayBuffer> = new TextEncoder().encode(
  Array.from({ length: LINES }, (_, i) => `${MARKER} ${i}\n`).join(""),
);

/** Compares what arrives with what was sent. */
export class PatternCheck {
  #bytes = 0;
  #isIntact = true;

  /** Takes the next bytes of the flow. */
  push(chunk: Uint8Array): void {
    for (let done = 0; done < chunk.length;) {
      const at = (this.#bytes + done) % PATTERN.length;
      const length = Math.min(chunk.length - done, PATTERN.length - at);
      const want = PATTERN.subarray(at, at + length);
      if (Buffer.compare(chunk.subarray(done, done + length), want) !== 0) this.#isIntact = false;
      done += length;
    }
    this.#bytes += chunk.length;
  }

  /** Bytes taken so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether all of them are the pattern's. */
  get isIntact(): boolean {
    return this.#isIntact;
  }
}
