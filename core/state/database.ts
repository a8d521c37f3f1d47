/** Opening the state database, whoever does: the daemon to write, a purge to read. */
import { DatabaseSync } from "node:sqlite";
import { systemPath } from "../transport/private_path.ts";

/** How a database is opened. */
export interface DatabaseUse {
  /** Nothing in it is changed. */
  readonly readOnly?: boolean;
  /** And nothing is made beside it, nor looked for: only where nobody has it open. */
  readonly immutable?: boolean;
}

/** Opens a database, or makes it. @throws What SQLite says, as `node:sqlite` has it. */
export function openDatabase(
  path: string,
  { readOnly = false, immutable = false }: DatabaseUse = {},
): DatabaseSync {
  return new DatabaseSync(databaseLocation(path, { immutable }), { readOnly: readOnly || immutable });
}

/**
 * What SQLite is given for a path. It hands the system what it is told, so that a long path of Windows has its prefix
 * in either form.
 *
 * @see https://sqlite.org/uri.html
 */
export function databaseLocation(
  path: string,
  { immutable = false, os }: Pick<DatabaseUse, "immutable"> & { readonly os?: string } = {},
): string {
  const real = systemPath(path, os);
  // All escaped and no authority before it: SQLite takes what it reads as the path, letter by letter.
  return immutable ? `file:${encodeURIComponent(real)}?immutable=1` : real;
}
