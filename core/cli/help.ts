/** Help texts, made from the tables of `commands.ts`. Pure. */
import { COMMANDS, type CommandSpec, SERVE_FLAGS } from "./commands.ts";
import type { FlagSpec } from "./flags.ts";

const PROGRAM = "zlayer-overlayd";

/** Text of `zlayer-overlayd --help`. */
export function mainHelp(): string {
  return [
    "The overlay-network daemon of a ZLayer node.",
    "",
    `Usage: ${PROGRAM} [FLAGS]             serve until stopped`,
    `       ${PROGRAM} COMMAND [FLAGS]     act on this node`,
    "",
    "Flags:",
    flagTable(SERVE_FLAGS),
    "",
    "Commands:",
    columns(COMMANDS.map((command) => [usageName(command), command.summary])),
    "",
    `'${PROGRAM} COMMAND --help' tells more about each.`,
    "",
    "Environment: ZLAYER_DATA_DIR, RUST_LOG (level, or comma list of target=level), NO_COLOR;",
    "  on Windows ZLAYER_HCN_UPLINK_ADAPTER (name of the adapter that containers are bridged to).",
    "Exit codes: 0 done, 1 failed, 2 usage, 3 daemon not running, 4 socket not permitted.",
    "",
  ].join("\n");
}

/** Text of `zlayer-overlayd COMMAND --help`. */
export function commandHelp(command: CommandSpec): string {
  const lines = [
    `${command.summary}.`,
    "",
    `Usage: ${PROGRAM} ${usageName(command)} [FLAGS]`,
    "",
    "Flags:",
    flagTable(command.flags),
    "",
  ];
  if (command.notes) lines.push(command.notes, "");
  return lines.join("\n");
}

/** The message for stderr when a command line was not understood. */
export function usageError(message: string, command?: CommandSpec): string {
  const help = command ? `${PROGRAM} ${command.name} --help` : `${PROGRAM} --help`;
  return `error: ${message}\nTry '${help}'.\n`;
}

function usageName(command: CommandSpec): string {
  return [command.name, ...command.positional].join(" ");
}

function flagTable(flags: readonly FlagSpec[]): string {
  return columns(flags.flatMap((flag) => flag.help ? [[spelling(flag), flag.help]] : []));
}

function spelling(flag: FlagSpec): string {
  const short = flag.short ? `-${flag.short}, ` : "    ";
  return `${short}--${flag.name}${flag.value ? ` ${flag.value}` : ""}`;
}

function columns(rows: readonly (readonly string[])[]): string {
  const width = Math.max(...rows.map(([left = ""]) => left.length));
  return rows.map(([left = "", right = ""]) => `  ${left.padEnd(width)}  ${right}`).join("\n");
}
