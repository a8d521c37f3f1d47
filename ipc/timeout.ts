/** Waiting with a limit. */

/** The value of a promise, or `undefined` when it has none within so many milliseconds. Rejects as it does. */
export async function settledWithin<T>(promise: Promise<T>, timeoutMs: number): Promise<T | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const expired = new Promise<void>((resolve) => timer = setTimeout(resolve, timeoutMs));
  try {
    return await Promise.race([promise, expired]) as T | undefined;
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves after so many milliseconds; rejects with the signal's reason as soon as that is aborted. */
export function delay(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal!.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", abort, { once: true });
  });
}
