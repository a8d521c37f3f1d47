/** Reads from the state database which host-wide settings the daemon changed, without changing the database. */
import { DatabaseSync } from "node:sqlite";
import type { HostSettings } from "../backend/backend.ts";
import { describeError, PreconditionError } from "../errors.ts";

/**
 * Former values by path or name; empty when there is no database or nothing was changed.
 *
 * Opens read-only: a purge may be of another release than the database, and a dry run may look while a daemon
 * writes.
 *
 * @throws {PreconditionError} If the database cannot be read.
 */
export async function readHostSettings(databasePath: string): Promise<HostSettings> {
  if (!await Deno.stat(databasePath).then(({ isFile }) => isFile, () => false)) return {};
  try {
    const db = new DatabaseSync(databasePath, { readOnly: true });
    try {
      const row = db.prepare("SELECT document FROM settings WHERE key = 'hostSettings'").get();
      return onlyTexts(JSON.parse(String(row?.["document"] ?? "{}")));
    } finally {
      db.close();
    }
  } catch (error) {
    throw new PreconditionError(`cannot read ${databasePath}: ${describeError(error)}`, { cause: error });
  }
}

function onlyTexts(document: unknown): HostSettings {
  const entries = Object.entries(typeof document === "object" && document !== null ? document : {});
  return Object.fromEntries(entries.filter(([, value]) => typeof value === "string"));
}
