/**
 * The service as the zlayer installer registers it: the names are the caller's, so that either may install, start
 * or remove it. Pure.
 *
 * Source: spec/windows.md §5.
 */

/** Name in the manager's database. */
export const SERVICE_NAME = "ZLayerDaemon-Overlayd";

/** Name for people. */
export const SERVICE_DISPLAY_NAME = "ZLayer Daemon (overlayd)";

/** A service to create. */
export interface ServiceDefinition {
  readonly name: string;
  readonly displayName: string;
  readonly commandLine: string;
}

/**
 * The service of a data directory.
 *
 * @param program What to run: the executable, and what has to stand before its arguments, if anything.
 * @param place The endpoint is the default one when it is left out.
 */
export function serviceDefinition(
  program: readonly string[],
  place: { readonly dataDir: string; readonly socket?: string },
): ServiceDefinition {
  const socket = place.socket === undefined ? [] : ["--socket", place.socket];
  const argv = [...program, "--data-dir", place.dataDir, ...socket, "--service"];
  return {
    name: SERVICE_NAME,
    displayName: SERVICE_DISPLAY_NAME,
    commandLine: argv.map(quoteArgument).join(" "),
  };
}

/**
 * One argument as `CommandLineToArgvW` reads it back: in quotes where it has to be, with backslashes doubled where
 * a quote follows.
 */
export function quoteArgument(argument: string): string {
  if (/^[^\s"]+$/.test(argument)) return argument;
  return `"${
    argument.replaceAll(/(\\*)("|$)/g, (_, slashes: string, end: string) => {
      return slashes + slashes + (end === '"' ? '\\"' : "");
    })
  }"`;
}
