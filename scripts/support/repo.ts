/** The repository: its root and its source files. */
import { fromFileUrl, join } from "@std/path";

/** Absolute path of the repository's root, without a trailing slash. */
export const REPO: string = fromFileUrl(new URL("../../", import.meta.url)).replace(/\/$/, "");

/** Folders that hold no source of ours. */
const NOT_SOURCE = new Set([".git", "dist", "node_modules", ".cache"]);

/**
 * All `.ts` files below a folder of the repository, sorted, as paths relative to the root with `/`.
 * A folder that is not there has none.
 */
export function sourceFiles(folder = ""): string[] {
  const found: string[] = [];
  const walk = (relative: string): void => {
    for (const entry of entries(join(REPO, relative))) {
      const path = relative === "" ? entry.name : `${relative}/${entry.name}`;
      if (entry.isDirectory && !NOT_SOURCE.has(entry.name)) walk(path);
      else if (entry.isFile && entry.name.endsWith(".ts")) found.push(path);
    }
  };
  walk(folder);
  return found.sort();
}

function entries(dir: string): Deno.DirEntry[] {
  try {
    return [...Deno.readDirSync(dir)];
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}
