/**
 * The control socket of a device: `<directory>/<interface>.sock`, so that `wg` works on it. Whoever may open it
 * may read the keys, so it is its owner's alone.
 */

import { EADDRINUSE } from "../../../ffi/errno.ts";
import { ErrnoError } from "../../../ffi/errors.ts";
import type { WireGuardDevice } from "../../../ffi/netlink/wireguard.ts";
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

/** Longest request: a device with some 100,000 peers. */
const MAX_REQUEST_BYTES = 64 * 1024 * 1024;
const EIO = 5;

/** See the module. */
export class UapiSocket implements Disposable {
  readonly #listener: Deno.UnixListener;
  readonly #device: ConfigurableDevice;
  readonly #path: string;
  readonly #log: Log;
  readonly #connections = new Set<Deno.UnixConn>();

  private constructor(listener: Deno.UnixListener, path: string, device: ConfigurableDevice, log: Log) {
    this.#listener = listener;
    this.#path = path;
    this.#device = device;
    this.#log = log;
  }

  /** Listens. A file left over by a process that is gone is replaced; so is any other file of that name. */
  static listen(path: string, device: ConfigurableDevice, log: Log): UapiSocket {
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true, mode: 0o700 });
    removeIfThere(path);
    const mask = Deno.umask(0o177);
    try {
      const listener = Deno.listen({ transport: "unix", path });
      const socket = new UapiSocket(listener, path, device, log);
      void socket.#accept();
      return socket;
    } finally {
      Deno.umask(mask);
    }
  }

  /** Stops listening, ends conversations and removes the file. */
  [Symbol.dispose](): void {
    this.#listener.close();
    for (const connection of this.#connections) connection.close();
    this.#connections.clear();
    removeIfThere(this.#path);
  }

  async #accept(): Promise<void> {
    try {
      for await (const connection of this.#listener) void this.#serve(connection);
    } catch (error) {
      this.#log.warn("WireGuard control socket ended", { path: this.#path, err: describeError(error) });
    }
  }

  async #serve(connection: Deno.UnixConn): Promise<void> {
    this.#connections.add(connection);
    try {
      for await (const request of requests(connection)) {
        const answer = new TextEncoder().encode(await this.#answer(request));
        for (let sent = 0; sent < answer.length;) sent += await connection.write(answer.subarray(sent));
      }
    } catch (error) {
      this.#log.debug("WireGuard control connection broke", { path: this.#path, err: describeError(error) });
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
      this.#log.warn("WireGuard control request failed", { path: this.#path, err: describeError(error) });
      const errno = error instanceof ErrnoError && error.errno === EADDRINUSE ? EADDRINUSE : EIO;
      return `errno=${error instanceof RangeError ? UAPI_EINVAL : errno}\n\n`;
    }
  }
}

/** Requests of a connection, without the empty lines between; what was begun at its end counts as one. */
async function* requests(connection: Deno.UnixConn): AsyncGenerator<string> {
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

/** Removes a file; one that is gone is no error. */
export function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
