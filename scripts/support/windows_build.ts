/**
 * Builds the C programs of the Windows rig with Debian's mingw-w64: the launcher and the fake libraries.
 *
 * What was built is kept in the cache, in a directory named by the hash of all sources and of the compiler's
 * version, so that an unchanged tree builds nothing.
 */
import { join } from "@std/path";
import { findProgram, lastLines } from "./packages.ts";
import { capture, print } from "./process.ts";
import { REPO } from "./repo.ts";

/** Debian's compiler for 64-bit Windows. */
export const COMPILER = "x86_64-w64-mingw32-gcc";

const SOURCES = "tests/windows";
const FLAGS = [
  ...["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Wshadow", "-Werror"],
  ...["-D_WIN32_WINNT=0x0A00", "-DUNICODE", "-D_UNICODE", "-D__USE_MINGW_ANSI_STDIO=1"],
  ...["-static-libgcc", "-Wl,--no-insert-timestamp"],
];

/** One program or library. */
interface Target {
  readonly output: string;
  /** Files and folders below `tests/windows`; of a folder, all C files in it. */
  readonly sources: readonly string[];
  /** Libraries it links with, and other flags of its own. */
  readonly flags: readonly string[];
}

const TARGETS: readonly Target[] = [
  { output: "launch.exe", sources: ["launch.c"], flags: ["-municode"] },
  fake("computenetwork", "-lole32", "-luuid"),
  fake("wintun"),
  fake("iphlpapi_fake", "-lws2_32"),
  fake("scm_fake"),
  fake("pipe_fake", "-ladvapi32"),
  fake("ws2_fake", "-lws2_32"),
];

/** A fake library: the code that all share, and a folder of its own; a `.def` file in it names the exports. */
function fake(name: string, ...flags: string[]): Target {
  return { output: `${name}.dll`, sources: ["fakes/common", `fakes/${name}`], flags: ["-shared", ...flags] };
}

/**
 * Builds everything that is not in the cache.
 *
 * @returns The directory that holds it.
 * @throws {Error} If the compiler is missing or refuses a source.
 */
export async function buildForWindows(cache: string): Promise<string> {
  const compiler = findProgram(COMPILER);
  if (compiler === undefined) throw new Error(`no ${COMPILER} here; as root, deno task setup installs it`);
  const directory = join(cache, "windows", `build-${await fingerprint(compiler)}`);
  if (await exists(directory)) return directory;
  await Deno.mkdir(join(cache, "windows"), { recursive: true });
  const work = await Deno.makeTempDir({ dir: join(cache, "windows"), prefix: "build-new-" });
  try {
    print(`building the fakes of Windows libraries into ${directory}`);
    await Promise.all(TARGETS.map((target) => compile(compiler, target, work)));
    await Deno.rename(work, directory).catch(async (error) => {
      if (!await exists(directory)) throw error;
    });
    return directory;
  } finally {
    await Deno.remove(work, { recursive: true }).catch(() => {});
  }
}

async function compile(compiler: string, target: Target, directory: string): Promise<void> {
  const sources = target.sources.flatMap((name) => cFiles(join(REPO, SOURCES, name), /\.(c|def)$/));
  const argv = [compiler, ...FLAGS, "-o", join(directory, target.output), ...sources, ...target.flags];
  const result = await capture(argv, { cwd: REPO });
  if (result.code !== 0) throw new Error(`${target.output}: ${result.stderr || lastLines(result)}`);
}

/** Sixteen digits that stand for all C sources, the way they are built and the compiler. */
async function fingerprint(compiler: string): Promise<string> {
  const parts = [JSON.stringify({ FLAGS, TARGETS }), (await capture([compiler, "--version"])).stdout];
  for (const path of cFiles(join(REPO, SOURCES), /\.(c|h|def)$/)) {
    parts.push(path, await Deno.readTextFile(path));
  }
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(parts.join("\0")));
  return [...new Uint8Array(hash, 0, 8)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The file itself, or the matching ones below a directory, sorted. */
function cFiles(path: string, pattern: RegExp): string[] {
  if (Deno.statSync(path).isFile) return [path];
  const entries = [...Deno.readDirSync(path)].sort((a, b) => a.name < b.name ? -1 : 1);
  return entries.flatMap((entry) => {
    if (!entry.isDirectory && !pattern.test(entry.name)) return [];
    return cFiles(join(path, entry.name), pattern);
  });
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
