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

/** Work goes on for so long before the thread rests. */
const SLICE_MS = 1;

/** A timer of 1 ms that fires within this was slept for; a thread that sleeps well is woken after 2.2 ms here. */
const ON_TIME_MS = 4;

/** On a busy machine every timer is late: then it is enough. */
const MAX_NAPS = 4;

/** What a breath is measured and made by; tests bring their own. */
export interface BreathOptions {
  /** Monotonic time in milliseconds. */
  readonly now?: () => number;
  /** Resolves after about a millisecond. */
  readonly nap?: () => Promise<void>;
}

/**
 * Makes a breath that lets the thread sleep when a millisecond or more has passed since the last time.
 *
 * The runtime looks at its sockets when the thread sleeps; while anything is ready it does so only every 61
 * rounds (Deno 2.9.6, seen with strace). `setImmediate`, a timer that is due already and an asynchronous file
 * operation are therefore no help: what else is ready keeps the thread awake. So it is a timer, and one that
 * comes late, since other work kept the thread from sleeping, is set again. Measured beside 100
 * attaches at once, the slowest hundredth of the answers to `status`: 12 ms; 21 ms with 2 ms of work between
 * rests, 29 ms with 5, of which the attaches themselves take 320, 240 and 190 ms.
 */
export function slicedBreath(options: BreathOptions = {}): () => Promise<void> {
  const { now = () => performance.now(), nap = () => new Promise((resolve) => setTimeout(resolve, 1)) } =
    options;
  let rested = -Infinity;
  return async () => {
    if (now() - rested < SLICE_MS) return;
    for (let i = 0; i < MAX_NAPS; i++) {
      const start = now();
      await nap();
      if (now() - start < ON_TIME_MS) break;
    }
    rested = now();
  };
}
