/**
 * The sockets of a device: bound to the port that it is to have, bound anew when they are lost, say because the
 * system's network was down. The port stays the device's all the time: it may be another's for a moment and is then
 * asked for again.
 */

import { describeError } from "../../errors.ts";
import type { DeviceSockets, SocketFds } from "./packet_plane.ts";

/** What a keeper works with. */
export interface SocketKeeperDeps {
  /** Binds sockets. @throws {FfiError} If the port is another's. */
  readonly bind: (port: number, fwmark: number) => DeviceSockets;
  /** Hands them to the data path, which lets go of those it had. */
  readonly use: (fds: SocketFds) => Promise<void>;
  /** Told of sockets that were lost and bound anew, and of tries in vain. */
  readonly onChange: (message: string, fields: Readonly<Record<string, unknown>>) => void;
  /** Runs something later. @returns Takes that back. */
  readonly later: (run: () => void, delayMs: number) => () => void;
}

/** First and longest pause between tries to bind lost sockets anew, in ms. */
const FIRST_PAUSE_MS = 100, LONGEST_PAUSE_MS = 5_000;

/** See the module. One call at a time: who changes a device waits for the change before. */
export class SocketKeeper implements Disposable {
  readonly #deps: SocketKeeperDeps;
  #sockets: DeviceSockets | undefined;
  #port = 0;
  #fwmark = 0;
  /** Sockets that were lost are to be replaced; the next pause, and how to end it. */
  #pauseMs = 0;
  #cancel: () => void = () => {};
  #isClosed = false;

  constructor(deps: SocketKeeperDeps) {
    this.#deps = deps;
  }

  /** The port, 0 before there is one. */
  get port(): number {
    return this.#port;
  }

  /** The mark of what is sent. */
  get fwmark(): number {
    return this.#fwmark;
  }

  /**
   * Sees to sockets with this port and mark; what is left out stays, and without a port so far any is taken.
   *
   * @throws {FfiError} If the port is another's; the sockets so far are kept then.
   */
  async set({ port, fwmark }: { readonly port?: number; readonly fwmark?: number }): Promise<void> {
    if (fwmark !== undefined && fwmark !== this.#fwmark) {
      this.#sockets?.mark(fwmark);
      this.#fwmark = fwmark;
    }
    if (this.#sockets !== undefined && (port === undefined || port === this.#port)) return;
    await this.#replace(port ?? this.#port);
  }

  /**
   * Binds sockets anew that the data path has lost: now, or, when that fails, as soon as it can be done.
   *
   * @param serially Runs a try of later as a change of the device.
   */
  async restore(why: string, serially: (run: () => Promise<void>) => void): Promise<void> {
    if (this.#isClosed || this.#port === 0) return;
    this.#deps.onChange("UDP sockets are lost", { port: this.#port, why });
    await this.#deps.use({});
    // The port is exclusive: the old ones have to go first.
    this.#sockets?.[Symbol.dispose]();
    this.#sockets = undefined;
    this.#pauseMs = FIRST_PAUSE_MS;
    await this.#retry(serially);
  }

  async #retry(serially: (run: () => Promise<void>) => void): Promise<void> {
    if (this.#isClosed || this.#sockets !== undefined) return;
    try {
      await this.#replace(this.#port);
      this.#deps.onChange("UDP sockets are bound anew", { port: this.#port });
    } catch (error) {
      if (this.#isClosed) return;
      const pauseMs = this.#pauseMs;
      this.#pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
      this.#deps.onChange("UDP port cannot be bound anew", {
        port: this.#port,
        err: describeError(error),
        pauseMs,
      });
      this.#cancel = this.#deps.later(() => serially(() => this.#retry(serially)), pauseMs);
    }
  }

  async #replace(port: number): Promise<void> {
    using undo = new DisposableStack();
    const sockets = undo.use(this.#deps.bind(port, this.#fwmark));
    await this.#deps.use(sockets.fds);
    undo.move();
    this.#cancel();
    this.#sockets?.[Symbol.dispose]();
    this.#sockets = sockets;
    this.#port = sockets.port;
  }

  /** Closes them; the data path does not use them any more. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#cancel();
    this.#sockets?.[Symbol.dispose]();
    this.#sockets = undefined;
  }
}
