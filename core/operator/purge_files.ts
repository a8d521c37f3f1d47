/** Files that the daemon leaves in a data directory, and their removal. */
import { dirname, join } from "@std/path";
import { LOCK_FILE } from "../data_dir.ts";

/** In order of removal: the database next to last, the lock that guards it all last. */
const OWN_FILES: readonly string[] = [
  "agent_network.json",
  "agent_network.json.tmp",
  "agent_network.json.bad",
  "overlayd.db-wal",
  "overlayd.db-shm",
  "overlayd.db",
  LOCK_FILE,
];

/**
 * Paths of ours that exist. Files of the zlayer daemon in the same directory are never among them.
 *
 * @param sockets Endpoints this installation listens on; taken only if they are sockets that nobody serves.
 */
export async function findOwnFiles(dataDir: string, sockets: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const path of sockets) if (await isStaleSocket(path)) found.push(path);
  for (const name of OWN_FILES) {
    const path = join(dataDir, name);
    if (await Deno.lstat(path).then((info) => info.isFile, () => false)) found.push(path);
  }
  return found;
}

/** Removes a file, and its directory when that is left empty and is a part of the data directory. */
export async function removeOwnFile(path: string, dataDir: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  const parent = dirname(path);
  // Fails on a directory that is not empty, as it should.
  if (parent === dataDir || dirname(parent) === dataDir) await Deno.remove(parent).catch(() => {});
}

async function isStaleSocket(path: string): Promise<boolean> {
  if (!await Deno.lstat(path).then((info) => info.isSocket ?? false, () => false)) return false;
  try {
    (await Deno.connect({ transport: "unix", path })).close();
    return false;
  } catch (error) {
    return error instanceof Deno.errors.ConnectionRefused;
  }
}
