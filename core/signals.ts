/**
 * What the process does on signals and on errors that nothing caught.
 *
 * An uncaught error does not end the daemon. Its callers keep one connection for life and never reconnect, so
 * ending would cost the node its network until they restart; and every mutation has committed its intent
 * before its effect, so whatever the error cut short is completed or undone by the next pass or start. It is
 * logged as an error, with its stack at debug level.
 */
import type { Log } from "./log.ts";
import { describeError } from "./errors.ts";

/** What signals ask for. */
export interface SignalHandlers {
  /** The first SIGINT, SIGTERM or (on a terminal) SIGHUP. */
  readonly stop: (signal: Deno.Signal) => void;
  /** The second one: end at once. */
  readonly force: (signal: Deno.Signal) => void;
}

/**
 * Listens for signals until the process ends.
 *
 * @param options.terminal Whether a terminal controls the process: then SIGHUP means that it is gone. A
 * detached daemon ignores SIGHUP. On Windows there is none to listen for: when a console is closed, its processes
 * end as soon as their handlers return, which those of Deno do at once.
 * @param options.listen Registers a listener; with the system unless given.
 */
export function handleSignals(
  handlers: SignalHandlers,
  { os, terminal, listen = Deno.addSignalListener }: {
    readonly os: string;
    readonly terminal: boolean;
    readonly listen?: (signal: Deno.Signal, onSignal: () => void) => void;
  },
): void {
  let received = 0;
  const onSignal = (signal: Deno.Signal): void => {
    received++;
    if (received === 1) handlers.stop(signal);
    else handlers.force(signal);
  };
  const stopping: Deno.Signal[] = os === "windows" ? ["SIGINT", "SIGBREAK"] : ["SIGINT", "SIGTERM"];
  for (const signal of stopping) listen(signal, () => onSignal(signal));
  if (os === "windows") return;
  listen("SIGHUP", () => {
    if (terminal) onSignal("SIGHUP");
  });
}

/** Keeps the process alive over uncaught errors and rejections; see the file's comment. */
export function surviveUncaughtErrors(log: Log): void {
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    report(log, "unhandled rejection", event.reason);
  });
  globalThis.addEventListener("error", (event) => {
    event.preventDefault();
    report(log, "uncaught error", event.error);
  });
}

function report(log: Log, message: string, error: unknown): void {
  log.error(message, { err: describeError(error) });
  if (error instanceof Error) log.debug(message, { stack: error.stack ?? "" });
}
