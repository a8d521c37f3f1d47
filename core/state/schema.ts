/** Schema of `overlayd.db` and its migrations; `user_version` counts those applied. */

import type { DatabaseSync } from "node:sqlite";
import { PreconditionError } from "../errors.ts";

/**
 * Each entry takes the database one version further and is never edited once released. Documents are JSON:
 * every record is read and written whole, and nothing is searched for but by key.
 */
const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE settings   (key TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE services   (name TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE leases     (ip TEXT PRIMARY KEY, pool TEXT NOT NULL, owner TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE INDEX leases_by_owner ON leases (owner);
  CREATE TABLE attachments(handle TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE guests     (id TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE peers      (service TEXT NOT NULL, public_key TEXT NOT NULL, document TEXT NOT NULL,
                           PRIMARY KEY (service, public_key)) STRICT, WITHOUT ROWID;
  CREATE TABLE dns_records(name TEXT PRIMARY KEY, ip TEXT NOT NULL) STRICT, WITHOUT ROWID;
  `,
  `
  CREATE TABLE heard_endpoints (service TEXT NOT NULL, public_key TEXT NOT NULL, document TEXT NOT NULL,
                                PRIMARY KEY (service, public_key)) STRICT, WITHOUT ROWID;
  `,
  `
  CREATE TABLE container_endpoints (endpoint TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
  `,
];

/**
 * Brings the database to the newest version.
 *
 * @throws {PreconditionError} If a newer release wrote it: going on would lose what that one knows.
 */
export function migrate(db: DatabaseSync, path: string): void {
  const row = db.prepare("PRAGMA user_version").get() as { user_version: number };
  if (row.user_version > MIGRATIONS.length) {
    throw new PreconditionError(
      `state database ${path} has version ${row.user_version}, this release knows ${MIGRATIONS.length}: ` +
        `start the release that wrote it, or move the file away to begin afresh`,
    );
  }
  for (let version = row.user_version; version < MIGRATIONS.length; version++) {
    db.exec("BEGIN IMMEDIATE");
    db.exec(MIGRATIONS[version]!);
    db.exec(`PRAGMA user_version = ${version + 1}`);
    db.exec("COMMIT");
  }
}
