/**
 * The daemon's life: claim the data directory, build the engine, listen, run, stop.
 *
 * The parts come in as functions, so that the order and what is undone when a step fails are tested without
 * a kernel or a socket. One stop path serves signals, the `shutdown` request and tests alike.
 */
import type { Log } from "./log.ts";
import type { OverlayService } from "./service.ts";
import { describeError } from "./errors.ts";
import { STOP_HINT_MS } from "./windows_service/lifecycle.ts";

/** A started engine. */
export interface EngineHandle {
  readonly service: OverlayService;
  /** Removes the data plane: what `--cleanup-on-exit` asks for. */
  cleanup(): Promise<void>;
  /** Lets go of the database and the kernel; the data plane stays. */
  close(): Promise<void>;
}

/** A listening server. */
export interface ServerHandle {
  /** Stops accepting, lets requests in flight end for `graceMs`, closes connections, unlinks its sockets. */
  close(graceMs: number): Promise<void>;
}

/** The parts of a daemon, and how it is to end. */
export interface DaemonDeps {
  /** Claims the data directory for as long as the result is not disposed. */
  readonly lock: () => Promise<Disposable>;
  /** Builds the engine and lets it adopt what exists: nothing listens before this is done. */
  readonly openEngine: () => Promise<EngineHandle>;
  /** Binds and serves. `onShutdown` is called when the reply to `shutdown` has been flushed. */
  readonly serve: (service: OverlayService, onShutdown: () => void) => Promise<ServerHandle>;
  readonly log: Log;
  /** Called when the stop begins, whoever asked for it. */
  readonly onStopping: () => void;
  /** Remove the data plane at the end. */
  readonly cleanupOnExit: boolean;
  /** How long requests in flight are waited for, in milliseconds. */
  readonly graceMs: number;
}

/**
 * How long a stop may take, in milliseconds, before it is cut off: 5 s for what signals stop, as the zlayer daemon
 * expects; what a service tells its manager to wait for; a minute where the data plane is removed.
 */
export function stopLimitMs(how: { readonly cleanupOnExit: boolean; readonly service: boolean }): number {
  if (how.cleanupOnExit) return 60_000;
  return how.service ? STOP_HINT_MS - 500 : 4900;
}

/** A daemon that listens. */
export interface RunningDaemon {
  /** Resolves when it has stopped, however that came. */
  readonly finished: Promise<void>;
  /**
   * Stops it: accept no more, finish what is in flight, leave the data plane (unless it is to be removed).
   * Later calls join the first.
   */
  stop(reason: string): Promise<void>;
}

/**
 * Starts a daemon. What was opened before a failing step is closed again.
 *
 * @throws Whatever the failing step threw.
 */
export async function startDaemon(deps: DaemonDeps): Promise<RunningDaemon> {
  const lock = await deps.lock();
  let engine: EngineHandle | undefined;
  try {
    engine = await deps.openEngine();
    return await Daemon.start(deps, lock, engine);
  } catch (error) {
    await engine?.close().catch((failure) => {
      deps.log.warn("cannot close the engine", { err: describeError(failure) });
    });
    lock[Symbol.dispose]();
    throw error;
  }
}

class Daemon implements RunningDaemon {
  readonly finished: Promise<void>;
  readonly #finish: () => void;
  #stopping: Promise<void> | undefined;
  #serving: Promise<ServerHandle> | undefined;

  private constructor(
    readonly deps: DaemonDeps,
    readonly lock: Disposable,
    readonly engine: EngineHandle,
  ) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.finished = promise;
    this.#finish = resolve;
  }

  static async start(deps: DaemonDeps, lock: Disposable, engine: EngineHandle): Promise<Daemon> {
    const daemon = new Daemon(deps, lock, engine);
    // A later turn, so that a stop that comes at once finds the promise it has to wait for.
    daemon.#serving = Promise.resolve().then(() =>
      deps.serve(engine.service, () => void daemon.stop("shutdown request"))
    );
    await daemon.#serving;
    return daemon;
  }

  stop(reason: string): Promise<void> {
    return this.#stopping ??= this.#stop(reason);
  }

  /** Every step is tried whatever the one before came to: an exit that leaves less behind is the better one. */
  async #stop(reason: string): Promise<void> {
    const { log, cleanupOnExit, graceMs } = this.deps;
    this.deps.onStopping();
    log.info("stopping", { reason });
    await this.#step("close the server", async () => (await this.#serving)?.close(graceMs));
    if (cleanupOnExit) await this.#step("remove the data plane", () => this.engine.cleanup());
    await this.#step("close the engine", () => this.engine.close());
    this.lock[Symbol.dispose]();
    log.info("stopped", { data_plane: cleanupOnExit ? "removed" : "left in place" });
    this.#finish();
  }

  async #step(what: string, run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      this.deps.log.error(`cannot ${what}`, { err: describeError(error) });
    }
  }
}
