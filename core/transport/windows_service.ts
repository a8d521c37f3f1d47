/**
 * Runs the daemon as a Windows service, and reaches the manager's database.
 *
 * Source: spec/windows.md §5.
 */
import { advapi32 } from "../../ffi/windows/advapi32.ts";
import { kernel32 } from "../../ffi/windows/kernel32.ts";
import { ServiceDatabase } from "../../ffi/windows/service_database.ts";
import { ServiceDispatcher, type ServiceLibraries } from "../../ffi/windows/service_dispatcher.ts";
import { Win32Error } from "../../ffi/windows/win32_error.ts";
import { OverlayError, PermissionError, PreconditionError } from "../errors.ts";
import type { ServiceManager } from "../windows_service/install.ts";
import { ServiceLifecycle, type ServiceReport, TICK_MS } from "../windows_service/lifecycle.ts";
import type { Supervisor } from "../windows_service/supervisor.ts";

const ERROR_ACCESS_DENIED = 5;

/** The dispatcher takes this long at most to notice that the service has stopped. */
const DISCONNECT_MS = 2000;

/** Runs the daemon to its exit code. */
export type SupervisedRun = (supervisor: Supervisor) => Promise<number>;

/** How {@linkcode runAsService} goes about it; tests say. */
export interface RunAsServiceOptions {
  readonly libraries?: ServiceLibraries;
  readonly tickMs?: number;
}

/**
 * Connects to the Service Control Manager, runs the daemon once that starts the service, and reports its states.
 *
 * @returns What the run came to, after the manager has been told.
 * @throws {PreconditionError} If the process was not started by the manager.
 */
export async function runAsService(
  name: string,
  run: SupervisedRun,
  options: RunAsServiceOptions = {},
): Promise<number> {
  const { libraries = system(), tickMs = TICK_MS } = options;
  const service = new Service();
  const connected = new ServiceDispatcher(name, service, libraries).run();
  const refused = connected.then((served) => {
    if (!served) throw notStartedByManager();
  });
  await Promise.race([service.begun, refused]);
  const ticking = setInterval(() => service.lifecycle.tick(), tickMs);
  try {
    const exitCode = await run(service);
    service.stopped(exitCode);
    return exitCode;
  } finally {
    clearInterval(ticking);
    service.stopped(1); // Does nothing but after an error.
    await disconnected(refused);
  }
}

/**
 * Connects to the manager's database.
 *
 * @throws {PermissionError} If this user may not change services.
 */
export function openServiceManager(libraries: ServiceLibraries = system()): ServiceManager {
  try {
    return new ServiceDatabase(libraries);
  } catch (error) {
    if (error instanceof Win32Error && error.code === ERROR_ACCESS_DENIED) {
      throw new PermissionError("cannot change services: access is denied; run as Administrator", {
        cause: error,
      });
    }
    throw new OverlayError("unavailable", error instanceof Error ? error.message : String(error), {
      cause: error,
    });
  }
}

function system(): ServiceLibraries {
  return { kernel32: kernel32(), advapi32: advapi32() };
}

function notStartedByManager(): PreconditionError {
  return new PreconditionError(
    "with --service the process must be started by the Service Control Manager (SCM): use " +
      "'sc.exe start', or leave --service out to run in the foreground",
  );
}

/** Waits for the dispatcher to return, which ends the process's part in being a service. */
async function disconnected(connection: Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((resolve) => timer = setTimeout(resolve, DISCONNECT_MS));
  await Promise.race([connection.catch(() => {}), late]);
  clearTimeout(timer);
}

/** The manager's callbacks on one side, the daemon on the other. */
class Service implements Supervisor {
  readonly #begun = Promise.withResolvers<void>();
  readonly #stop = Promise.withResolvers<string>();
  #report: ((report: ServiceReport) => void) | undefined;

  readonly lifecycle: ServiceLifecycle = new ServiceLifecycle({
    report: (report) => this.#report?.(report),
    requestStop: (reason) => this.#stop.resolve(reason),
  });

  /** Resolves when the manager starts the service. */
  get begun(): Promise<void> {
    return this.#begun.promise;
  }

  get stopRequested(): Promise<string> {
    return this.#stop.promise;
  }

  started(report: (report: ServiceReport) => void): void {
    this.#report = report;
    this.lifecycle.starting();
    this.#begun.resolve();
  }

  control(code: number): number {
    return this.lifecycle.control(code);
  }

  running(): void {
    this.lifecycle.running();
  }

  stopping(): void {
    this.lifecycle.stopping();
  }

  stopped(exitCode: number): void {
    this.lifecycle.stopped(exitCode);
  }
}
