/**
 * One at a time, with a breath between: for work that holds the thread for a millisecond and comes in crowds.
 *
 * Requests that arrive together are all ready at once, and the runtime polls its sockets only now and then
 * while anything is ready. A hundred attaches of a millisecond each would so keep `status` waiting for the
 * whole burst.
 */

import { setImmediate } from "node:timers";

/** Lets work through one by one. */
export class Turnstile {
  readonly #breathe: () => Promise<void>;
  #last: Promise<void> = Promise.resolve();

  /** @param breathe Resolves when other input has had its turn; {@linkcode slicedBreath} outside of tests. */
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

/** Work goes on for so long before others have their turn. */
const SLICE_MS = 1;

/**
 * While anything is ready, the runtime asks the kernel for news of its sockets only after so many rounds of its
 * event loop (tokio's `event_interval` of 61, which Deno 2.4 to 2.9 set; seen with strace); and some to hand it on.
 */
const ROUNDS = 64;

/**
 * When the first two rounds take so long, the thread has slept in them, and that is enough: in Deno 2.4
 * `setImmediate` is a timer of a millisecond.
 */
const TWO_NAPS_MS = 2;

/** What a breath is measured and made by; tests bring their own. */
export interface BreathOptions {
  /** Monotonic time in milliseconds. */
  readonly now?: () => number;
  /** Resolves one round of the event loop later. */
  readonly round?: () => Promise<void>;
}

/**
 * Makes a breath that has the runtime look at its sockets when a millisecond or more has passed since the last
 * time.
 *
 * It does that by itself when the thread sleeps, but a timer that lets the thread sleep takes it 1.1 to 2.2 ms;
 * rounds of the event loop in which nothing is done cost 2 to 3 us each, and what came in is handled in them.
 * Measured beside 100 attaches at once: 176 ms for the attaches, and 4.5 ms for the slowest hundredth of the answers
 * to `status`; with a timer 354 and 6.4, without any breath 141 and 144.
 */
export function slicedBreath(options: BreathOptions = {}): () => Promise<void> {
  const { now = () => performance.now(), round = () => new Promise((resolve) => setImmediate(resolve)) } =
    options;
  let rested = -Infinity;
  return async () => {
    const start = now();
    if (start - rested < SLICE_MS) return;
    for (let i = 1; i <= ROUNDS; i++) {
      await round();
      if (i === 2 && now() - start >= TWO_NAPS_MS) break;
    }
    rested = now();
  };
}
