/**
 * The clocks the program reads, and the one timer it sets, behind an interface that tests replace.
 *
 * Three time bases, never mixed: wall time for what people and other programs read, monotonic time for
 * durations while awake, boot time for durations that go on while the machine sleeps.
 */

/** Sources of time. */
export interface Clock {
  /** Unix time in whole seconds; may jump. */
  wallSeconds(): number;
  /** Milliseconds since an arbitrary start; never goes back; may stand still while the machine sleeps. */
  monotonicMs(): number;
  /** Milliseconds since boot, sleep included (`CLOCK_BOOTTIME`), at least to 10 ms where the OS gives that. */
  boottimeMs(): number;
  /**
   * Calls back once, `delayMs` of monotonic time from now. The timer does not keep the process alive.
   *
   * @returns Cancels the timer; harmless after it has fired.
   */
  after(delayMs: number, callback: () => void): () => void;
}

/** The clocks of this machine. */
export function systemClock(): Clock {
  return {
    wallSeconds: () => Math.floor(Date.now() / 1000),
    monotonicMs: () => performance.now(),
    boottimeMs: readBoottimeMs,
    after(delayMs: number, callback: () => void): () => void {
      const id = setTimeout(callback, delayMs);
      Deno.unrefTimer(id);
      return () => clearTimeout(id);
    },
  };
}

/** `/proc/uptime` counts CLOCK_BOOTTIME in hundredths of a second; elsewhere the OS gives whole seconds. */
function readBoottimeMs(): number {
  try {
    const seconds = Number.parseFloat(Deno.readTextFileSync("/proc/uptime"));
    if (Number.isFinite(seconds)) return seconds * 1000;
  } catch {
    // Not Linux, or /proc is not mounted.
  }
  return Deno.osUptime() * 1000;
}
