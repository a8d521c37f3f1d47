/** Trying again what a hiccup of the network spoils. */

/** How a thing is tried. */
export interface RetryOptions {
  /** Pauses between tries, in milliseconds; there is one try more. Default 2, 10 and 30 s. */
  readonly pausesMs?: readonly number[];
  /** Told what was wrong before each pause. */
  readonly onRetry?: (problem: string, pauseMs: number) => void;
}

const PAUSES_MS = [2_000, 10_000, 30_000];

/**
 * Tries until nothing is wrong, or every try is spent.
 *
 * @param attempt What is wrong, or undefined.
 * @returns What was wrong at last, or undefined.
 */
export async function retry(
  attempt: () => Promise<string | undefined>,
  options: RetryOptions = {},
): Promise<string | undefined> {
  for (const pauseMs of options.pausesMs ?? PAUSES_MS) {
    const problem = await attempt();
    if (problem === undefined) return undefined;
    options.onRetry?.(problem, pauseMs);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  return await attempt();
}
