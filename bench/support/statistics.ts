/** Order statistics of measured times. Pure. */

/** What a set of samples looks like; in the unit of the samples. */
export interface Summary {
  /** Number of samples. */
  readonly count: number;
  readonly min: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/**
 * The smallest sample that at least a share `q` of all samples do not exceed (nearest rank, so always a value
 * that was seen; with fewer than 100 samples the 0.99 quantile is the largest).
 *
 * @param samples In any order, at least one; left as they are.
 * @param q Above 0, up to 1.
 * @throws {RangeError} If there is no sample, one is not a number, or `q` is out of range.
 */
export function quantile(samples: readonly number[], q: number): number {
  if (samples.length === 0) throw new RangeError("a quantile needs at least one sample");
  if (samples.some(Number.isNaN)) throw new RangeError("a sample is not a number");
  if (!(q > 0 && q <= 1)) throw new RangeError(`quantile ${q} is not above 0 and up to 1`);
  const sorted = [...samples].sort((a, b) => a - b);
  // 0.07 * 100 is 7.000000000000001: without the margin its rank would be 8.
  return sorted[Math.max(0, Math.ceil(q * sorted.length - 1e-9) - 1)]!;
}

/** The 0.5 {@linkcode quantile}. */
export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5);
}

/** Summarises samples. @throws {RangeError} As {@linkcode quantile}. */
export function summarise(samples: readonly number[]): Summary {
  return {
    count: samples.length,
    min: quantile(samples, Number.MIN_VALUE),
    p50: median(samples),
    p99: quantile(samples, 0.99),
    max: quantile(samples, 1),
  };
}
