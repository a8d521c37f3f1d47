/**
 * The newest user-space WireGuards of others, built from their registries into the cache for comparison. Needed by
 * the benchmark only; no test asks for them.
 *
 * Layout: `<cache>/wireguard-go/wireguard`, `<cache>/boringtun/bin/boringtun-cli`.
 */
import { join } from "@std/path";
import { lastLines } from "./packages.ts";
import { capture, type RunResult } from "./process.ts";

/** A program that was built, or why it was not. */
export type Built =
  | { readonly path: string; readonly version: string }
  | { readonly reason: string };

/** Both of them. */
export interface TunnelPrograms {
  readonly wireguardGo: Built;
  readonly boringtun: Built;
}

/** Longest build. */
const TIMEOUT_MS = 15 * 60_000;

const GO_MODULE = "golang.zx2c4.com/wireguard";
const CRATE = "boringtun-cli";

/**
 * Builds what is not there in its newest version. Where that fails a build of earlier is used, whose version tells.
 *
 * @param options `offline`: build nothing, only look. `say`: told what is run.
 */
export async function buildTunnelPrograms(
  cache: string,
  options: { readonly offline: boolean; readonly say: (line: string) => void },
): Promise<TunnelPrograms> {
  const build: Build = async (argv, env = {}) => {
    if (options.offline) return NOT_ASKED;
    options.say(argv.join(" "));
    return await capture(argv, { env, cwd: "/", timeoutMs: TIMEOUT_MS });
  };
  return { wireguardGo: await wireguardGo(cache, build), boringtun: await boringtun(cache, build) };
}

/** Runs a build to its end. */
type Build = (argv: readonly string[], env?: Readonly<Record<string, string>>) => Promise<RunResult>;

const NOT_ASKED: RunResult = { code: 1, stdout: "", stderr: "not asked to", timedOut: false };

async function wireguardGo(cache: string, build: Build): Promise<Built> {
  const dir = join(cache, "wireguard-go");
  const built = await build(["go", "install", `${GO_MODULE}@latest`], { GOBIN: dir });
  return await found(join(dir, "wireguard"), built, async (path) => {
    const { stdout } = await capture(["go", "version", "-m", path]);
    return /^\s*mod\s+\S+\s+(\S+)/m.exec(stdout)?.[1];
  });
}

async function boringtun(cache: string, build: Build): Promise<Built> {
  const dir = join(cache, "boringtun");
  const built = await build(["cargo", "install", "--quiet", "--locked", "--root", dir, CRATE]);
  return await found(join(dir, "bin", CRATE), built, async (path) => {
    return /\d+\.\d+\.\d+/.exec((await capture([path, "--version"])).stdout)?.[0];
  });
}

async function found(
  path: string,
  built: RunResult,
  versionOf: (path: string) => Promise<string | undefined>,
): Promise<Built> {
  const isThere = await Deno.stat(path).then(({ isFile }) => isFile, () => false);
  if (isThere) return { path, version: await versionOf(path) ?? "of unknown version" };
  return { reason: built.timedOut ? "the build took too long" : lastLines(built) };
}
