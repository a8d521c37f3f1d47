/**
 * Directories and files with secrets in them: on Unix modes do, on Windows an access list, since a file there has
 * what its directory hands down, and `%ProgramData%` lets every user read.
 */
import { createDirectory, protectFile } from "../../ffi/windows/private_path.ts";

/** Full access for LocalSystem and Administrators, who run the daemon; nothing for others, nothing handed down. */
export const PRIVATE_FILE_SDDL = "D:P(A;;FA;;;SY)(A;;FA;;;BA)";
/** The same, also for everything that comes to be in the directory. */
export const PRIVATE_DIRECTORY_SDDL = "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)";

/**
 * Makes a private directory, not those above it. One that exists is left as it is.
 *
 * @param os As `Deno.build.os` has it.
 * @returns Whether it was made.
 */
export function makePrivateDirectory(path: string, os: string = Deno.build.os): boolean {
  if (os === "windows") return createDirectory(path, PRIVATE_DIRECTORY_SDDL);
  try {
    Deno.mkdirSync(path, { mode: 0o700 });
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return false;
    throw error;
  }
}

/** Makes a file private that may have been another's to read. Nothing is done to one that is not there. */
export function makePrivateFile(path: string, os: string = Deno.build.os): void {
  try {
    Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  if (os === "windows") protectFile(path, PRIVATE_FILE_SDDL);
  else Deno.chmodSync(path, 0o600);
}
