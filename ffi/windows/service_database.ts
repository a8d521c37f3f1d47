/**
 * The Service Control Manager's database: services are created, started, stopped and deleted there.
 *
 * Each function gives a Win32 error code, 0 for success: what is an error depends on what was wanted.
 *
 * @see winsvc.h.
 */
import type { ServiceLibraries } from "./service_dispatcher.ts";
import { decodeServiceStatus, SERVICE_STATUS_BYTES, type ServiceStatus } from "./service_status.ts";
import { encodeWide } from "./wide_string.ts";
import { Win32Error } from "./win32_error.ts";

// winsvc.h, winnt.h
const SC_MANAGER_CONNECT = 1;
const SC_MANAGER_CREATE_SERVICE = 2;
const SERVICE_QUERY_STATUS = 4;
const SERVICE_START = 0x10;
const SERVICE_STOP = 0x20;
const DELETE = 0x1_0000;
const SERVICE_WIN32_OWN_PROCESS = 0x10;
const SERVICE_AUTO_START = 2;
const SERVICE_ERROR_NORMAL = 1;
const SERVICE_CONTROL_STOP = 1;

/** A service with a process of its own that starts with the system, as LocalSystem, and depends on none. */
export interface NewService {
  readonly name: string;
  readonly displayName: string;
  /** Program and arguments, quoted as `CommandLineToArgvW` reads them. */
  readonly commandLine: string;
}

/** A connection to the manager of this computer. */
export class ServiceDatabase implements Disposable {
  readonly #libraries: ServiceLibraries;
  readonly #manager: Deno.PointerObject;

  /** @throws {Win32Error} `ERROR_ACCESS_DENIED` for those who are not Administrators. */
  constructor(libraries: ServiceLibraries) {
    this.#libraries = libraries;
    const access = SC_MANAGER_CONNECT | SC_MANAGER_CREATE_SERVICE;
    const manager = libraries.advapi32.OpenSCManagerW(null, null, access);
    if (manager === null) {
      const code = libraries.kernel32.GetLastError();
      throw new Win32Error("connect to the Service Control Manager", "OpenSCManager", code);
    }
    this.#manager = manager;
  }

  /** Creates a service. */
  create(service: NewService): number {
    const { advapi32, kernel32 } = this.#libraries;
    const handle = advapi32.CreateServiceW(
      this.#manager,
      encodeWide(service.name),
      encodeWide(service.displayName),
      SERVICE_QUERY_STATUS,
      SERVICE_WIN32_OWN_PROCESS,
      SERVICE_AUTO_START,
      SERVICE_ERROR_NORMAL,
      encodeWide(service.commandLine),
      ...[null, null, null, null, null] as const,
    );
    if (handle === null) return kernel32.GetLastError();
    advapi32.CloseServiceHandle(handle);
    return 0;
  }

  /** Starts a service; waits until its process has called, 30 s at most. */
  start(name: string): number {
    return this.#with(
      name,
      SERVICE_START,
      (service, { advapi32 }) => advapi32.StartServiceW(service, 0, null),
    );
  }

  /** Sends the control to stop; does not wait. */
  stop(name: string): number {
    const status = new Uint8Array(SERVICE_STATUS_BYTES);
    return this.#with(name, SERVICE_STOP, (service, { advapi32 }) => {
      return advapi32.ControlService(service, SERVICE_CONTROL_STOP, status);
    });
  }

  /** Marks a service for deletion: it goes when it has stopped and nobody has a handle to it. */
  remove(name: string): number {
    return this.#with(name, DELETE, (service, { advapi32 }) => advapi32.DeleteService(service));
  }

  /** The last report of the service, when the code is 0. */
  query(name: string): ServiceStatus & { readonly code: number } {
    const status = new Uint8Array(SERVICE_STATUS_BYTES);
    const code = this.#with(name, SERVICE_QUERY_STATUS, (service, { advapi32 }) => {
      return advapi32.QueryServiceStatus(service, status);
    });
    return { ...decodeServiceStatus(status), code };
  }

  /** Closes the connection. */
  [Symbol.dispose](): void {
    this.#libraries.advapi32.CloseServiceHandle(this.#manager);
  }

  /** Opens a service, calls a function that gives a BOOL, closes the service again. */
  #with(
    name: string,
    access: number,
    call: (service: Deno.PointerObject, libraries: ServiceLibraries) => number,
  ): number {
    const { advapi32, kernel32 } = this.#libraries;
    const service = advapi32.OpenServiceW(this.#manager, encodeWide(name), access);
    if (service === null) return kernel32.GetLastError();
    const done = call(service, this.#libraries);
    const code = done === 0 ? kernel32.GetLastError() : 0;
    advapi32.CloseServiceHandle(service);
    return code;
  }
}
