/** Waiting for conditions, never for a time. */

/**
 * Polls until a condition holds.
 *
 * @param what Named when it does not come true within 10 s.
 */
export async function waitFor(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!await condition()) {
    if (performance.now() > deadline) throw new Error(`waited 10 s for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
