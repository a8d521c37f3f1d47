/** Where `wintun.dll` is looked for. */

/**
 * Absolute paths, the first one first. The working directory is none of them: whoever can write there would run code
 * as LocalSystem.
 *
 * @param programData `%ProgramData%`, as in `C:\\ProgramData`.
 * @param executable Path of the running program.
 */
export function wintunPlaces(programData: string, executable: string): string[] {
  const beside = executable.slice(0, Math.max(executable.lastIndexOf("\\"), executable.lastIndexOf("/")));
  return [`${programData}\\ZLayer\\wintun\\wintun.dll`, `${beside}\\wintun.dll`];
}
