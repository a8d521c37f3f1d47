/** The commands of the executable: their flags, arguments and help, in one table. Pure. */
import type { FlagSpec } from "./flags.ts";

const DATA_DIR: FlagSpec = {
  name: "data-dir",
  value: "PATH",
  help: "Root of all state [default: $ZLAYER_DATA_DIR, else by platform]",
};
const SOCKET: FlagSpec = {
  name: "socket",
  value: "PATH",
  help: "IPC endpoint [default: computed from the data directory]",
};
const HELP: FlagSpec = { name: "help", short: "h", help: "Print help" };
const VERSION: FlagSpec = { name: "version", short: "V", help: "Print the version" };

/** Flags that may also stand before a command's name. */
export const LOCATION_FLAGS: readonly FlagSpec[] = [DATA_DIR, SOCKET];

/** Flags when no command is given: the daemon. */
export const SERVE_FLAGS: readonly FlagSpec[] = [
  DATA_DIR,
  SOCKET,
  { name: "cleanup-on-exit", help: "Remove the data plane when the daemon ends, instead of leaving it up" },
  {
    name: "remove-abandoned",
    help: "Windows: remove what an earlier daemon attached when no container is in it for 10 minutes",
  },
  { name: "log-format", value: "text|json", help: "Form of the log records on stdout [default: text]" },
  {
    name: "wireguard",
    value: "auto|kernel|userspace",
    help: "Which WireGuard to use; auto takes the kernel's where there is one [default: auto]",
  },
  { name: "service" },
  HELP,
  VERSION,
];

/** A command's place in the table. */
export interface CommandSpec {
  /** Words of its name: `status`, `service add`. */
  readonly name: string;
  /** Positional arguments as shown in the usage line. */
  readonly positional: readonly string[];
  readonly flags: readonly FlagSpec[];
  /** One line. */
  readonly summary: string;
  /** Paragraphs below the flags. */
  readonly notes?: string;
}

/** Every command but serving, in the order of the help text. */
export const COMMANDS: readonly CommandSpec[] = [
  {
    name: "status",
    positional: [],
    flags: [{ name: "json", help: "Print JSON in the schema of docs/status.md" }, DATA_DIR, SOCKET, HELP],
    summary: "Show what the daemon has: interface, services, attachments, peers, what is pending",
  },
  {
    name: "call",
    positional: ["REQUEST"],
    flags: [DATA_DIR, SOCKET, HELP],
    summary: "Send one request as JSON and print the response",
    notes: `REQUEST is the body of a request frame, e.g. '{"op":"status"}'.\n` +
      `Exits 1 when the response is an err.`,
  },
  {
    name: "attach",
    positional: [],
    flags: [
      { name: "pid", value: "PID", help: "A process in the container's network namespace (required)" },
      { name: "service", value: "NAME", help: "The service it joins (required)" },
      { name: "join-global", help: "Connect it to the global overlay too, as eth1" },
      { name: "dns-server", value: "IP", help: "Resolver handed to the container" },
      { name: "dns-domain", value: "DOMAIN", help: "Search domain handed to the container" },
      DATA_DIR,
      SOCKET,
      HELP,
    ],
    summary: "Attach a container by pid and print its address",
  },
  {
    name: "detach",
    positional: [],
    flags: [
      { name: "pid", value: "PID", help: "The pid it was attached by (required)" },
      DATA_DIR,
      SOCKET,
      HELP,
    ],
    summary: "Detach a container",
  },
  {
    name: "service add",
    positional: ["NAME"],
    flags: [
      { name: "mode", value: "auto|shared|dedicated", help: "How it is carried [default: auto]" },
      DATA_DIR,
      SOCKET,
      HELP,
    ],
    summary: "Set up a service's overlay and print its interface",
  },
  {
    name: "service rm",
    positional: ["NAME"],
    flags: [DATA_DIR, SOCKET, HELP],
    summary: "Tear down a service's overlay",
  },
  {
    name: "service install",
    positional: [],
    flags: [{ name: "no-start", help: "Leave it stopped" }, DATA_DIR, SOCKET, HELP],
    summary: "On Windows: install the daemon as a service, replacing one of its name, and start it",
  },
  {
    name: "service uninstall",
    positional: [],
    flags: [HELP],
    summary: "On Windows: stop and remove the daemon's service",
  },
  {
    name: "purge",
    positional: [],
    flags: [
      { name: "dry-run", help: "Print what would be removed and change nothing" },
      { name: "stop-daemon", help: "Ask a running daemon to shut down first" },
      {
        name: "deployment",
        value: "NAME",
        help: "Windows: whose HCN networks, if the data directory is lost",
      },
      DATA_DIR,
      SOCKET,
      HELP,
    ],
    summary: "Remove everything this installation made on the host, and its state; needs no daemon",
    notes: "Refuses while a daemon runs on the data directory, unless --stop-daemon is given.\n" +
      "Files of the zlayer daemon in the data directory are left alone. May be repeated.",
  },
];

/** The command of that name, if there is one. */
export function findCommand(name: string): CommandSpec | undefined {
  return COMMANDS.find((command) => command.name === name);
}
