/** Waits for a condition instead of a time. */

/**
 * How long a condition may take to come about, in milliseconds, unless a test says otherwise. What comes costs no more
 * for it, and a busy machine of two cores has stood still for longer than 5 s.
 */
const PATIENCE_MS = 60_000;

/**
 * Calls `probe` until it gives something other than undefined and false.
 *
 * @param what Named in the error.
 * @returns What `probe` gave.
 * @throws {Error} After `timeoutMs` (default 60,000), or what `probe` throws.
 */
export async function waitFor<T>(
  what: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  options: { readonly timeoutMs?: number; readonly intervalMs?: number } = {},
): Promise<T> {
  const timeoutMs = options.timeoutMs ?? PATIENCE_MS;
  const deadline = performance.now() + timeoutMs;
  while (true) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (performance.now() >= deadline) throw new Error(`${what}: not so within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, options.intervalMs ?? 5));
  }
}
