/**
 * Serves the configuration protocol of a device (`uapi.ts`) to whoever connects, wherever that is: so that `wg` works
 * on it.
 */

import { EADDRINUSE } from "../../../ffi/errno.ts";
import { ErrnoError } from "../../../ffi/errors.ts";
import type { WireGuardDevice } from "../../../ffi/netlink/wireguard.ts";
import { isPortTaken } from "../../../ffi/windows/udp_socket.ts";
import { describeError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import { formatUapiDevice, parseUapiRequest, UAPI_EINVAL } from "./uapi.ts";

/** A device that can be read and changed. */
export interface ConfigurableDevice {
  /** Everything, secrets included. */
  read(): Promise<WireGuardDevice>;
  /** Carries a change out. */
  write(change: WireGuardDevice): Promise<void>;
}

/** A client: a Unix socket, or a named pipe. */
export interface UapiConnection {
  /** Reads some bytes; null at the end. */
  read(into: Uint8Array): Promise<number | null>;
  /** Writes some of the bytes; resolves to how many. */
  write(bytes: Uint8Array): Promise<number>;
  close(): void;
}

/** Where clients come from. */
export interface UapiListener {
  /** The next client; rejects with `BadResource` once closed. */
  accept(): Promise<UapiConnection>;
  close(): void;
}

/** Longest request: a device with some 100,000 peers. */
const MAX_REQUEST_BYTES = 64 * 1024 * 1024;
const EIO = 5;
/** After a client that could not be taken. */
const PAUSE_MS = 1000;

/** See the module. */
export class UapiServer implements Disposable {
  readonly #listener: UapiListener;
  readonly #place: string;
  readonly #device: ConfigurableDevice;
  readonly #log: Log;
  readonly #connections = new Set<UapiConnection>();
  #isClosed = false;
  #endPause = (): void => {};

  /** Serves until disposal. @param place Where it listens, for the log. */
  constructor(
    listener: UapiListener,
    device: ConfigurableDevice,
    { place, log }: { readonly place: string; readonly log: Log },
  ) {
    this.#listener = listener;
    this.#device = device;
    this.#place = place;
    this.#log = log;
    void this.#accept();
  }

  /** Stops listening and ends conversations; twice is fine. */
  [Symbol.dispose](): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#endPause();
    this.#listener.close();
    for (const connection of this.#connections) connection.close();
    this.#connections.clear();
  }

  /** A system that has no room for another client may have it later. */
  async #accept(): Promise<void> {
    while (!this.#isClosed) {
      try {
        void this.#serve(await this.#listener.accept());
      } catch (error) {
        if (this.#isClosed) return;
        this.#log.warn("no client of WireGuard's control socket can be taken", {
          path: this.#place,
          err: describeError(error),
        });
        await this.#pause();
      }
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, PAUSE_MS);
      this.#endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async #serve(connection: UapiConnection): Promise<void> {
    this.#connections.add(connection);
    try {
      for await (const request of requests(connection)) {
        const answer = new TextEncoder().encode(await this.#answer(request));
        for (let sent = 0; sent < answer.length;) sent += await connection.write(answer.subarray(sent));
      }
    } catch (error) {
      this.#log.debug("WireGuard control connection broke", { path: this.#place, err: describeError(error) });
    } finally {
      if (this.#connections.delete(connection)) connection.close();
    }
  }

  async #answer(text: string): Promise<string> {
    const request = parseUapiRequest(text);
    try {
      if (request.kind === "get") return formatUapiDevice(await this.#device.read());
      if (request.kind === "invalid") return `errno=${request.errno}\n\n`;
      await this.#device.write(request.change);
      return "errno=0\n\n";
    } catch (error) {
      this.#log.warn("WireGuard control request failed", { path: this.#place, err: describeError(error) });
      return `errno=${errnoOf(error)}\n\n`;
    }
  }
}

/** Numbers of Linux, on Windows too: the protocol knows no others. */
function errnoOf(error: unknown): number {
  if (error instanceof RangeError) return UAPI_EINVAL;
  const isTaken = isPortTaken(error) || (error instanceof ErrnoError && error.errno === EADDRINUSE);
  return isTaken ? EADDRINUSE : EIO;
}

/** Requests of a connection, without the empty lines between; what was begun at its end counts as one. */
async function* requests(connection: UapiConnection): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(64 * 1024);
  let text = "";
  for (;;) {
    const count = await connection.read(buffer);
    text += decoder.decode(buffer.subarray(0, count ?? 0), { stream: true });
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      yield text.slice(0, end);
      text = text.slice(end + 2);
    }
    if (count === null || text.length > MAX_REQUEST_BYTES) break;
  }
  if (text.trim() !== "" && text.length <= MAX_REQUEST_BYTES) yield text.replace(/\n$/, "");
}
