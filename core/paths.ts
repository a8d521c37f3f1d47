/**
 * Where things are: data directory, IPC endpoint, WireGuard control sockets, logs.
 *
 * The caller computes the same paths on its own from the same rules, so they agree bit for bit; nothing here
 * looks at a file. Paths are text and stay as given.
 */

import { fnv1a64, hex64 } from "./hash/fnv.ts";

/** What the rules depend on. */
export interface HostFacts {
  /** As `Deno.build.os` has it; every system but `windows` and `darwin` goes by the rules of Linux. */
  readonly os: string;
  /** Effective user id; not looked at on Windows. */
  readonly euid: number;
  /** Environment variables of the process; empty ones count as unset. */
  readonly env: {
    readonly HOME?: string | undefined;
    readonly PROGRAMDATA?: string | undefined;
    readonly ZLAYER_DATA_DIR?: string | undefined;
  };
}

const SYSTEM_DATA_DIR = "/var/lib/zlayer";
const SYSTEM_SOCKET = "/var/run/zlayer-overlayd.sock";
const SYSTEM_UAPI_DIR = "/var/run/wireguard";
const SYSTEM_LOG_DIR = "/var/log/zlayer";
const PIPE = "\\\\.\\pipe\\zlayer-overlayd";

/** Bytes of a Unix socket's path that every system allows (`sun_path`, macOS, less the NUL). */
const SOCKET_PATH_MAX_BYTES = 103;
/** Room for `/`, an interface name of 15 bytes and `.sock`. */
const UAPI_DIR_MAX_BYTES = SOCKET_PATH_MAX_BYTES - 21;

const encoder = new TextEncoder();

/** The data directory of a host where nobody chose one; never looks at `ZLAYER_DATA_DIR`. */
export function platformDefault(host: HostFacts): string {
  if (host.os === "windows") return `${host.env.PROGRAMDATA || "C:\\ProgramData"}\\ZLayer`;
  if (host.os !== "darwin" && host.euid === 0) return SYSTEM_DATA_DIR;
  return joinPath(host.env.HOME || SYSTEM_DATA_DIR, ".zlayer");
}

/** The data directory where no flag names one: `ZLAYER_DATA_DIR` verbatim, else the platform's. */
export function defaultDataDir(host: HostFacts): string {
  return host.env.ZLAYER_DATA_DIR || platformDefault(host);
}

/** Whether a data directory is the platform's own, spelt in any way. */
export function isPlatformDataDir(dataDir: string, host: HostFacts): boolean {
  return samePath(dataDir, platformDefault(host));
}

/** The IPC endpoint that goes with a data directory: a socket's path, or a pipe's name on Windows. */
export function overlaydSocket(dataDir: string, host: HostFacts): string {
  if (host.os === "windows") return PIPE;
  const natural = joinPath(joinPath(dataDir, "run"), "zlayer-overlayd.sock");
  if (isPlatformDataDir(dataDir, host)) return host.os === "darwin" ? natural : SYSTEM_SOCKET;
  if (byteLength(natural) <= SOCKET_PATH_MAX_BYTES) return natural;
  return `/tmp/zlayer-overlayd-${shortHash(dataDir, "overlayd")}.sock`;
}

/**
 * The directory of WireGuard control sockets.
 *
 * The system's own directory goes with the platform's data directory only. The reference compares with
 * {@linkcode defaultDataDir} instead, by which an instance isolated through `ZLAYER_DATA_DIR` shares the
 * system's directory while its IPC socket does not; no caller computes this path.
 */
export function uapiDir(dataDir: string, host: HostFacts): string {
  const system = host.os !== "windows" && host.os !== "darwin";
  if (system && isPlatformDataDir(dataDir, host)) return SYSTEM_UAPI_DIR;
  const natural = hostJoin(host, dataDir, "run", "wireguard");
  if (byteLength(natural) <= UAPI_DIR_MAX_BYTES) return natural;
  return `/tmp/zlayer-wg-${shortHash(dataDir, "wg")}`;
}

/** The directory of log files, for those who keep them: see {@linkcode serviceLogFile}. */
export function logDir(dataDir: string, host: HostFacts): string {
  const system = host.os !== "windows" && host.os !== "darwin";
  if (system && isPlatformDataDir(dataDir, host)) return SYSTEM_LOG_DIR;
  return hostJoin(host, dataDir, "logs");
}

/** The log of a daemon that runs as a Windows service; every other one logs to standard output. */
export function serviceLogFile(dataDir: string, host: HostFacts): string {
  return hostJoin(host, logDir(dataDir, host), "overlayd.log");
}

/** A file of the data directory, by name. */
export function dataFile(dataDir: string, name: string, host: HostFacts): string {
  return hostJoin(host, dataDir, name);
}

/** What decides about a second socket. */
export interface SecondarySocketFacts {
  readonly host: HostFacts;
  readonly dataDir: string;
  /** User id of the data directory's owner; `undefined` if there is no such directory. */
  readonly dataDirOwner: number | undefined;
  /** Whether `--socket` was given. */
  readonly socketGiven: boolean;
}

/**
 * The second socket to listen on, unless a live daemon answers there.
 *
 * A service installed by a user runs as root with the user's data directory, while the user's caller finds
 * that directory to be its own default and dials the system's socket. So that they meet, the daemon listens
 * there too and gives that socket to the user.
 */
export function secondarySocket(facts: SecondarySocketFacts): { path: string; ownerUid: number } | undefined {
  const { host, dataDir, dataDirOwner, socketGiven } = facts;
  if (host.os !== "linux" || host.euid !== 0 || socketGiven) return undefined;
  if (isPlatformDataDir(dataDir, host) || !dataDirOwner) return undefined;
  return { path: SYSTEM_SOCKET, ownerUid: dataDirOwner };
}

/**
 * Whether two Unix paths have the same components: doubled and trailing `/` and inner `.` do not matter;
 * `..`, links and letter case do.
 */
export function samePath(a: string, b: string): boolean {
  const left = components(a);
  const right = components(b);
  return left.length === right.length && left.every((part, i) => part === right[i]);
}

/** A leading `/` and a leading `.` are components of their own. */
function components(path: string): string[] {
  const parts = path.split("/");
  const root = path.startsWith("/") ? ["/"] : parts[0] === "." ? ["."] : [];
  return [...root, ...parts.filter((part) => part !== "" && part !== ".")];
}

function joinPath(directory: string, name: string, separator = "/"): string {
  const joined = directory === "" || directory.endsWith("/") || directory.endsWith(separator);
  return directory + (joined ? "" : separator) + name;
}

function hostJoin(host: HostFacts, directory: string, ...names: string[]): string {
  const separator = host.os === "windows" ? "\\" : "/";
  return names.reduce((path, name) => joinPath(path, name, separator), directory);
}

function byteLength(text: string): number {
  return encoder.encode(text).length;
}

/** 16 digits that stand for a path too long for a socket. */
function shortHash(dataDir: string, label: string): string {
  return hex64(fnv1a64(encoder.encode(dataDir + label)));
}
