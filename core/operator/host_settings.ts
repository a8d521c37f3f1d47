/** Reads from the state database what a purge has to know, without changing the database. */
import type { HostSettings } from "../backend/backend.ts";
import type { ContainerPlace } from "../backend/containers.ts";
import { describeError, PreconditionError } from "../errors.ts";
import { openDatabase } from "../state/database.ts";

/**
 * Former values of host-wide settings by path or name; empty when there is no database or nothing was changed.
 *
 * @throws {PreconditionError} If the database cannot be read.
 */
export async function readHostSettings(databasePath: string): Promise<HostSettings> {
  return onlyTexts(await readSetting(databasePath, "hostSettings"));
}

/**
 * Deployment of the last global set-up; empty when there was none.
 *
 * @throws {PreconditionError} If the database cannot be read.
 */
export async function readDeployment(databasePath: string): Promise<string> {
  return onlyTexts(await readSetting(databasePath, "globalSettings"))["deployment"] ?? "";
}

/**
 * Places of the containers that there are records of.
 *
 * @throws {PreconditionError} If the database cannot be read.
 */
export async function readContainerPlaces(databasePath: string): Promise<readonly ContainerPlace[]> {
  const documents = await readDocuments(databasePath, "SELECT document FROM container_endpoints");
  return documents.map(onlyTexts).flatMap(({ endpoint, namespace }) =>
    endpoint === undefined
      ? []
      : [{ endpoints: [endpoint], ...(namespace === undefined ? {} : { namespace }) }]
  );
}

async function readSetting(databasePath: string, key: string): Promise<unknown> {
  const [document] = await readDocuments(databasePath, "SELECT document FROM settings WHERE key = ?", key);
  return document;
}

/**
 * Documents that a query finds; none where there is no database. Opens read-only: a purge may be of another release
 * than the database, and a dry run may look while a daemon writes.
 */
async function readDocuments(databasePath: string, sql: string, ...parameters: string[]): Promise<unknown[]> {
  if (!await isFile(databasePath)) return [];
  // Without a write-ahead log nobody has the database open, and as immutable SQLite makes no such files itself.
  const immutable = !await isFile(`${databasePath}-wal`);
  try {
    const db = openDatabase(databasePath, { readOnly: true, immutable });
    try {
      return db.prepare(sql).all(...parameters).map((row) => JSON.parse(String(row["document"])));
    } finally {
      db.close();
    }
  } catch (error) {
    throw new PreconditionError(`cannot read ${databasePath}: ${describeError(error)}`, { cause: error });
  }
}

function isFile(path: string): Promise<boolean> {
  return Deno.stat(path).then((info) => info.isFile, () => false);
}

function onlyTexts(document: unknown): HostSettings {
  const entries = Object.entries(typeof document === "object" && document !== null ? document : {});
  return Object.fromEntries(entries.filter(([, value]) => typeof value === "string"));
}
