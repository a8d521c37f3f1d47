/**
 * One at a time, with a breath between: for work that holds the thread for a millisecond and comes in crowds.
 *
 * Requests that arrive together are all ready at once, and the runtime polls its sockets only now and then
 * while anything is ready. A hundred attaches of a millisecond each would so keep `status` waiting for the
 * whole burst.
 */

/** Lets work through one by one. */
export class Turnstile {
  readonly #breathe: () => Promise<void>;
  #last: Promise<void> = Promise.resolve();

  /** @param breathe Resolves when other input has had its turn; {@linkcode pollInput} outside of tests. */
  constructor(breathe: () => Promise<void>) {
    this.#breathe = breathe;
  }

  /** Runs the work when that of all earlier callers is done. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    const earlier = this.#last;
    const done = Promise.withResolvers<void>();
    this.#last = done.promise;
    await earlier;
    try {
      return await work();
    } finally {
      // Not awaited: the reply need not wait for it.
      void this.#breathe().finally(done.resolve);
    }
  }
}

/**
 * Resolves after the runtime has polled its sockets.
 *
 * An asynchronous file operation makes it do that for 0.1 ms. A timer of 0 ms takes 2.5 ms; `setImmediate` and
 * message channels do not make it poll at all (Deno 2.9.6: a waiting socket was read after 114 and 58 ms).
 */
export async function pollInput(): Promise<void> {
  await Deno.lstat("/").catch(() => {});
}
