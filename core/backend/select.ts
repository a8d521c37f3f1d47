/** The backend of this system. Only the one that is used is loaded. */

import { UnsupportedError } from "../errors.ts";
import type { WireGuardChoice } from "../config.ts";
import type { Log } from "../log.ts";
import type { NetworkBackend } from "./backend.ts";

/** What a backend has to know of the configuration. */
export interface BackendOptions {
  /** Which implementation of WireGuard; `auto` unless said. */
  readonly wireguard?: WireGuardChoice;
  /** Directory of WireGuard control sockets. */
  readonly uapiDir?: string;
}

/**
 * Opens this host's backend.
 *
 * @throws {UnsupportedError} On a system without one.
 */
export async function selectBackend(log: Log, options: BackendOptions = {}): Promise<NetworkBackend> {
  if (Deno.build.os === "linux") {
    const { LinuxBackend } = await import("./linux.ts");
    return await LinuxBackend.open(log, options);
  }
  throw new UnsupportedError(
    `the overlay is not supported on ${Deno.build.os} in this release: run it on Linux`,
  );
}
