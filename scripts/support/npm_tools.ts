/**
 * npm packages that serve as tools, in directories of their own in the cache:
 * - Deno 2.4.2, the oldest that the sources pass `deno check` on, and the one that made the base below;
 * - a `denort` of Deno 2.4.2 for `deno compile`, where Deno's download server cannot be reached: the
 *   executable in `@vltpkg/cli-linux-x64` was made by `deno compile`, and one such can be the base of another;
 * - the real `deno.exe`, for the Windows rig.
 */
import { join } from "@std/path";
import { isFile, lastLines } from "./packages.ts";
import { capture, print } from "./process.ts";
import { retry, type RetryOptions } from "./retry.ts";

/** A package, exactly pinned, and the file in it that is used. */
export interface NpmTool {
  readonly name: string;
  readonly version: string;
  /** Relative to the package's `node_modules` parent. */
  readonly file: string;
  /** Its package says that it is for another system than this one. */
  readonly foreign?: true;
}

/** Deno 2.4.2 as npm has it. */
export const DENO_2_4_2: NpmTool = {
  name: "deno",
  version: "2.4.2",
  file: "node_modules/@deno/linux-x64-glibc/deno",
};

/** An executable whose runtime part is the `denort` of Deno 2.4.2 for Linux x64. */
export const DENORT_2_4_2: NpmTool = {
  name: "@vltpkg/cli-linux-x64",
  version: "0.0.0-18",
  file: "node_modules/@vltpkg/cli-linux-x64/vlt",
};

/** The newest `deno.exe` that npm has; it may be a patch release behind the Deno that runs the other tests. */
export const DENO_WINDOWS: NpmTool = {
  name: "@deno/win32-x64",
  version: "2.9.5",
  file: "node_modules/@deno/win32-x64/deno.exe",
  foreign: true,
};

/** Path of the tool's file if it has been fetched, else undefined. */
export function findNpmTool(cache: string, tool: NpmTool): string | undefined {
  const path = join(toolDir(cache, tool), tool.file);
  return isFile(path) ? path : undefined;
}

/**
 * Fetches the tool with `npm install`; scripts of packages do not run. Tried again when the network fails.
 *
 * @returns What is wrong, or undefined.
 */
export async function fetchNpmTool(
  cache: string,
  tool: NpmTool,
  options: RetryOptions = {},
): Promise<string | undefined> {
  const spec = `${tool.name}@${tool.version}`;
  print(`setup: fetching ${spec} from npm into ${toolDir(cache, tool)}`);
  const onRetry = (problem: string): void => print(`setup: ${problem}; trying again`);
  return await retry(() => install(cache, tool), { onRetry, ...options });
}

async function install(cache: string, tool: NpmTool): Promise<string | undefined> {
  const spec = `${tool.name}@${tool.version}`;
  await Deno.mkdir(join(cache, "npm"), { recursive: true });
  const temp = await Deno.makeTempDir({ dir: join(cache, "npm"), prefix: "new-" });
  try {
    const force = tool.foreign === true ? ["--force"] : [];
    const result = await capture(
      ["npm", "install", "--prefix", temp, "--ignore-scripts", "--no-audit", "--no-fund", ...force, spec],
      { cwd: temp },
    );
    if (result.code !== 0) return `npm install ${spec} failed: ${lastLines(result)}`;
    // npm ends well without a package that it calls optional, as Deno's own executable is.
    if (!isFile(join(temp, tool.file))) return `npm install ${spec} brought no ${tool.file}`;
    await Deno.chmod(join(temp, tool.file), 0o755);
    await moveIntoPlace(temp, cache, tool);
    return undefined;
  } finally {
    await Deno.remove(temp, { recursive: true }).catch(() => {});
  }
}

/** Another set-up that was faster wins; what is left of one that did not come to its end goes. */
async function moveIntoPlace(from: string, cache: string, tool: NpmTool): Promise<void> {
  if (findNpmTool(cache, tool) !== undefined) return;
  const to = toolDir(cache, tool);
  await Deno.remove(to, { recursive: true }).catch(ignoreMissing);
  await Deno.rename(from, to).catch((error) => {
    if (findNpmTool(cache, tool) === undefined) throw error;
  });
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}

function toolDir(cache: string, tool: NpmTool): string {
  return join(cache, "npm", `${tool.name.replace("/", "__")}@${tool.version}`);
}
