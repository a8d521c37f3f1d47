/**
 * The IPC server: accepts connections from one or more listeners and serves each on its own.
 *
 * Source: spec/daemon.md §3 (4), §5.
 */

import { describeError } from "../core/errors.ts";
import type { OverlayEvent, OverlayService } from "../core/service.ts";
import { ByteBudget } from "./byte_budget.ts";
import { type ConnectionSetup, ServerConnection } from "./connection.ts";
import { type IpcLog, SILENT_LOG } from "./log.ts";
import type { IpcListener, IpcStream } from "./stream.ts";
import { delay, settledWithin } from "./timeout.ts";

/** How an {@linkcode IpcServer} is set up. */
export interface IpcServerOptions {
  readonly service: OverlayService;
  readonly log?: IpcLog;
  /** Called once after a `shutdown` succeeded and its reply went out. */
  readonly onShutdown: () => void;
  /** A request not answered by then gets an `err`; its work goes on. Default 30 s. */
  readonly requestTimeoutMs?: number;
  /** Time for a frame from its first byte to its last. Default 30 s. */
  readonly frameTimeoutMs?: number;
  /** Connections at once; one more is closed as soon as it is accepted. Default 1024. */
  readonly maxConnections?: number;
  /** Events kept per connection. Default 256. */
  readonly maxQueuedEvents?: number;
  /** Memory for unfinished frames over 64 KiB each, all connections together. Default 64 MiB. */
  readonly receiveBudgetBytes?: number;
  /** Pause after a failed accept. Default 100 ms. */
  readonly acceptRetryMs?: number;
}

/** Serves an `OverlayService` to IPC clients. */
export class IpcServer {
  readonly #setup: ConnectionSetup;
  readonly #maxConnections: number;
  readonly #acceptRetryMs: number;
  readonly #listeners = new Set<IpcListener>();
  readonly #connections = new Map<ServerConnection, Promise<void>>();
  readonly #closed = Promise.withResolvers<void>();
  #unsubscribe: (() => void) | undefined;
  #closing = false;
  #full = false;

  constructor(options: IpcServerOptions) {
    this.#setup = {
      service: options.service,
      log: options.log ?? SILENT_LOG,
      onShutdown: once(options.onShutdown),
      requestTimeoutMs: options.requestTimeoutMs ?? 30_000,
      frameTimeoutMs: options.frameTimeoutMs ?? 30_000,
      maxQueuedEvents: options.maxQueuedEvents ?? 256,
      receiveBudget: new ByteBudget(options.receiveBudgetBytes ?? 64 * 1024 * 1024),
    };
    this.#maxConnections = options.maxConnections ?? 1024;
    this.#acceptRetryMs = options.acceptRetryMs ?? 100;
  }

  /** Connections being served. */
  get connectionCount(): number {
    return this.#connections.size;
  }

  /**
   * Accepts from a listener until {@linkcode close}; may be called for several. An accept that fails, for
   * want of file descriptors say, is tried again after a pause. Never rejects.
   */
  async serve(listener: IpcListener): Promise<void> {
    if (this.#closing) return listener.close();
    this.#unsubscribe ??= this.#setup.service.subscribe((event) => this.#broadcast(event));
    this.#listeners.add(listener);
    await Promise.race([this.#acceptLoop(listener), this.#closed.promise]);
  }

  /**
   * Stops accepting, lets the requests under way finish and their responses go out, then closes every
   * connection.
   *
   * @param graceMs Time for that; what is not done by then is cut off.
   */
  async close(graceMs: number): Promise<void> {
    this.#closing = true;
    this.#unsubscribe?.();
    for (const listener of this.#listeners) listener.close();
    this.#listeners.clear();
    this.#closed.resolve();
    const running = [...this.#connections].map(([connection, run]) => Promise.all([connection.stop(), run]));
    await settledWithin(Promise.all(running), graceMs);
    for (const connection of this.#connections.keys()) connection.close();
  }

  async #acceptLoop(listener: IpcListener): Promise<void> {
    let failing = false;
    while (!this.#closing) {
      try {
        this.#take(await listener.accept());
        failing = false;
      } catch (error) {
        if (this.#closing || error instanceof Deno.errors.BadResource) return;
        // Once, not ten times a second for as long as descriptors are short.
        if (!failing) this.#setup.log.warn("accept failed, trying again", acceptFields(listener, error));
        failing = true;
        await delay(this.#acceptRetryMs);
      }
    }
  }

  #take(stream: IpcStream): void {
    if (this.#closing || this.#isFull()) return stream.close();
    const connection = new ServerConnection(stream, this.#setup);
    this.#connections.set(connection, connection.run().finally(() => this.#connections.delete(connection)));
  }

  #isFull(): boolean {
    const full = this.#connections.size >= this.#maxConnections;
    if (full && !this.#full) {
      this.#setup.log.warn("connection refused: too many are open", { limit: this.#maxConnections });
    }
    return this.#full = full;
  }

  #broadcast(event: OverlayEvent): void {
    for (const connection of this.#connections.keys()) connection.notify(event);
  }
}

function acceptFields(listener: IpcListener, error: unknown): Record<string, unknown> {
  return { endpoint: listener.name, err: describeError(error) };
}

function once(callback: () => void): () => void {
  let called = false;
  return () => {
    if (called) return;
    called = true;
    callback();
  };
}
