/** The engine as the daemon runs it: this host's backend, the database and marker of its data directory. */

import { join } from "@std/path";
import type { DaemonConfig } from "./config.ts";
import type { EngineHandle } from "./daemon.ts";
import { makeDataDir } from "./data_dir.ts";
import { type OpenBackend, selectBackend } from "./backend/select.ts";
import { systemClock } from "./clock.ts";
import { OverlayEngine } from "./engine.ts";
import type { Log } from "./log.ts";
import { MarkerFile } from "./marker_file.ts";
import { readNodeFiles } from "./node_config.ts";
import { systemResolver } from "./resolver.ts";
import { openStateStore } from "./state/state_store.ts";
import { ownDirectory } from "./transport/private_path.ts";
import { VERSION } from "./version.ts";

/** The state database of a data directory. */
export function stateFile(dataDir: string): string {
  return join(ownDirectory(dataDir), "overlayd.db");
}

/** Name of the marker file in the data directory. */
export const MARKER_FILE = "agent_network.json";

/**
 * Opens backend, database and marker and starts the engine on them; what was opened is closed on failure.
 *
 * @param options `openBackend`: this host's unless given.
 */
export async function openEngine(
  config: DaemonConfig,
  log: (part: string) => Log,
  { openBackend = selectBackend }: { readonly openBackend?: OpenBackend } = {},
): Promise<EngineHandle> {
  const { dataDir, wireguard, uapiDir, windows, hcnUplinkAdapter, removeAbandoned } = config;
  await makeDataDir(dataDir);
  const marker = new MarkerFile(join(dataDir, MARKER_FILE), { log: log("marker") });
  const backend = await openBackend(log("backend"), {
    marker,
    wireguard,
    uapiDir,
    windows,
    ...(hcnUplinkAdapter === undefined ? {} : { hcnUplinkAdapter }),
  });
  try {
    const store = openStateStore(stateFile(dataDir));
    try {
      const engine = await OverlayEngine.start({
        backend,
        store,
        marker,
        clock: systemClock(),
        log: log("engine"),
        dataDir,
        version: VERSION,
        removeAbandoned,
        resolver: systemResolver(),
        readNodeFiles: () => readNodeFiles((name) => readIfThere(join(dataDir, name))),
      });
      const close = async (): Promise<void> => {
        // First, or work that waits for a service that hangs would keep the engine from stopping.
        backend.containers?.close();
        await engine.stop();
        store.close();
        await backend.close();
      };
      return { service: engine, cleanup: () => engine.removeAll(), close };
    } catch (error) {
      store.close();
      throw error;
    }
  } catch (error) {
    await backend.close();
    throw error;
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
