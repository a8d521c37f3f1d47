/** The Debian packages that the rigs need, how each is recognised, and how the missing ones are installed. */
import { capture, print, type RunResult, stream } from "./process.ts";
import { retry } from "./retry.ts";

/** A Debian package and a file that is there once it is installed. */
export interface DebianPackage {
  readonly name: string;
  /** A program looked up in {@linkcode PROGRAM_DIRS}, or an absolute path. */
  readonly probe: string;
  /** The program has to be statically linked, as another package may have brought one that is not. */
  readonly mustBeStatic?: boolean;
  /** What tests do with it. */
  readonly use: string;
}

/** Where programs are looked for: a plain user's PATH often lacks the `sbin` ones. */
export const PROGRAM_DIRS = [
  "/usr/local/sbin",
  "/usr/local/bin",
  "/usr/sbin",
  "/usr/bin",
  "/sbin",
  "/bin",
] as const;

/** Everything the rigs call. */
export const PACKAGES: readonly DebianPackage[] = [
  { name: "iproute2", probe: "ip", use: "network namespaces and assertions" },
  { name: "iputils-ping", probe: "ping", use: "reachability" },
  { name: "crun", probe: "crun", use: "a real OCI container" },
  {
    name: "busybox-static",
    probe: "busybox",
    mustBeStatic: true,
    use: "roots of containers, the guest's init",
  },
  { name: "qemu-system-x86", probe: "qemu-system-x86_64", use: "the kernel rig" },
  { name: "kmod", probe: "modprobe", use: "the guest's modules" },
  { name: "cpio", probe: "cpio", use: "the guest's initramfs" },
  { name: "wireguard-go", probe: "wireguard-go", use: "interoperability, comparison" },
  { name: "wireguard-tools", probe: "wg", use: "assertions on WireGuard" },
  { name: "wireguard-go", probe: "wireguard-go", use: "a peer of another make" },
  { name: "nftables", probe: "nft", use: "address translation and filters between hosts" },
  { name: "ethtool", probe: "ethtool", use: "links without offloads" },
  { name: "iperf3", probe: "iperf3", use: "flows across restarts" },
  { name: "netavark", probe: "/usr/lib/podman/netavark", use: "comparison" },
  { name: "mmdebstrap", probe: "mmdebstrap", use: "the Windows rig's Wine" },
  {
    name: "debian-archive-keyring",
    probe: "/usr/share/keyrings/debian-archive-keyring.gpg",
    use: "the Windows rig's Wine",
  },
  {
    name: "gcc-mingw-w64-x86-64-win32",
    probe: "x86_64-w64-mingw32-gcc",
    use: "fakes of Windows libraries",
  },
  { name: "gcc", probe: "gcc", use: "a clock that runs ahead" },
  { name: "containernetworking-plugins", probe: "/usr/lib/cni/bridge", use: "comparison" },
];

/** Absolute path of a program in {@linkcode PROGRAM_DIRS}, or undefined. */
export function findProgram(name: string): string | undefined {
  const paths = name.startsWith("/") ? [name] : PROGRAM_DIRS.map((dir) => `${dir}/${name}`);
  return paths.find(isFile);
}

/** Packages whose probe is not there. */
export function missingPackages(): DebianPackage[] {
  return PACKAGES.filter(({ probe, mustBeStatic }) => {
    const path = findProgram(probe);
    return path === undefined || (mustBeStatic === true && !isStatic(path));
  });
}

/**
 * Runs `apt-get` with the lists as they are and, when that fails, again after `apt-get update`, which is what stale
 * or absent lists need, and after a while, which is what a network needs that is away for a moment.
 *
 * @returns What is wrong, or undefined.
 */
export async function aptGet(args: readonly string[], cwd: string): Promise<string | undefined> {
  const first = await quietly(["apt-get", ...APT_OPTIONS, ...args], cwd);
  if (first.code === 0) return undefined;
  const again = async (): Promise<string | undefined> => {
    // What an installation that was cut off has left half done stands in the way of every other.
    if (args[0] === "install") await quietly(["dpkg", "--configure", "-a"], "/");
    const problem = await updateOnce();
    if (problem !== undefined) return problem;
    const { code, ...said } = await quietly(["apt-get", ...APT_OPTIONS, ...args], cwd);
    return code === 0 ? undefined : `apt-get ${args[0]} failed: ${lastLines(said)}`;
  };
  return await retry(again, { onRetry });
}

/** Fetches apt's lists anew, and tries that again. @returns What is wrong, or undefined. */
export async function aptUpdate(): Promise<string | undefined> {
  return await retry(updateOnce, { onRetry });
}

async function updateOnce(): Promise<string | undefined> {
  print("setup: apt-get update");
  const update = await quietly(["apt-get", ...APT_OPTIONS, "update"], "/");
  return update.code === 0 ? undefined : `apt-get update failed: ${lastLines(update)}`;
}

function onRetry(problem: string): void {
  print(`setup: ${problem}; trying again`);
}

/** Installs packages without their recommendations; needs root. @returns What is wrong, or undefined. */
export async function installPackages(names: readonly string[]): Promise<string | undefined> {
  return await aptGet(["install", "-y", "--no-install-recommends", ...names], "/");
}

/** Quiet, waiting for another apt, trying downloads again, never asking. */
const APT_OPTIONS = [
  ...["-q", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0"],
  ...["-o", "Acquire::Retries=3"],
] as const;

async function quietly(argv: readonly string[], cwd: string): Promise<RunResult> {
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  if (Deno.env.get("SETUP_VERBOSE") === "1") return await stream(argv, { cwd, env });
  return await capture(argv, { cwd, env });
}

/** The last three lines of what a command said, on one line. */
export function lastLines({ stdout, stderr }: Pick<RunResult, "stdout" | "stderr">): string {
  const lines = `${stdout}\n${stderr}`.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  return lines.slice(-3).join(" | ");
}

/** Whether there is a file of that path. */
export function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Whether an executable names no dynamic loader. Linkers put that name into the first page of the file. */
function isStatic(path: string): boolean {
  const page = new Uint8Array(4096);
  using file = Deno.openSync(path);
  const length = file.readSync(page) ?? 0;
  return !/\/ld-(linux|musl)/.test(new TextDecoder("latin1").decode(page.subarray(0, length)));
}
