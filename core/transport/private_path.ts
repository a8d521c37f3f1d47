/**
 * Directories and files with secrets in them: on Unix modes do, on Windows an access list, since a file there has
 * what its directory hands down, and `%ProgramData%` lets every user read and make files.
 *
 * The data directory is also the caller's, whose files have the rights that he gave them. So what is ours alone is
 * kept apart on Windows, in a directory whose rights are ours: SQLite makes and removes files beside its database as
 * it sees fit, and each of them, a lock and a log alike, is private from its first byte only if the directory says so.
 */
import { join } from "@std/path";
import { longPath } from "../../ffi/windows/long_path.ts";
import { createDirectory, createFile, protectFile } from "../../ffi/windows/private_path.ts";
import { takeDirectory } from "../../ffi/windows/trusted_directory.ts";
import { Win32Error } from "../../ffi/windows/win32_error.ts";
import { PermissionError } from "../errors.ts";

/** Full access for LocalSystem and Administrators, who run the daemon, and the owner, who is one of them. */
export const PRIVATE_FILE_SDDL = "D:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FA;;;OW)";
/** The same, also for everything that comes to be in the directory; nothing from above. */
export const PRIVATE_DIRECTORY_SDDL = "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;OW)";

/** `winerror.h`: a directory of the path is missing. */
const ERROR_PATH_NOT_FOUND = 3;
const ERROR_ACCESS_DENIED = 5;

/** Name of the directory in the data directory that is ours alone, where there is such. */
const OWN_DIRECTORY = "overlayd";

/** Where files of ours are that nobody else reads: the data directory, on Windows a directory in it. */
export function ownDirectory(dataDir: string, os: string = Deno.build.os): string {
  return os === "windows" ? join(dataDir, OWN_DIRECTORY) : dataDir;
}

/**
 * Makes the directory of {@linkcode ownDirectory}, or makes sure that it is ours. Nothing above it is changed.
 *
 * @throws {PermissionError} If it is another user's, who may have put anything in.
 */
export function ensureOwnDirectory(dataDir: string, os: string = Deno.build.os): void {
  const path = ownDirectory(dataDir, os);
  if (path === dataDir || asDeno(() => createDirectory(path, PRIVATE_DIRECTORY_SDDL))) return;
  const taking = asDeno(() => takeDirectory(path, PRIVATE_DIRECTORY_SDDL));
  if (taking === "taken") return;
  const what = taking === "of-another" ? "belongs to another user" : "is no directory of its own";
  throw new PermissionError(
    `${path} ${what}, and the daemon's secrets must not be kept there: remove it, or let Administrators own it`,
  );
}

/**
 * Makes a private directory, not those above it. One that exists is left as it is.
 *
 * @param os As `Deno.build.os` has it.
 * @returns Whether it was made.
 */
export function makePrivateDirectory(path: string, os: string = Deno.build.os): boolean {
  if (os === "windows") return asDeno(() => createDirectory(path, PRIVATE_DIRECTORY_SDDL));
  try {
    Deno.mkdirSync(path, { mode: 0o700 });
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return false;
    throw error;
  }
}

/**
 * Makes an empty private file; one that exists is left as it is.
 *
 * @returns Whether it was made.
 * @throws {Deno.errors.NotFound} If its directory is missing.
 */
export function createPrivateFile(path: string, os: string = Deno.build.os): boolean {
  if (os === "windows") return asDeno(() => createFile(path, PRIVATE_FILE_SDDL));
  try {
    Deno.openSync(path, { createNew: true, write: true, mode: 0o600 }).close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return false;
    throw error;
  }
}

/** Makes an empty private file, or makes the one private that is there. */
export function ensurePrivateFile(path: string, os: string = Deno.build.os): void {
  if (createPrivateFile(path, os)) return;
  if (os === "windows") asDeno(() => protectFile(path, PRIVATE_FILE_SDDL));
  else Deno.chmodSync(path, 0o600);
}

/** A path for libraries that hand it to the system as it is, as SQLite does: on Windows a long one needs a prefix. */
export function systemPath(path: string, os: string = Deno.build.os): string {
  return os === "windows" ? longPath(path) : path;
}

/** Runs work of Windows whose errors are those that Deno's own functions have. */
function asDeno<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    const code = error instanceof Win32Error ? error.code : undefined;
    if (code !== ERROR_PATH_NOT_FOUND && code !== ERROR_ACCESS_DENIED) throw error;
    const Kind = code === ERROR_ACCESS_DENIED ? Deno.errors.PermissionDenied : Deno.errors.NotFound;
    throw new Kind((error as Error).message, { cause: error });
  }
}
