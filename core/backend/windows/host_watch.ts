/**
 * Notices what others do to devices: whoever changes addresses, routes and interfaces of the host sets a signal, and
 * only then the devices are looked at.
 */

import { describeError } from "../../errors.ts";
import type { Log } from "../../log.ts";

/** How often the signal is looked at, in ms; that is one call of the system. */
const INTERVAL_MS = 500;

/** What is watched. */
export interface HostWatchOptions {
  /** Begins to watch. @throws If the system refuses. */
  readonly openSignal: () => Disposable & { take(): boolean };
  /** Names of devices that are not as they should be. */
  readonly strayed: () => readonly string[];
  readonly onStrayed: (name: string) => void;
  readonly log: Log;
}

/** Begins to watch. Where the system refuses, the regular look at everything has to do. @returns Ends it. */
export function watchHost({ openSignal, strayed, onStrayed, log }: HostWatchOptions): () => void {
  let signal: ReturnType<typeof openSignal>;
  try {
    signal = openSignal();
  } catch (err) {
    log.warn("changes to addresses and routes by others are noticed late", { err: describeError(err) });
    return () => {};
  }
  const look = (): void => {
    if (!signal.take()) return;
    try {
      strayed().forEach(onStrayed);
    } catch (err) {
      log.warn("cannot look at addresses and routes", { err: describeError(err) });
    }
  };
  const timer = setInterval(look, INTERVAL_MS);
  return () => {
    clearInterval(timer);
    signal[Symbol.dispose]();
  };
}
