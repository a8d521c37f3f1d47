/**
 * Wine for the Windows rig: a root file system of Debian trixie with Wine 10 and a prefix made ready, in the
 * cache directory. Older Wines cannot start the V8 of `deno.exe`, and that Wine needs a newer C library than
 * Debian 12 has, so it gets a root of its own. Nothing is installed on the machine.
 *
 * Layout: `<cache>/windows/root-<recipe>`, in it the prefix at `/prefix`. It is built beside, under another
 * name, and moved into place when whole; the recipe's name changes with what is in it. Building takes about 40 s
 * and 1.9 GB.
 */
import { join } from "@std/path";
import { aptUpdate, findProgram, lastLines } from "./packages.ts";
import { capture, print, type RunOptions } from "./process.ts";
import { retry } from "./retry.ts";

const SUITE = "trixie";
/** Changes whenever a root made by another version of this file must not be used. */
const RECIPE = `${SUITE}-1`;
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
const BUILD_TIMEOUT_MS = 30 * 60_000;

/** Where the prefix is inside the root. */
export const WINE_PREFIX = "/prefix";

/** What a program in the root needs to find Wine: the prefix, no chatter, no offers to install Mono and Gecko. */
export const WINE_ENV: Readonly<Record<string, string>> = {
  HOME: "/root",
  PATH: "/usr/lib/wine:/usr/sbin:/usr/bin:/sbin:/bin",
  LC_ALL: "C.UTF-8",
  WINEPREFIX: WINE_PREFIX,
  WINEDEBUG: "-all",
  WINEDLLOVERRIDES: "mscoree,mshtml=",
  XDG_RUNTIME_DIR: "/run",
};

/** The root, or undefined when it has not been built. */
export function findWineRoot(cache: string): string | undefined {
  const path = join(cache, "windows", `root-${RECIPE}`);
  try {
    return Deno.statSync(path).isDirectory ? path : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Builds the root unless another set-up has just done so; needs root. @returns What is wrong, or undefined. */
export async function buildWineRoot(cache: string): Promise<string | undefined> {
  const parent = join(cache, "windows");
  await Deno.mkdir(parent, { recursive: true });
  // One builder at a time, so that whatever half-built root is found belongs to a builder that died.
  using lock = await Deno.open(join(parent, "lock"), { write: true, create: true });
  await lock.lock(true);
  if (findWineRoot(cache) !== undefined) return undefined;
  for (const entry of [...Deno.readDirSync(parent)]) {
    if (entry.name.startsWith("new-")) await Deno.remove(join(parent, entry.name), { recursive: true });
  }
  const work = await Deno.makeTempDir({ dir: parent, prefix: "new-" });
  try {
    print(`setup: building Debian ${SUITE} with Wine into ${parent}`);
    const problem = await bootstrapPatiently(work) ?? await makePrefix(join(work, "root"));
    if (problem === undefined) await Deno.rename(join(work, "root"), join(parent, `root-${RECIPE}`));
    return problem;
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

/** {@linkcode bootstrap}, from the start again when the network fails. */
async function bootstrapPatiently(work: string): Promise<string | undefined> {
  const attempt = async (): Promise<string | undefined> => {
    await Deno.remove(join(work, "root"), { recursive: true }).catch(() => {});
    return await bootstrap(work);
  };
  return await retry(attempt, { onRetry: (problem) => print(`setup: ${problem}; trying again`) });
}

/** Unpacks and configures Debian below `work`, through the mirror, proxy and checks that apt has here. */
async function bootstrap(work: string): Promise<string | undefined> {
  const mirror = await debianMirror();
  if (mirror === undefined) return "apt has no Debian mirror among its sources";
  await Deno.writeTextFile(join(work, "apt.conf"), await transportOptions());
  const without = ["man", "doc", "locale"].map((dir) => `--dpkgopt=path-exclude=/usr/share/${dir}/*`);
  return await run([
    ...["mmdebstrap", "--quiet", "--mode=root", "--format=directory", "--variant=essential"],
    ...["--include=wine64", "--components=main", `--keyring=${KEYRING}`],
    ...[`--aptopt=${join(work, "apt.conf")}`, ...without, SUITE, join(work, "root"), mirror],
  ]);
}

/** The mirror that apt takes Debian's own release from. */
async function debianMirror(): Promise<string | undefined> {
  return await askMirror() ?? (await aptUpdate() === undefined ? await askMirror() : undefined);
}

async function askMirror(): Promise<string | undefined> {
  const format = "$(ORIGIN)|$(LABEL)|$(REPO_URI)";
  const { stdout } = await capture(["apt-get", "indextargets", "--format", format, "Created-By: Packages"]);
  return stdout.split("\n").map((line) => line.split("|")).find(([origin, label]) =>
    origin === "Debian" && label === "Debian"
  )?.[2];
}

/** How apt reaches its mirrors and what it checks, as the options of another apt. */
async function transportOptions(): Promise<string> {
  const { stdout } = await capture(["apt-config", "dump"]);
  const wanted = /^Acquire::(http|https|ftp|Retries|ForceIPv[46]|Check-Valid-Until|Check-Date)\b.* ".+";$/i;
  return stdout.split("\n").filter((line) => wanted.test(line)).map((line) => `${line}\n`).join("");
}

/** Lets Wine fill its prefix, in namespaces of its own, and waits until it has written everything. */
async function makePrefix(root: string): Promise<string | undefined> {
  const script = [
    "set -e",
    'mount -t proc proc "$1/proc"',
    'mount --rbind /dev "$1/dev"',
    `mkdir "$1${WINE_PREFIX}"`,
    'exec chroot "$1" sh -c "wine64 wineboot --init && wineserver --wait"',
  ].join("\n");
  return await run(
    ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "sh", "-c", script]
      .concat("sh", root),
    { env: { ...WINE_ENV }, clearEnv: true },
  );
}

async function run(argv: readonly string[], options: RunOptions = {}): Promise<string | undefined> {
  const program = findProgram(argv[0] ?? "");
  if (program === undefined) return `no ${argv[0]} here`;
  const result = await capture([program, ...argv.slice(1)], { timeoutMs: BUILD_TIMEOUT_MS, ...options });
  if (result.timedOut) return `${argv[0]} did not end in ${BUILD_TIMEOUT_MS / 60_000} minutes`;
  return result.code === 0 ? undefined : `${argv[0]} failed: ${lastLines(result)}`;
}
