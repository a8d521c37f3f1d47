/**
 * The control pipe of a device on Windows, where `wg.exe` looks for it.
 *
 * `wg.exe` talks only to a pipe that LocalSystem owns. Nobody but administrators can make a pipe of that name, so whoever
 * opens it is not lured away. Whoever may open it may read the keys.
 *
 * @see wireguard-tools `ipc-uapi-windows.h`; wireguard-go `ipc/uapi_windows.go`; "Named Pipe Security and Access Rights".
 */

import { PipeListener, type PipeListenerDeps } from "../../../ffi/windows/pipe_listener.ts";
import type { Log } from "../../log.ts";
import { pipeLibraries } from "../named_pipe.ts";
import { type ConfigurableDevice, UapiServer } from "./uapi_server.ts";

/** Where the pipes of all WireGuard devices are. */
export const UAPI_PIPE_PREFIX = "\\\\.\\pipe\\ProtectedPrefix\\Administrators\\WireGuard\\";

/**
 * Owned by LocalSystem, which takes LocalSystem to make. Full access for it and Administrators, nothing inherited; and
 * processes below high integrity neither read nor write nor execute.
 */
export const UAPI_PIPE_SDDL = "O:SYD:P(A;;GA;;;SY)(A;;GA;;;BA)S:(ML;;NWNRNX;;;HI)";

/** How a pipe is made. */
export interface UapiPipeOptions {
  readonly log: Log;
  /** What comes before the name of the interface; tests have another. */
  readonly prefix?: string;
  /** Replaced by tests. */
  readonly libraries?: PipeListenerDeps;
}

/**
 * Listens until disposal. A pipe goes with its last instance, so there are no stale ones.
 *
 * @param name Of the interface.
 * @throws {Win32Error} `ERROR_ACCESS_DENIED` when another process serves that name, `ERROR_INVALID_OWNER` when this one
 * is not LocalSystem.
 */
export function listenUapiPipe(
  name: string,
  device: ConfigurableDevice,
  { log, prefix = UAPI_PIPE_PREFIX, libraries = pipeLibraries() }: UapiPipeOptions,
): UapiServer {
  const place = `${prefix}${name}`;
  return new UapiServer(new PipeListener(place, UAPI_PIPE_SDDL, libraries), device, { place, log });
}
