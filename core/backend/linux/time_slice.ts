/**
 * A fair share of the daemon's one thread.
 *
 * A conversation with the kernel holds the thread for a millisecond or two, and the next one that is ready follows
 * before any socket is looked at: 200 attaches at once kept every other caller waiting until the last was done
 * (0.5 s, measured). So after some milliseconds of conversations the thread pauses.
 */

/** Conversations that follow one another take no longer than this, the last one not counted. */
const SLICE_MS = 5;

/** A timer of 1 ms that fires within this was slept for. */
const ON_TIME_MS = 2;

/** On a busy machine every timer is late: then it is enough. */
const MAX_NAPS = 4;

/** What a slice is measured and ended by; tests bring their own. */
export interface TimeSliceOptions {
  /** Monotonic time in milliseconds. */
  readonly now?: () => number;
  /** Resolves after the thread has slept. */
  readonly pause?: () => Promise<void>;
}

/** Runs conversations in the order they come. */
export class TimeSlice {
  readonly #now: () => number;
  readonly #sleep: () => Promise<void>;
  #usedMs = 0;
  #pause: Promise<void> | undefined;

  constructor({ now = () => performance.now(), pause = sleep }: TimeSliceOptions = {}) {
    this.#now = now;
    this.#sleep = pause;
  }

  /** Runs `section` as soon as it may hold the thread. What counts is the part before its first `await`. */
  async run<T>(section: () => T | Promise<T>): Promise<T> {
    while (this.#usedMs >= SLICE_MS) await (this.#pause ??= this.#begin());
    const start = this.#now();
    try {
      return section();
    } finally {
      this.#usedMs += this.#now() - start;
    }
  }

  async #begin(): Promise<void> {
    await this.#sleep();
    this.#usedMs = 0;
    this.#pause = undefined;
  }
}

/**
 * Lets the thread sleep, which is when sockets are looked at: as long as anything else is ready, the runtime asks
 * the kernel for news only every 61 rounds (Deno 2.9.6, seen with strace). A timer that comes late shows that
 * other work was ready and the thread did not sleep.
 */
async function sleep(): Promise<void> {
  for (let nap = 0; nap < MAX_NAPS; nap++) {
    const start = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 1));
    if (performance.now() - start < ON_TIME_MS) return;
  }
}
