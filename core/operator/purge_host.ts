/** `purge` on this host: its backend, the files of the data directory, the running daemon if there is one. */
import { join, resolve } from "@std/path";
import type { ContainerNetworks } from "../backend/containers.ts";
import { type OpenBackend, selectBackend } from "../backend/select.ts";
import { EXIT_FAILURE } from "../cli/exit_codes.ts";
import type { OperatorCommand } from "../cli/parse.ts";
import type { DaemonConfig, DaemonEnvironment } from "../config.ts";
import { DataDirBusyError, lockDataDir } from "../data_dir.ts";
import { planEndpoints } from "../endpoints.ts";
import { installationId, isTagOf } from "../engine/context.ts";
import { describeError, PreconditionError } from "../errors.ts";
import { SILENT_LOG } from "../log.ts";
import { MarkerFile } from "../marker_file.ts";
import { checkDeployment } from "../network/validate.ts";
import { MARKER_FILE, stateFile } from "../open_engine.ts";
import { serviceLogFile } from "../paths.ts";
import { findStaleControlSockets } from "../transport/stale_socket.ts";
import type { OperatorContext } from "./client.ts";
import { readContainerPlaces, readDeployment, readHostSettings } from "./host_settings.ts";
import { type PurgeDeps, runPurge } from "./purge.ts";
import { findOwnFiles, removeEmptyDirs, removeLockFile, removeOwnFile } from "./purge_files.ts";
import type { PurgeFindings } from "./purge_plan.ts";
import { serviceHint } from "./service_hint.ts";

/** Pause between attempts to claim the directory of a daemon that is stopping. */
const PAUSE_MS = 50;

/** What decides about a purge on this host. */
export interface PurgeHost {
  readonly config: DaemonConfig;
  readonly environment: DaemonEnvironment;
  readonly context: OperatorContext;
  /** This host's unless given. */
  readonly openBackend?: OpenBackend;
}

/** Runs the command; resolves to the exit code. */
export async function purgeHost(
  command: OperatorCommand & { readonly kind: "purge" },
  host: PurgeHost,
): Promise<number> {
  const { context, config, openBackend = selectBackend } = host;
  const dataDir = await Deno.realPath(config.dataDir).catch(() => resolve(config.dataDir));
  const marker = new MarkerFile(join(dataDir, MARKER_FILE), { log: SILENT_LOG });
  const backend = await openBackend(SILENT_LOG, { marker, windows: config.windows });
  try {
    if (command.deployment !== undefined) checkDeployment(command.deployment);
    const installation = installationId(dataDir);
    const deps: PurgeDeps = {
      backend,
      ...purgeNetworks(backend.containers, stateFile(dataDir), command.deployment),
      isOurs: (tag) => isTagOf(installation, tag),
      findings: () => findings(dataDir, host),
      removeFile: removeOwnFile,
      removeLockFile: () => removeLockFile(dataDir),
      removeEmptyDirs: () => removeEmptyDirs(dataDir, config.uapiDir),
      lock: () => lockDataDir(dataDir, { create: false }),
      stopDaemon: () => stopDaemon(context),
      pause: () => new Promise((resolve) => setTimeout(resolve, PAUSE_MS)),
      out: (text) => context.out(`${text}\n`),
      err: (text) => context.err(`${text}\n`),
    };
    return await runPurge(command, deps);
  } catch (error) {
    const hint = error instanceof DataDirBusyError
      ? `: stop it ('${serviceHint("stop", host.environment.os)}'), or give --stop-daemon`
      : "";
    await context.err(`error: ${describeError(error)}${hint}\n`);
    return EXIT_FAILURE;
  } finally {
    await backend.close();
  }
}

/** Networks of containers, where this host has such. */
function purgeNetworks(
  containers: ContainerNetworks | undefined,
  databasePath: string,
  deployment: string | undefined,
): Pick<PurgeDeps, "purgeNetworks" | "leftBehind"> {
  if (!containers) return {};
  return {
    // Without a database that can be read, the default deployment is as good a guess as any; the marker knows more.
    purgeNetworks: async () =>
      containers.purge(
        deployment ?? await readDeployment(databasePath).catch(() => ""),
        await readContainerPlaces(databasePath).catch(() => []),
      ),
    leftBehind: async () => (await containers.ownerless().catch(() => [])).map(describeOwnerless),
  };
}

/** An earlier daemon's may be among them, but nothing tells it from another program's. */
function describeOwnerless(namespace: string): string {
  return `leave HCN namespace ${namespace}: nothing is in it, and nothing tells whose it is (if no other program ` +
    "uses it: Get-HnsNamespace, Remove-HnsNamespace)";
}

async function findings(
  dataDir: string,
  { config, environment, context }: PurgeHost,
): Promise<Omit<PurgeFindings, "inventory">> {
  const dataDirOwner = await Deno.stat(dataDir).then(({ uid }) => uid ?? undefined, () => undefined);
  const endpoints = planEndpoints(config, { host: environment, dataDirOwner, groupId: undefined });
  const hostSettings = await readHostSettings(stateFile(dataDir)).catch(async (error) => {
    // A broken database must not keep the rest from being removed.
    await context.err(`warning: ${describeError(error)}; host settings stay as they are\n`);
    return {};
  });
  const sockets = [
    ...endpoints.map(({ path }) => path),
    ...await findStaleControlSockets(config.uapiDir),
  ];
  // Only a service has one, and whether there is a service is nothing that the data directory tells.
  const logFile = environment.os === "windows" ? { logFile: serviceLogFile(dataDir, environment) } : {};
  return { hostSettings, files: await findOwnFiles(dataDir, sockets, logFile) };
}

async function stopDaemon(context: OperatorContext): Promise<void> {
  let client;
  try {
    client = await context.connect();
  } catch (error) {
    throw new PreconditionError(`cannot ask the daemon to stop: ${describeError(error)}`, { cause: error });
  }
  try {
    await client.call({ op: "shutdown" });
  } finally {
    client.close();
  }
}
