/**
 * The daemon's configuration: flags first, then the environment, then the platform's defaults.
 *
 * Everything is decided here, once; no other module reads the environment.
 */

import { type LogFilter, parseLogFilter } from "./log_filter.ts";
import { defaultDataDir, type HostFacts, overlaydSocket, serviceLogFile, uapiDir } from "./paths.ts";

/** Which implementation of WireGuard to use. */
export type WireGuardChoice = "auto" | "kernel" | "userspace";

/** Flags of `serve` as parsed; absent ones were not given. */
export interface DaemonFlags {
  /** Not empty. */
  readonly dataDir?: string | undefined;
  /** Not empty. */
  readonly socket?: string | undefined;
  readonly service?: boolean | undefined;
  readonly cleanupOnExit?: boolean | undefined;
  readonly removeAbandoned?: boolean | undefined;
  readonly wireguard?: WireGuardChoice | undefined;
}

/** What the process was started in. */
export interface DaemonEnvironment extends HostFacts {
  readonly env: HostFacts["env"] & {
    readonly RUST_LOG?: string | undefined;
    readonly NO_COLOR?: string | undefined;
    readonly ZLAYER_HCN_UPLINK_ADAPTER?: string | undefined;
    readonly SystemRoot?: string | undefined;
  };
  /** Whether standard output is a terminal. */
  readonly terminal: boolean;
}

/** Directories of Windows. */
export interface WindowsPlaces {
  /** `%SystemRoot%` */
  readonly systemRoot: string;
  /** `%ProgramData%` */
  readonly programData: string;
}

/** The resolved configuration. */
export interface DaemonConfig {
  /** As given: the caller hashes the same text. */
  readonly dataDir: string;
  /** IPC endpoint: a path, or a pipe's name. */
  readonly socket: string;
  /** Whether `socket` was asked for, and so is the only one. */
  readonly socketGiven: boolean;
  readonly logFilter: LogFilter;
  /** File that records go to instead of standard output, which a Windows service has none of. */
  readonly logFile?: string;
  /** Whether log lines may be coloured. */
  readonly colour: boolean;
  /** Whether to remove the data plane at the end instead of leaving it to the next start. */
  readonly cleanupOnExit: boolean;
  /** Windows: whether to remove what an earlier daemon attached once no container is in it any more. */
  readonly removeAbandoned: boolean;
  /** Whether to run under the Windows service manager. */
  readonly service: boolean;
  readonly wireguard: WireGuardChoice;
  /** Directory of WireGuard control sockets. */
  readonly uapiDir: string;
  /** Directories of Windows; they mean nothing elsewhere. */
  readonly windows: WindowsPlaces;
  /** Adapter that the base HCN network is bridged to; absent: an internal network. */
  readonly hcnUplinkAdapter?: string;
}

/** Resolves the configuration. */
export function resolveConfig(flags: DaemonFlags, environment: DaemonEnvironment): DaemonConfig {
  const { env } = environment;
  const dataDir = flags.dataDir ?? defaultDataDir(environment);
  const service = environment.os === "windows" && (flags.service ?? false);
  const adapter = env.ZLAYER_HCN_UPLINK_ADAPTER?.trim();
  return {
    dataDir,
    socket: flags.socket ?? overlaydSocket(dataDir, environment),
    socketGiven: flags.socket !== undefined,
    logFilter: parseLogFilter(env.RUST_LOG),
    colour: environment.terminal && !env.NO_COLOR && !service,
    cleanupOnExit: flags.cleanupOnExit ?? false,
    removeAbandoned: flags.removeAbandoned ?? false,
    service,
    wireguard: flags.wireguard ?? "auto",
    uapiDir: uapiDir(dataDir, environment),
    windows: {
      systemRoot: env.SystemRoot || "C:\\Windows",
      programData: env.PROGRAMDATA || "C:\\ProgramData",
    },
    ...(service ? { logFile: serviceLogFile(dataDir, environment) } : {}),
    ...(adapter ? { hcnUplinkAdapter: adapter } : {}),
  };
}
