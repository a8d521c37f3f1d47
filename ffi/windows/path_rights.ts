/**
 * Who, besides administrators, could put another file in a file's place: by its descriptor and those of the
 * directories it is in. Decides on values, without I/O.
 *
 * @see winnt.h; MS-DTYP 2.4.2.4 for the SIDs.
 */
import type { AccessEntry, SecurityDescriptor } from "./security_descriptor.ts";

/** LocalSystem, Administrators, TrustedInstaller, and the owner, who is one of them or found out otherwise. */
const TRUSTED = new Set([
  "S-1-5-18",
  "S-1-5-32-544",
  "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",
  "S-1-3-0",
  "S-1-3-4",
]);
/** The administrator of a machine or domain; administrators of a domain and of all of them. */
const TRUSTED_ACCOUNT = /^S-1-5-21-\d+-\d+-\d+-(500|512|519)$/;

const DELETE = 0x1_0000, WRITE_DAC = 0x4_0000, WRITE_OWNER = 0x8_0000;
const GENERIC_ALL = 0x1000_0000, GENERIC_WRITE = 0x4000_0000;
const FILE_WRITE_DATA = 2, FILE_APPEND_DATA = 4, FILE_WRITE_EA = 0x10, FILE_DELETE_CHILD = 0x40;
const FILE_WRITE_ATTRIBUTES = 0x100;

/** Moves or removes what has the name, or lets oneself do that. */
const REPLACES = DELETE | WRITE_DAC | WRITE_OWNER | GENERIC_ALL;
/** Of a file, also what changes it: by its attributes it can be made a link. */
const CHANGES_FILE = REPLACES | GENERIC_WRITE | FILE_WRITE_DATA | FILE_APPEND_DATA | FILE_WRITE_EA |
  FILE_WRITE_ATTRIBUTES;
/**
 * Of a directory, not what only makes new entries: every user has that below `%ProgramData%`, and it moves nothing
 * that is there. A directory that is not empty cannot be made a link.
 */
const CHANGES_DIRECTORY = REPLACES | FILE_DELETE_CHILD;

/** A file or directory, with what is known of its rights. */
export interface PathSecurity {
  readonly path: string;
  readonly kind: "file" | "directory";
  readonly security: SecurityDescriptor;
}

/**
 * What lets others than administrators replace a file.
 *
 * @param parts The file and every directory above it.
 * @param user SID of the user this process runs as, who may do what the process may.
 * @returns One text for each reason; empty if there is none.
 */
export function replaceableBecause(parts: readonly PathSecurity[], user: string): string[] {
  const isTrusted = (sid: string): boolean => sid === user || TRUSTED.has(sid) || TRUSTED_ACCOUNT.test(sid);
  return parts.flatMap(({ path, kind, security: { owner, entries } }) => {
    const reasons: string[] = [];
    // An owner can always change the rights.
    if (owner === undefined || !isTrusted(owner)) reasons.push(`${path} belongs to ${owner ?? "nobody"}`);
    if (entries === undefined) return [...reasons, `${path} can be changed by everybody`];
    const others = entries.filter((entry) => mayReplace(entry, kind) && !isTrusted(entry.sid));
    const names = new Set(others.map(({ sid }) => sid || "an entry of an unknown kind"));
    return [...reasons, ...[...names].map((name) => `${path} can be changed by ${name}`)];
  });
}

/** Refusals are not counted: whoever is allowed in one entry and refused in another is taken to be allowed. */
function mayReplace({ kind, inheritOnly, mask }: AccessEntry, of: PathSecurity["kind"]): boolean {
  if (kind === "deny" || inheritOnly) return false;
  return kind === "other" || (mask & (of === "file" ? CHANGES_FILE : CHANGES_DIRECTORY)) !== 0;
}
