/**
 * A queue before a service that works through what it is asked one by one: so many calls are with it, the others wait
 * here, in order, where waiting does not look like a service that hangs.
 */

import type { Clock } from "../../clock.ts";

/** Leaves the queue for good; to be called once. */
export type Leave = () => void;

interface Waiter {
  admit(): void;
  refuse(error: Error): void;
}

/** See the module. */
export class CallQueue {
  readonly #clock: Clock;
  readonly #width: number;
  readonly #waiters = new Set<Waiter>();
  #admitted = 0;

  /** @param width How many are let through at a time. */
  constructor(width: number, clock: Clock) {
    this.#width = width;
    this.#clock = clock;
  }

  /** How many wait. */
  get length(): number {
    return this.#waiters.size;
  }

  /** Lets one through at once, or `undefined` if it has to {@linkcode wait}. */
  enter(): Leave | undefined {
    if (this.#admitted >= this.#width) return undefined;
    this.#admitted++;
    return () => this.#leave();
  }

  /**
   * Waits for its turn.
   *
   * @param giveUpAtMs Monotonic time after which it is not wanted any more; by default that never comes.
   * @param late What it is rejected with then.
   */
  wait(giveUpAtMs: number | undefined, late: () => Error): Promise<Leave> {
    const { promise, resolve, reject } = Promise.withResolvers<Leave>();
    const cancel = giveUpAtMs === undefined
      ? (): void => {}
      : this.#clock.after(giveUpAtMs - this.#clock.monotonicMs(), () => waiter.refuse(late()));
    const end = (): void => {
      this.#waiters.delete(waiter);
      cancel();
    };
    const waiter: Waiter = {
      admit: () => {
        end();
        resolve(() => this.#leave());
      },
      refuse: (error) => {
        end();
        reject(error);
      },
    };
    this.#waiters.add(waiter);
    return promise;
  }

  /** Sends everybody away who waits. */
  refuseAll(error: () => Error): void {
    for (const waiter of [...this.#waiters]) waiter.refuse(error());
  }

  /** The place goes to who has waited longest. */
  #leave(): void {
    const [next] = this.#waiters;
    if (next) next.admit();
    else this.#admitted--;
  }
}
