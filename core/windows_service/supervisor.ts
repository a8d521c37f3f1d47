/** What runs a daemon besides signals: on Windows the Service Control Manager. */

/** A daemon tells how far it is, and is told to stop. Calls out of order do nothing. */
export interface Supervisor {
  /** Resolves with the reason when the daemon is to stop; never, if it is not. */
  readonly stopRequested: Promise<string>;
  /** It listens. */
  running(): void;
  /** It has begun to stop. */
  stopping(): void;
  /** It has stopped, or is about to be cut off: the process ends with that exit code. */
  stopped(exitCode: number): void;
}

/** For a daemon in the foreground, or under a manager that only sends signals. */
export const UNSUPERVISED: Supervisor = {
  stopRequested: new Promise(() => {}),
  running(): void {},
  stopping(): void {},
  stopped(): void {},
};
