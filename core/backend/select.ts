/** The backend of this system. Only the one that is used is loaded. */

import { UnsupportedError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { NetworkBackend } from "./backend.ts";

/**
 * Opens this host's backend.
 *
 * @throws {UnsupportedError} On a system without one.
 */
export async function selectBackend(log: Log): Promise<NetworkBackend> {
  if (Deno.build.os === "linux") {
    const { LinuxBackend } = await import("./linux.ts");
    return await LinuxBackend.open(log);
  }
  throw new UnsupportedError(
    `the overlay is not supported on ${Deno.build.os} in this release: run it on Linux`,
  );
}
