/**
 * The control socket of a device on Unix: `<directory>/<interface>.sock`. Whoever may open it may read the keys, so it
 * is its owner's alone.
 */

import type { Log } from "../../log.ts";
import { type ConfigurableDevice, UapiServer } from "./uapi_server.ts";

/** See the module. */
export class UapiSocket implements Disposable {
  readonly #server: UapiServer;
  readonly #path: string;

  private constructor(server: UapiServer, path: string) {
    this.#server = server;
    this.#path = path;
  }

  /** Listens. A file left over by a process that is gone is replaced; so is any other file of that name. */
  static listen(path: string, device: ConfigurableDevice, log: Log): UapiSocket {
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true, mode: 0o700 });
    removeIfThere(path);
    const mask = Deno.umask(0o177);
    try {
      const listener = Deno.listen({ transport: "unix", path });
      return new UapiSocket(new UapiServer(listener, device, { place: path, log }), path);
    } finally {
      Deno.umask(mask);
    }
  }

  /** Stops listening, ends conversations and removes the file. */
  [Symbol.dispose](): void {
    this.#server[Symbol.dispose]();
    removeIfThere(this.#path);
  }
}

/** Removes a file; one that is gone is no error. */
export function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
