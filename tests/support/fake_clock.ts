/** A clock that stands still until the test moves it. */
import type { Clock } from "../../core/clock.ts";

interface Timer {
  readonly dueMs: number;
  readonly order: number;
  readonly callback: () => void;
}

/** {@linkcode Clock} under the test's control; starts at 2026-01-01T00:00:00Z, one hour after boot. */
export class FakeClock implements Clock {
  #wallMs = Date.UTC(2026, 0, 1);
  #monotonicMs = 0;
  #boottimeMs = 3_600_000;
  #order = 0;
  readonly #timers = new Set<Timer>();

  wallSeconds(): number {
    return Math.floor(this.#wallMs / 1000);
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  boottimeMs(): number {
    return this.#boottimeMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer: Timer = { dueMs: this.#monotonicMs + Math.max(0, delayMs), order: this.#order++, callback };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** Timers that are set and have not fired. */
  get pendingTimers(): number {
    return this.#timers.size;
  }

  /** Moves all three clocks on and fires what falls due, in order of due time, then of setting. */
  advance(ms: number): void {
    const end = this.#monotonicMs + ms;
    for (let timer = this.#next(end); timer; timer = this.#next(end)) {
      this.#timers.delete(timer);
      this.#move(timer.dueMs - this.#monotonicMs);
      timer.callback();
    }
    this.#move(end - this.#monotonicMs);
  }

  /** The machine sleeps: wall and boot time go on, monotonic time stands still. */
  sleep(ms: number): void {
    this.#wallMs += ms;
    this.#boottimeMs += ms;
  }

  /** Sets the wall clock alone, as an operator or NTP does. */
  setWallSeconds(seconds: number): void {
    this.#wallMs = seconds * 1000;
  }

  #next(endMs: number): Timer | undefined {
    const due = [...this.#timers].filter((timer) => timer.dueMs <= endMs);
    return due.sort((a, b) => a.dueMs - b.dueMs || a.order - b.order)[0];
  }

  #move(ms: number): void {
    if (ms <= 0) return;
    this.#wallMs += ms;
    this.#monotonicMs += ms;
    this.#boottimeMs += ms;
  }
}
