/** Why a command could not reach the daemon, in words that name the path, its owner and the remedy. */
import { dirname } from "@std/path";
import { EXIT_DENIED, EXIT_FAILURE, EXIT_NOT_RUNNING } from "../cli/exit_codes.ts";
import { describeError } from "../errors.ts";
import { serviceHint } from "./service_hint.ts";

/** What a failed connect comes to. */
export interface ConnectFailure {
  readonly exitCode: number;
  /** Lines for stderr. */
  readonly text: string;
}

/** What the names of pipes begin with, on Windows. */
const PIPES = "\\\\.\\pipe\\";

/** What was found at the socket's path. */
export interface SocketFacts {
  /** Absent: nothing there, or not to be seen. */
  readonly owner?: { readonly uid: number | null; readonly gid: number | null; readonly mode: number | null };
  /** A well-known endpoint other than `path` at which something is, for a hint. */
  readonly elsewhere?: string;
  /** Text of `/etc/passwd` and `/etc/group`, for names; empty when unreadable. */
  readonly passwd: string;
  readonly group: string;
}

/** Looks at the path. Never throws. */
export async function readSocketFacts(path: string, wellKnown: readonly string[]): Promise<SocketFacts> {
  // To look at a pipe is to connect to it, and there is nothing else to see.
  if (isPipe(path)) return { passwd: "", group: "" };
  const info = await Deno.stat(path).catch(() => undefined);
  const found = await Promise.all(
    wellKnown.map((other) => Deno.stat(other).then((other) => other.isSocket ?? false, () => false)),
  );
  const elsewhere = wellKnown.find((other, index) => other !== path && found[index]);
  return {
    ...(info ? { owner: { uid: info.uid, gid: info.gid, mode: info.mode } } : {}),
    ...(elsewhere === undefined ? {} : { elsewhere }),
    passwd: await Deno.readTextFile("/etc/passwd").catch(() => ""),
    group: await Deno.readTextFile("/etc/group").catch(() => ""),
  };
}

/** Explains a failed connect. Pure. */
export function explainConnectFailure(path: string, error: unknown, facts: SocketFacts): ConnectFailure {
  const hint = facts.elsewhere === undefined
    ? ""
    : `A daemon may be listening on ${facts.elsewhere}: try --socket ${facts.elsewhere}\n`;
  if (isCausedBy(error, Deno.errors.PermissionDenied)) {
    const text = isPipe(path) ? pipeDeniedText(path) : deniedText(path, facts);
    return { exitCode: EXIT_DENIED, text: text + hint };
  }
  const missing = isCausedBy(error, Deno.errors.NotFound);
  if (missing || isCausedBy(error, Deno.errors.ConnectionRefused)) {
    const text = isPipe(path) ? noPipeText(path) : noSocketText(path, missing);
    return { exitCode: EXIT_NOT_RUNNING, text: text + hint };
  }
  return { exitCode: EXIT_FAILURE, text: `error: cannot connect to ${path}: ${describeError(error)}\n` };
}

function isPipe(path: string): boolean {
  return path.toLowerCase().startsWith(PIPES);
}

function noSocketText(path: string, missing: boolean): string {
  const why = missing ? "there is no such socket" : "the socket is stale, nothing accepts on it";
  return `error: zlayer-overlayd is not running at ${path}: ${why}\n` +
    `Start it ('${serviceHint("start", "linux")}'), or name its socket with --socket or its --data-dir.\n`;
}

function noPipeText(path: string): string {
  return `error: zlayer-overlayd is not running at ${path}: there is no such pipe\n` +
    `Start it ('${serviceHint("start", "windows")}'), or name its pipe with --socket.\n`;
}

function pipeDeniedText(path: string): string {
  return `error: not permitted to connect to ${path}\n` + `Run the command as Administrator.\n`;
}

function deniedText(path: string, { owner, passwd, group }: SocketFacts): string {
  if (!owner) {
    return `error: not permitted to connect to ${path}: this user may not look into ${dirname(path)}\n` +
      `Run the command as root or as the owner of that directory.\n`;
  }
  const user = nameOf(passwd, owner.uid);
  const groupName = nameOf(group, owner.gid);
  const mode = ((owner.mode ?? 0) & 0o777).toString(8).padStart(4, "0");
  const join = owner.gid === 0 ? "" : `, or join the group '${groupName}' and log in again`;
  return `error: not permitted to connect to ${path}: ` +
    `it belongs to user '${user}', group '${groupName}', mode ${mode}\n` +
    `Run the command as '${user}' or root${join}.\n`;
}

/** The name of an id in the text of `/etc/passwd` or `/etc/group`; the number itself when it is not there. */
function nameOf(table: string, id: number | null): string {
  if (id === null) return "?";
  for (const line of table.split("\n")) {
    const [name, , number] = line.split(":");
    if (name && number === String(id)) return name;
  }
  return String(id);
}

/** The classes of Deno's errors that say why a connect failed. */
type ConnectErrorClass =
  | typeof Deno.errors.PermissionDenied
  | typeof Deno.errors.NotFound
  | typeof Deno.errors.ConnectionRefused;

/** Whether the error or one of its causes is of the class. */
function isCausedBy(error: unknown, kind: ConnectErrorClass): boolean {
  for (let current = error, depth = 0; depth < 8; depth++) {
    if (current instanceof kind) return true;
    if (!(current instanceof Error)) return false;
    current = (current as Error).cause;
  }
  return false;
}
