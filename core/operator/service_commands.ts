/** `service install` and `service uninstall`: this executable as a Windows service. */
import { EXIT_FAILURE, EXIT_OK } from "../cli/exit_codes.ts";
import type { OperatorCommand } from "../cli/parse.ts";
import type { DaemonConfig } from "../config.ts";
import { describeError } from "../errors.ts";
import { SERVICE_NAME, serviceDefinition } from "../windows_service/definition.ts";
import {
  installService,
  type Pause,
  type ServiceManager,
  uninstallService,
} from "../windows_service/install.ts";
import type { OperatorContext } from "./client.ts";

/** The commands of this module. */
export type ServiceCommand = Extract<
  OperatorCommand,
  { readonly kind: "service install" } | { readonly kind: "service uninstall" }
>;

/** What the commands work with. */
export interface ServiceCommandDeps {
  readonly config: Pick<DaemonConfig, "dataDir" | "socket" | "socketGiven">;
  readonly context: Pick<OperatorContext, "out" | "err">;
  /** As `Deno.build.os` has it. */
  readonly os: string;
  /** The command line that runs this program. */
  readonly program: readonly string[];
  /** A path in full: the service starts in a directory of Windows. */
  readonly absolute: (path: string) => string;
  readonly openManager: () => Promise<ServiceManager>;
  readonly pause: Pause;
}

/** Runs one command to its exit code. */
export async function runServiceCommand(command: ServiceCommand, deps: ServiceCommandDeps): Promise<number> {
  const { context, os } = deps;
  if (os !== "windows") {
    await context.err(
      `error: '${command.kind}' is for Windows; here the host's service manager has its units\n`,
    );
    return EXIT_FAILURE;
  }
  try {
    using manager = await deps.openManager();
    const done = command.kind === "service install"
      ? await install(manager, command.start, deps)
      : await uninstall(manager, deps);
    await context.out(`${done}\n`);
    return EXIT_OK;
  } catch (error) {
    await context.err(`error: ${describeError(error)}\n`);
    return EXIT_FAILURE;
  }
}

async function install(
  manager: ServiceManager,
  start: boolean,
  { config, program, absolute, pause }: ServiceCommandDeps,
): Promise<string> {
  const socket = config.socketGiven ? { socket: config.socket } : {};
  const definition = serviceDefinition(program, { dataDir: absolute(config.dataDir), ...socket });
  const { replaced, started } = await installService(manager, definition, { start, pause });
  return `${SERVICE_NAME} ${replaced ? "replaced" : "installed"}${started ? " and started" : ""}`;
}

async function uninstall(manager: ServiceManager, { pause }: ServiceCommandDeps): Promise<string> {
  const found = await uninstallService(manager, SERVICE_NAME, pause);
  return found ? `${SERVICE_NAME} removed` : `${SERVICE_NAME} is not installed`;
}
