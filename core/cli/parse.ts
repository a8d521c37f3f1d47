/**
 * The command line as a value. Pure: what to do with it, and where its text goes, is the caller's.
 *
 * No command means serve. A command's own flags follow its name; `--data-dir` and `--socket` may stand before
 * it as well.
 */
import { type CommandSpec, findCommand, LOCATION_FLAGS, SERVE_FLAGS } from "./commands.ts";
import { type FlagSpec, type FlagValues, parseFlags } from "./flags.ts";
import { commandHelp, mainHelp, usageError } from "./help.ts";

/** Where the daemon of a command is. */
export interface Location {
  readonly dataDir?: string;
  readonly socket?: string;
}

/** Parameters of serving. */
export interface ServeCommand extends Location {
  readonly kind: "serve";
  /** Run under the Windows service manager; ignored elsewhere. */
  readonly service: boolean;
  readonly cleanupOnExit: boolean;
  readonly removeAbandoned: boolean;
  readonly logFormat: "text" | "json";
  readonly wireguard: "auto" | "kernel" | "userspace";
}

/** Something an operator asks of this node. */
export type OperatorCommand =
  & Location
  & (
    | { readonly kind: "status"; readonly json: boolean }
    | { readonly kind: "call"; readonly request: string }
    | {
      readonly kind: "attach";
      readonly pid: number;
      readonly service: string;
      readonly joinGlobal: boolean;
      readonly dnsServer?: string;
      readonly dnsDomain?: string;
    }
    | { readonly kind: "detach"; readonly pid: number }
    | { readonly kind: "service add"; readonly name: string; readonly mode: "auto" | "shared" | "dedicated" }
    | { readonly kind: "service rm"; readonly name: string }
    | { readonly kind: "service install"; readonly start: boolean }
    | { readonly kind: "service uninstall" }
    | {
      readonly kind: "purge";
      readonly dryRun: boolean;
      readonly stopDaemon: boolean;
      /** Whose HCN networks go; absent: that of the state database. */
      readonly deployment?: string;
    }
  );

/** What a command line asks for. `print` goes to stdout with exit 0, `usage` to stderr with exit 2. */
export type CommandLine =
  | ServeCommand
  | OperatorCommand
  | { readonly kind: "print"; readonly text: string }
  | { readonly kind: "usage"; readonly text: string };

/** Thrown inside this module when the command line is not acceptable. */
class UsageError extends Error {}

/**
 * Parses the arguments after the program's name.
 *
 * @param version What `--version` prints after the program's name.
 */
export function parseCommandLine(args: readonly string[], version: string): CommandLine {
  let command: CommandSpec | undefined;
  try {
    const head = flags(args, SERVE_FLAGS, { stopEarly: true });
    const [first, ...rest] = head.positional;
    if (head.values.has("help")) return { kind: "print", text: mainHelp() };
    if (head.values.has("version")) return { kind: "print", text: `zlayer-overlayd ${version}\n` };
    if (first === undefined) return serveCommand(head.values);
    const found = commandOf(first, rest);
    command = found.command;
    return operatorCommand(command, head.values, found.args);
  } catch (error) {
    if (error instanceof UsageError) return { kind: "usage", text: usageError(error.message, command) };
    throw error;
  }
}

function flags(
  args: readonly string[],
  specs: readonly FlagSpec[],
  options: { stopEarly?: boolean } = {},
): { values: FlagValues; positional: readonly string[] } {
  const result = parseFlags(args, specs, options);
  if (!result.ok) throw new UsageError(result.message);
  return result;
}

function serveCommand(values: FlagValues): ServeCommand {
  return {
    kind: "serve",
    service: values.has("service"),
    cleanupOnExit: values.has("cleanup-on-exit"),
    removeAbandoned: values.has("remove-abandoned"),
    logFormat: choice(values, "log-format", ["text", "json"]) ?? "text",
    wireguard: choice(values, "wireguard", ["auto", "kernel", "userspace"]) ?? "auto",
    ...location(values),
  };
}

/** Finds the command by one word or two, and the arguments after its name. */
function commandOf(
  first: string,
  rest: readonly string[],
): { command: CommandSpec; args: readonly string[] } {
  const single = findCommand(first);
  if (single) return { command: single, args: rest };
  const double = findCommand(`${first} ${rest[0] ?? ""}`);
  if (double) return { command: double, args: rest.slice(1) };
  if (first === "service") {
    throw new UsageError("'service' needs 'add NAME', 'rm NAME', 'install' or 'uninstall'");
  }
  throw new UsageError(`unknown command '${first}'`);
}

function operatorCommand(command: CommandSpec, before: FlagValues, args: readonly string[]): CommandLine {
  const { values: after, positional } = flags(args, command.flags);
  if (after.has("help")) return { kind: "print", text: commandHelp(command) };
  const values = merge(before, after, command);
  if (positional.length > command.positional.length) {
    throw new UsageError(`unexpected argument '${positional[command.positional.length]}'`);
  }
  const missing = command.positional[positional.length];
  if (missing) throw new UsageError(`'${command.name}' needs ${missing}`);
  return build(command.name, values, positional[0] ?? "");
}

/** Flags before and after the command's name together; only places may stand before it. */
function merge(before: FlagValues, after: FlagValues, command: CommandSpec): FlagValues {
  for (const name of before.keys()) {
    if (!LOCATION_FLAGS.some((flag) => flag.name === name)) {
      throw new UsageError(`flag '--${name}' is not for '${command.name}'`);
    }
    if (after.has(name)) throw new UsageError(`flag '--${name}' was given more than once`);
  }
  return new Map([...before, ...after]);
}

function build(name: string, values: FlagValues, argument: string): OperatorCommand {
  const place = location(values);
  switch (name) {
    case "status":
      return { kind: name, json: values.has("json"), ...place };
    case "call":
      return { kind: name, request: argument, ...place };
    case "attach":
      return { kind: name, ...attachOptions(values), ...place };
    case "detach":
      return { kind: name, pid: pid(values), ...place };
    case "service add": {
      const mode = choice(values, "mode", ["auto", "shared", "dedicated"]) ?? "auto";
      return { kind: name, name: argument, mode, ...place };
    }
    case "service rm":
      return { kind: name, name: argument, ...place };
    case "service install":
      return { kind: name, start: !values.has("no-start"), ...place };
    case "service uninstall":
      return { kind: name, ...place };
    default:
      return {
        kind: "purge",
        dryRun: values.has("dry-run"),
        stopDaemon: values.has("stop-daemon"),
        ...deploymentOf(values),
        ...place,
      };
  }
}

/** The `--deployment` flag, as given. */
function deploymentOf(values: FlagValues): { readonly deployment?: string } {
  const deployment = text(values, "deployment");
  return deployment === undefined ? {} : { deployment };
}

function attachOptions(
  values: FlagValues,
): { pid: number; service: string; joinGlobal: boolean; dnsServer?: string; dnsDomain?: string } {
  const dnsServer = text(values, "dns-server");
  const dnsDomain = text(values, "dns-domain");
  const service = text(values, "service");
  const container = pid(values);
  if (service === undefined) throw new UsageError("'attach' needs --service NAME");
  return {
    pid: container,
    service,
    joinGlobal: values.has("join-global"),
    ...(dnsServer === undefined ? {} : { dnsServer }),
    ...(dnsDomain === undefined ? {} : { dnsDomain }),
  };
}

/** The `--pid` flag: 1 to 2^32-1, as the wire's u32. */
function pid(values: FlagValues): number {
  const value = text(values, "pid");
  if (value === undefined) throw new UsageError("flag '--pid' is required: --pid PID");
  const number = /^[0-9]{1,10}$/.test(value) ? Number(value) : 0;
  if (number < 1 || number > 0xffff_ffff) throw new UsageError(`--pid is not a process id: '${value}'`);
  return number;
}

function location(values: FlagValues): Location {
  const dataDir = text(values, "data-dir");
  const socket = text(values, "socket");
  return { ...(dataDir === undefined ? {} : { dataDir }), ...(socket === undefined ? {} : { socket }) };
}

function text(values: FlagValues, name: string): string | undefined {
  const value = values.get(name);
  return value === true ? undefined : value;
}

function choice<T extends string>(values: FlagValues, name: string, allowed: readonly T[]): T | undefined {
  const value = text(values, name);
  if (value === undefined) return undefined;
  const found = allowed.find((one) => one === value);
  if (found === undefined) {
    throw new UsageError(`--${name} must be one of ${allowed.join(", ")}: '${value}'`);
  }
  return found;
}
