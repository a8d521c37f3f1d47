/** The file in which a rig leaves the exit code of what it ran. */

/** Reads an exit code; undefined when the command did not get so far as to have one. */
export async function readExitCode(path: string): Promise<number | undefined> {
  try {
    const text = (await Deno.readTextFile(path)).trim();
    return /^\d+$/.test(text) ? Number(text) : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
