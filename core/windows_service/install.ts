/**
 * Installing and removing the service. The manager's answers come in as Win32 error codes.
 *
 * Source: spec/windows.md §5.
 */
import { OverlayError, PermissionError } from "../errors.ts";
import type { ServiceDefinition } from "./definition.ts";

// winerror.h
const ERROR_ACCESS_DENIED = 5;
const ERROR_SERVICE_ALREADY_RUNNING = 1056;
const ERROR_SERVICE_DOES_NOT_EXIST = 1060;
const ERROR_SERVICE_CANNOT_ACCEPT_CTRL = 1061;
const ERROR_SERVICE_NOT_ACTIVE = 1062;
const ERROR_SERVICE_MARKED_FOR_DELETE = 1072;
const ERROR_SERVICE_EXISTS = 1073;

// winsvc.h
const SERVICE_STOPPED = 1;

const CODE_TEXTS: Readonly<Record<number, string>> = {
  [ERROR_ACCESS_DENIED]: "access is denied; run as Administrator",
  1053: "the process did not call back in time; its log or the event log may say why",
  1058: "the service is disabled",
  [ERROR_SERVICE_MARKED_FOR_DELETE]:
    "it is marked for deletion and still in use; close programs that show services, then try again",
};

/** How long a stop may take, and a deletion to take effect, in milliseconds. */
const STOP_WAIT_MS = 20_000;
const DELETE_WAIT_MS = 10_000;
const POLL_MS = 200;

/** A connection to the Service Control Manager. Results are Win32 error codes, 0 for success. */
export interface ServiceManager extends Disposable {
  create(definition: ServiceDefinition): number;
  start(name: string): number;
  stop(name: string): number;
  remove(name: string): number;
  query(name: string): { readonly code: number; readonly state: number };
}

/** Waits; tests do not. */
export type Pause = (milliseconds: number) => Promise<void>;

/** What became of {@linkcode installService}. */
export interface Installed {
  /** Whether one of that name was there before. */
  readonly replaced: boolean;
  /** Whether it has been started. */
  readonly started: boolean;
}

/**
 * Creates the service; one of that name is stopped and deleted first.
 *
 * @param options.start Start it too.
 * @throws {OverlayError} What the manager refused, and with which code.
 */
export async function installService(
  manager: ServiceManager,
  definition: ServiceDefinition,
  options: { readonly start: boolean; readonly pause: Pause },
): Promise<Installed> {
  const { name } = definition;
  let code = manager.create(definition);
  const replaced = code === ERROR_SERVICE_EXISTS;
  if (replaced) await uninstallService(manager, name, options.pause);
  for (let waited = 0; isGoing(code) && waited <= DELETE_WAIT_MS; waited += POLL_MS) {
    code = manager.create(definition);
    if (isGoing(code)) await options.pause(POLL_MS);
  }
  if (code !== 0) throw refused("create", name, code);
  if (!options.start) return { replaced, started: false };
  code = manager.start(name);
  if (code !== 0 && code !== ERROR_SERVICE_ALREADY_RUNNING) throw refused("start", name, code);
  return { replaced, started: true };
}

/**
 * Stops and deletes the service.
 *
 * @returns Whether there was one.
 * @throws {OverlayError} What the manager refused, or that the service does not stop.
 */
export async function uninstallService(
  manager: ServiceManager,
  name: string,
  pause: Pause,
): Promise<boolean> {
  for (let waited = 0;; waited += POLL_MS) {
    const { code, state } = manager.query(name);
    if (code === ERROR_SERVICE_DOES_NOT_EXIST) return false;
    if (code !== 0) throw refused("query", name, code);
    if (state === SERVICE_STOPPED) break;
    if (waited > STOP_WAIT_MS) {
      throw new OverlayError(
        "unavailable",
        `service ${name} has not stopped within ${STOP_WAIT_MS / 1000} s`,
      );
    }
    stop(manager, name);
    await pause(POLL_MS);
  }
  const code = manager.remove(name);
  if (code !== 0 && code !== ERROR_SERVICE_MARKED_FOR_DELETE && code !== ERROR_SERVICE_DOES_NOT_EXIST) {
    throw refused("delete", name, code);
  }
  return true;
}

/** Sends the control. A service that is starting or stopping takes none, and is asked again later. */
function stop(manager: ServiceManager, name: string): void {
  const code = manager.stop(name);
  const later = [ERROR_SERVICE_CANNOT_ACCEPT_CTRL, ERROR_SERVICE_NOT_ACTIVE, ERROR_SERVICE_DOES_NOT_EXIST];
  if (code !== 0 && !later.includes(code)) throw refused("stop", name, code);
}

/** Whether a service that was deleted is still in the way. */
function isGoing(code: number): boolean {
  return code === ERROR_SERVICE_EXISTS || code === ERROR_SERVICE_MARKED_FOR_DELETE;
}

function refused(what: string, name: string, code: number): OverlayError {
  const text = `cannot ${what} service ${name}: error ${code}${
    CODE_TEXTS[code] ? `, ${CODE_TEXTS[code]}` : ""
  }`;
  return code === ERROR_ACCESS_DENIED ? new PermissionError(text) : new OverlayError("unavailable", text);
}
