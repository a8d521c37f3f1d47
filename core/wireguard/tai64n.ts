/**
 * TAI64N labels: 8 bytes of seconds, big-endian, with 2^62 and 10 leap seconds added; 4 bytes of nanoseconds.
 *
 * A responder accepts an initiation only with a label greater than the last one, so ours never repeat or go
 * back, whatever the clock does. They are rounded down to 2^24 ns, so that they are no precise clock for others.
 *
 * @see https://cr.yp.to/libtai/tai64.html; WireGuard paper §5.1, §5.4.2.
 */

import { TIMESTAMP_BYTES } from "./constants.ts";

const TAI_OFFSET_SECONDS = 2n ** 62n + 10n;
const NANOS_PER_SECOND = 1_000_000_000n;
const GRANULARITY_NANOS = 2n ** 24n;

/** The label of a time in nanoseconds since 1970 (UTC). */
export function encodeTai64n(unixNanos: bigint): Uint8Array {
  const bytes = new Uint8Array(TIMESTAMP_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, TAI_OFFSET_SECONDS + unixNanos / NANOS_PER_SECOND);
  view.setUint32(8, Number(unixNanos % NANOS_PER_SECOND));
  return bytes;
}

/** The time of a label of 12 bytes in nanoseconds since 1970 (UTC). */
export function decodeTai64n(label: Uint8Array): bigint {
  const view = new DataView(label.buffer, label.byteOffset, label.byteLength);
  return (view.getBigUint64(0) - TAI_OFFSET_SECONDS) * NANOS_PER_SECOND + BigInt(view.getUint32(8));
}

/** Gives labels, each greater than the one before. */
export class TimestampSource {
  readonly #wallClockMs: () => number;
  #lastNanos = -GRANULARITY_NANOS;

  /** @param wallClockMs Milliseconds since 1970 (UTC). */
  constructor(wallClockMs: () => number) {
    this.#wallClockMs = wallClockMs;
  }

  /** The label of now, or of one step after the last label if the clock has not passed that yet. */
  next(): Uint8Array {
    const nanos = BigInt(Math.floor(this.#wallClockMs())) * 1_000_000n;
    // Rounded within the second, so that no label has a second of nanoseconds or more.
    const rounded = nanos - (nanos % NANOS_PER_SECOND) % GRANULARITY_NANOS;
    const least = this.#lastNanos + GRANULARITY_NANOS;
    this.#lastNanos = rounded > this.#lastNanos ? rounded : least;
    return encodeTai64n(this.#lastNanos);
  }
}
