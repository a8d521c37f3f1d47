/** Giving way to whatever else the process has to do. */

import { setImmediate } from "node:timers";

/**
 * While anything is ready, the runtime asks the kernel for news of its sockets only after so many rounds of its
 * event loop (tokio's `event_interval` of 61, which Deno 2.4 to 2.9 set; seen with strace); and some to hand it on.
 */
const ROUNDS = 64;

/**
 * When rounds take so long on average, the thread sleeps in them, and a few are enough: in Deno 2.4 `setImmediate` is a
 * timer of a millisecond, of which the first may be shorter.
 */
const NAP_MS = 0.7;
/** After so many rounds that is looked at. */
const LOOKS = [2, 4];

/** What turns are measured and made by; tests bring their own. */
export interface TurnOptions {
  /** Monotonic time in milliseconds. */
  readonly now?: () => number;
  /** Resolves one round of the event loop later. */
  readonly round?: () => Promise<void>;
}

/**
 * Has the runtime look at its sockets, and lets what came in there be handled.
 *
 * It does that by itself when the thread sleeps, but a timer that lets the thread sleep takes it 1.1 to 2.2 ms;
 * rounds in which nothing is done cost 1 to 3 us each. Measured on Linux with Deno 2.9.6, `status` of one client
 * beside one that floods, and what that one gets: 1.4 ms and 123,000 answers/s; with a timer 1.1 ms and 58,000; with
 * one round 5.5 ms, and 90 for the slowest hundredth.
 */
export async function othersTurn(options: TurnOptions = {}): Promise<void> {
  const { now = () => performance.now(), round = () => new Promise((resolve) => setImmediate(resolve)) } =
    options;
  const start = now();
  for (let i = 1; i <= ROUNDS; i++) {
    await round();
    if (LOOKS.includes(i) && now() - start >= i * NAP_MS) return;
  }
}
