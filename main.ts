/**
 * `zlayer-overlayd`: the daemon without a command, the operator's tool with one.
 *
 * Only wiring: what a command line means, what the parts do and in which order is in `core/`; this file joins
 * them with the IPC server and client. Modules that only one of the two needs are loaded when it runs.
 */
import { fromFileUrl, resolve } from "@std/path";
import type { OpenBackend } from "./core/backend/select.ts";
import { EXIT_FAILURE, EXIT_OK, EXIT_USAGE } from "./core/cli/exit_codes.ts";
import { writeFatal, writeText } from "./core/cli/output.ts";
import { systemClock } from "./core/clock.ts";
import { type OperatorCommand, parseCommandLine, type ServeCommand } from "./core/cli/parse.ts";
import { type DaemonConfig, type DaemonEnvironment, resolveConfig } from "./core/config.ts";
import type { EngineHandle, ServerHandle } from "./core/daemon.ts";
import { hasTerminal, readEnvironment } from "./core/environment.ts";
import type { Log } from "./core/log.ts";
import type { Logging } from "./core/logging/configure.ts";
import { causeChain } from "./core/logging/redact.ts";
import type { Body, OperatorClient, OperatorContext } from "./core/operator/client.ts";
import type { OverlayService } from "./core/service.ts";
import { VERSION } from "./core/version.ts";
import { SERVICE_NAME } from "./core/windows_service/definition.ts";
import { NO_EVENTS, type ServiceEvents } from "./core/windows_service/events.ts";
import { type Supervisor, UNSUPERVISED } from "./core/windows_service/supervisor.ts";

/** Requests in flight at the stop signal are given this long; the process is to end within 5 s. */
const GRACE_MS = 4000;

/** Time for the last log records to be written: to whoever reads stdout, or to a file. */
const FLUSH_MS = { stdout: 50, file: 2000 };

/** Builds the engine of a daemon; tests give a scripted one. */
export type OpenEngine = (config: DaemonConfig, log: (part: string) => Log) => Promise<EngineHandle>;

/** What tests replace. */
export interface MainOptions {
  /** What `purge` works on; this host's unless given. */
  readonly openBackend?: OpenBackend;
  /** Where a service tells what happened to it; the event log of Windows unless given. */
  readonly events?: ServiceEvents;
}

/** Runs a command line to its exit code. */
export async function main(
  args: readonly string[],
  openEngine: OpenEngine,
  options: MainOptions = {},
): Promise<number> {
  const command = parseCommandLine(args, VERSION);
  switch (command.kind) {
    case "print":
      await writeText(Deno.stdout, command.text);
      return EXIT_OK;
    case "usage":
      // A service's stderr is nowhere.
      if (args.includes("--service")) (await serviceEvents(options)).failed(`cannot start: ${command.text}`);
      await writeText(Deno.stderr, command.text);
      return EXIT_USAGE;
    case "serve":
      return await startServing(command, openEngine, options);
    default:
      return await operate(command, options);
  }
}

/** Runs the daemon in the foreground, or as the Windows service that it was started as. */
async function startServing(
  command: ServeCommand,
  openEngine: OpenEngine,
  options: MainOptions,
): Promise<number> {
  const environment = readEnvironment();
  const config = resolveConfig(command, environment);
  const events = config.service ? await serviceEvents(options) : NO_EVENTS;
  const run = (supervisor: Supervisor): Promise<number> =>
    serve(command.logFormat, { config, environment, openEngine, supervisor, events });
  if (!config.service) return await run(UNSUPERVISED);
  const { runAsService } = await import("./core/transport/windows_service.ts");
  try {
    return await runAsService(SERVICE_NAME, run);
  } catch (error) {
    events.failed(`cannot run: ${causeChain(error)}`);
    await writeFatal(Deno.stderr, causeChain(error));
    return EXIT_FAILURE;
  }
}

/** Where this host's service manager looks for what its services have to say. */
async function serviceEvents({ events }: MainOptions): Promise<ServiceEvents> {
  if (readEnvironment().os !== "windows") return NO_EVENTS;
  return events ?? (await import("./core/transport/event_log.ts")).eventLog(SERVICE_NAME);
}

/** Runs the daemon until it has stopped; a fatal error is one line on stderr. */
async function serve(
  logFormat: ServeCommand["logFormat"],
  parts: Omit<DaemonParts, "logging">,
): Promise<number> {
  const { config, events } = parts;
  const { startLogging } = await import("./core/logging/start.ts");
  const logging = startLogging(config, logFormat);
  const log = logging.log();
  log.info("starting", { data_dir: config.dataDir, socket: config.socket, version: VERSION, pid: Deno.pid });
  try {
    await runDaemon({ ...parts, logging });
    events.stopped(`zlayer-overlayd stopped; its data directory is ${config.dataDir}`);
    return EXIT_OK;
  } catch (error) {
    log.error("cannot run", { err: error });
    events.failed(`cannot run with data directory ${config.dataDir}: ${causeChain(error)}`);
    await writeFatal(Deno.stderr, causeChain(error));
    return EXIT_FAILURE;
  } finally {
    await logging.flush(flushMs(config));
  }
}

function flushMs({ logFile }: DaemonConfig): number {
  return logFile === undefined ? FLUSH_MS.stdout : FLUSH_MS.file;
}

/** What {@linkcode runDaemon} is made of. */
interface DaemonParts {
  readonly config: DaemonConfig;
  readonly environment: DaemonEnvironment;
  readonly logging: Logging;
  readonly openEngine: OpenEngine;
  readonly supervisor: Supervisor;
  readonly events: ServiceEvents;
}

/** Starts, waits for a signal, the supervisor or a `shutdown` request, stops. */
async function runDaemon(parts: DaemonParts): Promise<void> {
  const { config, environment, logging, openEngine, supervisor, events } = parts;
  const { startDaemon, stopLimitMs } = await import("./core/daemon.ts");
  const { claimDataDir } = await import("./core/data_dir.ts");
  const { handleSignals, surviveUncaughtErrors } = await import("./core/signals.ts");
  const log = logging.log();
  surviveUncaughtErrors(log);
  const signalled = Promise.withResolvers<string>();
  const force = (): never => {
    supervisor.stopped(EXIT_FAILURE);
    Deno.exit(EXIT_FAILURE);
  };
  const cutOff = async (): Promise<void> => {
    log.error("the stop took too long and is cut off", { limit_ms: stopLimitMs(config) });
    events.failed(`the stop took more than ${stopLimitMs(config)} ms and is cut off`);
    await logging.flush(FLUSH_MS.stdout);
    force();
  };
  const limitStop = (): unknown => setTimeout(() => void cutOff(), stopLimitMs(config));
  const stop = (signal: string): void => {
    limitStop();
    signalled.resolve(signal);
  };
  handleSignals({ stop, force }, { os: environment.os, terminal: hasTerminal() });
  supervisor.stopRequested.then(stop);
  const daemon = await startDaemon({
    lock: () => claimDataDir(config.dataDir),
    // The directory's own name, however it was given: kernel objects are tagged with a hash of it.
    openEngine: async () =>
      openEngine({ ...config, dataDir: await Deno.realPath(config.dataDir) }, logging.log),
    serve: (service, onShutdown) =>
      listen({ config, environment, service, onShutdown, log: logging.log("ipc") }),
    log,
    onStopping: () => {
      supervisor.stopping();
      limitStop();
    },
    cleanupOnExit: config.cleanupOnExit,
    graceMs: GRACE_MS,
  });
  log.info("ready");
  supervisor.running();
  events.started(`zlayer-overlayd ${VERSION} runs; its data directory is ${config.dataDir}`);
  signalled.promise.then((signal) => daemon.stop(signal));
  await daemon.finished;
}

/** What {@linkcode listen} serves, and where. */
interface ListenParts {
  readonly config: DaemonConfig;
  readonly environment: DaemonEnvironment;
  readonly service: OverlayService;
  readonly onShutdown: () => void;
  readonly log: Log;
}

/** Binds the endpoints and serves on them. */
async function listen({ config, environment, service, onShutdown, log }: ListenParts): Promise<ServerHandle> {
  const { bindEndpoints, planEndpoints } = await import("./core/endpoints.ts");
  const { socketGroupId } = await import("./core/transport/socket_owner.ts");
  const { listenEndpoint } = await import("./ipc/listener.ts");
  const { IpcServer } = await import("./ipc/server.ts");
  const groupId = await socketGroupId(log);
  const dataDirOwner = await Deno.stat(config.dataDir).then(({ uid }) => uid ?? undefined, () => undefined);
  const endpoints = planEndpoints(config, { host: environment, dataDirOwner, groupId });
  const listeners = await bindEndpoints(endpoints, (one) => listenEndpoint(one.path, { ...one, log }), log);
  const server = new IpcServer({ service, log, onShutdown });
  for (const listener of listeners) void server.serve(listener);
  return server;
}

/** Runs an operator's command. */
async function operate(
  command: OperatorCommand,
  options: { readonly openBackend?: OpenBackend },
): Promise<number> {
  const { dataDir, socket } = command;
  const environment = readEnvironment();
  const config = resolveConfig({ dataDir, socket }, environment);
  const { OverlaydClient } = await import("./ipc/client.ts");
  const json = await import("./ipc/json.ts");
  const context: OperatorContext = {
    socket: config.socket,
    async connect(): Promise<OperatorClient> {
      const client = await OverlaydClient.connect(config.socket);
      return { call: async (request) => await client.callRaw(request) as Body, close: () => client.close() };
    },
    out: (text) => writeText(Deno.stdout, text),
    err: (text) => writeText(Deno.stderr, text),
    wallSeconds: () => systemClock().wallSeconds(),
    json: { parse: json.parseExactJson, stringify: json.stringifyExactJson },
  };
  if (command.kind === "service install" || command.kind === "service uninstall") {
    const { runServiceCommand } = await import("./core/operator/service_commands.ts");
    return await runServiceCommand(command, {
      config,
      context,
      os: environment.os,
      program: programCommand(),
      absolute: (path) => resolve(path),
      openManager: async () => (await import("./core/transport/windows_service.ts")).openServiceManager(),
      pause: (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
    });
  }
  if (command.kind === "purge") {
    const { purgeHost } = await import("./core/operator/purge_host.ts");
    return await purgeHost(command, { config, environment, context, ...options });
  }
  const { runClientCommand } = await import("./core/operator/run.ts");
  return await runClientCommand(command, context);
}

/** The command line that runs this program: the executable alone, once it is compiled. */
function programCommand(): readonly string[] {
  if (Deno.build.standalone) return [Deno.execPath()];
  return [Deno.execPath(), "run", "-A", fromFileUrl(Deno.mainModule)];
}

if (import.meta.main) {
  const openEngine: OpenEngine = async (config, log) =>
    await (await import("./core/open_engine.ts")).openEngine(config, log);
  Deno.exit(await main(Deno.args, openEngine));
}
