/** Files that the daemon leaves in a data directory, and their removal. */
import { join } from "@std/path";
import { LOCK_FILE } from "../data_dir.ts";
import { logFiles } from "../logging/rotating_file.ts";
import { isStaleSocket } from "../transport/stale_socket.ts";

/** In order of removal: the database last, since it knows what a purge that is cut short has to do again. */
const OWN_FILES: readonly string[] = [
  "agent_network.json",
  "agent_network.json.tmp",
  "agent_network.json.bad",
  "overlayd.db-wal",
  "overlayd.db-shm",
  "overlayd.db",
];

/**
 * Paths of ours that exist. Files of the zlayer daemon in the same directory are never among them.
 *
 * @param sockets Endpoints this installation listens on; taken only if they are sockets that nobody serves.
 * @param options `logFile`: where this installation logs to, if to a file.
 */
export async function findOwnFiles(
  dataDir: string,
  sockets: readonly string[],
  { logFile }: { readonly logFile?: string } = {},
): Promise<string[]> {
  const found: string[] = [];
  for (const path of sockets) if (await isStaleSocket(path)) found.push(path);
  const logs = logFile === undefined ? [] : logFiles(logFile);
  for (const path of [...logs, ...OWN_FILES.map((name) => join(dataDir, name))]) {
    if (await Deno.lstat(path).then((info) => info.isFile, () => false)) found.push(path);
  }
  return found;
}

/** Removes a file; one that is gone is no error. */
export async function removeOwnFile(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Removes the lock file, which claiming the directory makes anew each time. */
export function removeLockFile(dataDir: string): Promise<void> {
  return removeOwnFile(join(dataDir, LOCK_FILE));
}

/**
 * Removes directories that are empty.
 *
 * @param uapiDir Directory of control sockets.
 */
export async function removeEmptyDirs(dataDir: string, uapiDir: string): Promise<void> {
  // Fails on a directory that is not empty, as it should.
  for (const path of [uapiDir, join(dataDir, "run"), join(dataDir, "logs"), dataDir]) {
    await Deno.remove(path).catch(() => {});
  }
}
