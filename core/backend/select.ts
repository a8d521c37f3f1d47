/** The backend of this system. Only the one that is used is loaded. */

import { systemClock } from "../clock.ts";
import { UnsupportedError } from "../errors.ts";
import type { WindowsPlaces, WireGuardChoice } from "../config.ts";
import type { Log } from "../log.ts";
import type { MarkerFile } from "../marker_file.ts";
import type { NetworkBackend } from "./backend.ts";

/** What a backend has to know of the configuration. */
export interface BackendOptions {
  /** The one of the engine: changes to the file queue up in the object. */
  readonly marker: MarkerFile;
  /** Which implementation of WireGuard; `auto` unless said. */
  readonly wireguard?: WireGuardChoice;
  /** Directory of WireGuard control sockets. */
  readonly uapiDir?: string;
  readonly windows: WindowsPlaces;
  /** Adapter that the base HCN network is bridged to; absent: an internal network. */
  readonly hcnUplinkAdapter?: string;
}

/** Opens a backend; {@linkcode selectBackend} does, tests bring their own. */
export type OpenBackend = (log: Log, options: BackendOptions) => Promise<NetworkBackend>;

/**
 * Opens this host's backend.
 *
 * @throws {UnsupportedError} On a system without one.
 */
export async function selectBackend(log: Log, options: BackendOptions): Promise<NetworkBackend> {
  switch (Deno.build.os) {
    case "linux": {
      const { LinuxBackend } = await import("./linux.ts");
      return await LinuxBackend.open(log, options);
    }
    case "windows":
      return await openWindows(log, options);
    default:
      throw new UnsupportedError(
        `the overlay is not supported on ${Deno.build.os} in this release: run it on Linux or Windows`,
      );
  }
}

async function openWindows(log: Log, options: BackendOptions): Promise<NetworkBackend> {
  const { marker, windows: { systemRoot, programData }, hcnUplinkAdapter } = options;
  const { systemPaths } = await import("../../ffi/computenetwork.ts");
  const { WindowsBackend } = await import("./windows.ts");
  const { HcnContainers, workerChannels } = await import("./windows/containers.ts");
  const { WintunNode } = await import("./windows/wintun_node.ts");
  const { wintunPlaces } = await import("./windows/wintun_places.ts");
  const libraries = {
    wintun: wintunPlaces(programData, Deno.execPath()),
    ipHelper: `${systemRoot}\\System32\\iphlpapi.dll`,
  };
  const devices = new WintunNode({ libraries, marker, log });
  const containers = new HcnContainers({
    openChannel: workerChannels(systemPaths(systemRoot)),
    marker,
    clock: systemClock(),
    log,
    uplinkAdapter: hcnUplinkAdapter,
    devices,
  });
  return new WindowsBackend({ containers, devices });
}
