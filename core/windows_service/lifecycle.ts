/**
 * The states of a Windows service, and what it answers to controls. Pure: reports go out, and stops are asked for,
 * through functions that are given.
 *
 * START_PENDING until the pipe listens, then RUNNING; STOP_PENDING from whatever begins the stop to its end, then
 * STOPPED. In the pending states a checkpoint rises with each {@linkcode ServiceLifecycle.tick}, by which the
 * manager tells a slow service from a hung one.
 *
 * Source: spec/windows.md §5; winsvc.h.
 */

// winsvc.h
const SERVICE_STOPPED = 1;
const SERVICE_START_PENDING = 2;
const SERVICE_STOP_PENDING = 3;
const SERVICE_RUNNING = 4;
const SERVICE_CONTROL_STOP = 1;
const SERVICE_CONTROL_INTERROGATE = 4;
const SERVICE_CONTROL_SHUTDOWN = 5;
const SERVICE_CONTROL_PRESHUTDOWN = 15;
const SERVICE_ACCEPT_STOP = 1;
const SERVICE_ACCEPT_SHUTDOWN = 4;
/** Told of a shutdown before other services are, with more time for it: 10 s, against 5. */
const SERVICE_ACCEPT_PRESHUTDOWN = 0x100;

// winerror.h
const NO_ERROR = 0;
const ERROR_CALL_NOT_IMPLEMENTED = 120;

const ACCEPTED = SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_SHUTDOWN | SERVICE_ACCEPT_PRESHUTDOWN;

/** How often {@linkcode ServiceLifecycle.tick} is to be called, in milliseconds. */
export const TICK_MS = 2000;

const START_HINT_MS = 10_000;
/** How long the manager is asked to wait for a stop to get on: its adapters are closed one after another. */
export const STOP_HINT_MS = 15_000;

/** What stops a service, as the log names it. */
const STOP_REASONS: Readonly<Record<number, string>> = {
  [SERVICE_CONTROL_STOP]: "service stop",
  [SERVICE_CONTROL_SHUTDOWN]: "system shutdown",
  [SERVICE_CONTROL_PRESHUTDOWN]: "system shutdown",
};

/** A report to the manager; the fields are those of SERVICE_STATUS. */
export interface ServiceReport {
  readonly state: number;
  readonly accepted: number;
  readonly exitCode: number;
  readonly checkPoint: number;
  readonly waitHintMs: number;
}

/** Where reports and stops go. */
export interface LifecycleOutputs {
  readonly report: (report: ServiceReport) => void;
  /** Called once at most; must not block. */
  readonly requestStop: (reason: string) => void;
}

/** One run of the service. A call that would go back to an earlier state does nothing. */
export class ServiceLifecycle {
  readonly #outputs: LifecycleOutputs;
  #state = 0;
  #checkPoint = 0;
  #stopRequested = false;

  constructor(outputs: LifecycleOutputs) {
    this.#outputs = outputs;
  }

  /** The service has begun to start. */
  starting(): void {
    if (this.#state === 0) this.#enter(SERVICE_START_PENDING);
  }

  /** It serves. */
  running(): void {
    if (this.#state === SERVICE_START_PENDING) this.#enter(SERVICE_RUNNING);
  }

  /** It has begun to stop, whoever wanted that. */
  stopping(): void {
    if (this.#state !== SERVICE_STOP_PENDING && this.#state !== SERVICE_STOPPED) {
      this.#enter(SERVICE_STOP_PENDING);
    }
  }

  /**
   * It has stopped; the last report, after which the manager may end the process.
   *
   * @param exitCode The process's: 0 when all went well.
   */
  stopped(exitCode: number): void {
    if (this.#state !== SERVICE_STOPPED) this.#enter(SERVICE_STOPPED, exitCode);
  }

  /** Time goes by. */
  tick(): void {
    if (this.#state === SERVICE_START_PENDING || this.#state === SERVICE_STOP_PENDING) this.#report(0);
  }

  /** Answers a control of the manager, with a Win32 error code. */
  control(code: number): number {
    if (code === SERVICE_CONTROL_INTERROGATE) return NO_ERROR; // The manager has the last report.
    const reason = STOP_REASONS[code];
    if (reason === undefined) return ERROR_CALL_NOT_IMPLEMENTED;
    this.stopping();
    if (!this.#stopRequested) {
      this.#stopRequested = true;
      this.#outputs.requestStop(reason);
    }
    return NO_ERROR;
  }

  #enter(state: number, exitCode = 0): void {
    this.#state = state;
    this.#checkPoint = 0;
    this.#report(exitCode);
  }

  #report(exitCode: number): void {
    const state = this.#state;
    const pending = state === SERVICE_START_PENDING || state === SERVICE_STOP_PENDING;
    this.#outputs.report({
      state,
      accepted: state === SERVICE_RUNNING ? ACCEPTED : 0,
      exitCode,
      checkPoint: pending ? ++this.#checkPoint : 0,
      waitHintMs: !pending ? 0 : state === SERVICE_START_PENDING ? START_HINT_MS : STOP_HINT_MS,
    });
  }
}
