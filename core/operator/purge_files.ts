/** Files that the daemon leaves in a data directory, and their removal. */
import { join } from "@std/path";
import { lockFile } from "../data_dir.ts";
import { logFiles } from "../logging/rotating_file.ts";
import { ownDirectory } from "../transport/private_path.ts";
import { isStaleSocket } from "../transport/stale_socket.ts";

const MARKER_FILES: readonly string[] = [
  "agent_network.json",
  "agent_network.json.tmp",
  "agent_network.json.bad",
];
const STATE_FILES: readonly string[] = ["overlayd.db-wal", "overlayd.db-shm", "overlayd.db"];

/**
 * Paths of ours that exist. Files of the zlayer daemon in the same directory are never among them. The database is
 * the last, since it knows what a purge that is cut short has to do again.
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
  const own = [
    ...logs,
    ...MARKER_FILES.map((name) => join(dataDir, name)),
    ...STATE_FILES.map((name) => join(ownDirectory(dataDir), name)),
  ];
  for (const path of own) {
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
  return removeOwnFile(lockFile(dataDir));
}

/**
 * Removes directories that are empty.
 *
 * @param uapiDir Directory of control sockets.
 */
export async function removeEmptyDirs(dataDir: string, uapiDir: string): Promise<void> {
  // Fails on a directory that is not empty, as it should.
  const paths = new Set([
    uapiDir,
    join(dataDir, "run"),
    join(dataDir, "logs"),
    ownDirectory(dataDir),
    dataDir,
  ]);
  for (const path of paths) await Deno.remove(path).catch(() => {});
}
