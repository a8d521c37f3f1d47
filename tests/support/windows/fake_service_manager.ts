/** The database of the Service Control Manager in memory, with its rules about stopping and deletion. */
import type { ServiceDefinition } from "../../../core/windows_service/definition.ts";
import type { ServiceManager } from "../../../core/windows_service/install.ts";

const STOPPED = 1;
const STOP_PENDING = 3;
const RUNNING = 4;

interface FakeService {
  readonly definition: ServiceDefinition;
  state: number;
  /** Queries until a stop that is under way is done. */
  stopping: number;
  /** Calls of `create` until a deletion takes effect; absent while the service is not marked. */
  deleting?: number;
}

/** Results are Win32 error codes. */
export class FakeServiceManager implements ServiceManager {
  readonly calls: string[] = [];
  readonly services = new Map<string, FakeService>();
  /** How long stops and deletions take, in calls. */
  stopTakes = 0;
  deleteTakes = 0;
  /** Codes that calls give instead of doing anything, by name. */
  readonly refusals: Partial<Record<string, number>> = {};
  closed = false;

  create(definition: ServiceDefinition): number {
    return this.#call("create", () => {
      const there = this.services.get(definition.name);
      if (there?.deleting !== undefined && there.deleting-- <= 0) this.services.delete(definition.name);
      if (this.services.has(definition.name)) return there?.deleting === undefined ? 1073 : 1072;
      this.services.set(definition.name, { definition, state: STOPPED, stopping: 0 });
      return 0;
    });
  }

  start(name: string): number {
    return this.#on("start", name, (service) => {
      if (service.state === RUNNING) return 1056;
      service.state = RUNNING;
      return 0;
    });
  }

  stop(name: string): number {
    return this.#on("stop", name, (service) => {
      if (service.state === STOPPED) return 1062;
      if (service.state !== RUNNING) return 1061;
      service.state = STOP_PENDING;
      service.stopping = this.stopTakes;
      return 0;
    });
  }

  remove(name: string): number {
    return this.#on("remove", name, (service) => {
      if (service.deleting !== undefined) return 1072;
      service.deleting = this.deleteTakes;
      return 0;
    });
  }

  query(name: string): { code: number; state: number } {
    let state = 0;
    const code = this.#on("query", name, (service) => {
      if (service.state === STOP_PENDING && service.stopping-- <= 0) service.state = STOPPED;
      state = service.state;
      return 0;
    });
    return { code, state };
  }

  [Symbol.dispose](): void {
    this.closed = true;
  }

  #on(call: string, name: string, run: (service: FakeService) => number): number {
    return this.#call(call, () => {
      const service = this.services.get(name);
      return service === undefined ? 1060 : run(service);
    });
  }

  #call(name: string, run: () => number): number {
    this.calls.push(name);
    return this.refusals[name] ?? run();
  }
}
