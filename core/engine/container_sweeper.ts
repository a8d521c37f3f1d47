/**
 * Keeps records and host in agreement for containers of Windows.
 *
 * Often: what broke off is finished or undone, what was deleted from outside is made again. Seldom: everything that
 * is this deployment's is read; what no record tells of is taken over, what is gone is forgotten, an endpoint in no
 * namespace goes when two sweeps have seen it, and, where that is wanted, what was taken over and has no container.
 * None of this waits for anything, and but for a stop, which waits a little, nothing waits for it: the service may hang.
 */

import type {
  ContainerNetworks,
  ContainerPresence,
  ContainerSurvey,
  FoundEndpoint,
} from "../backend/containers.ts";
import { describeError } from "../errors.ts";
import { ContainerImports } from "./container_imports.ts";
import type { ContainerReleases } from "./container_releases.ts";
import type { Containers } from "./containers.ts";
import { containerHandle, CONTAINERS, type EngineContext } from "./context.ts";

const SETTLE_INTERVAL_MS = 30_000;
const SWEEP_INTERVAL_MS = 600_000;
/** A stop waits so long for a pass to end. */
const STOP_LIMIT_MS = 2_000;
/** What was taken over goes when sweeps have found no container in it for so long. */
const ABANDONED_MS = 600_000;

/** What a {@linkcode ContainerSweeper} works with. */
export interface SweeperParts {
  readonly containers: Containers;
  readonly releases: ContainerReleases;
  readonly networks: ContainerNetworks;
  /** Whether what was taken over and has no container is removed: HCN may not list one that is merely stopped. */
  readonly removeAbandoned?: boolean | undefined;
}

/** See the module. */
export class ContainerSweeper {
  readonly #context: EngineContext;
  readonly #containers: Containers;
  readonly #releases: ContainerReleases;
  readonly #networks: ContainerNetworks;
  readonly #imports: ContainerImports;
  readonly #removesAbandoned: boolean;
  /** Endpoints in no namespace that the last sweep saw. */
  #orphans = new Set<string>();
  /** Endpoints in a namespace without a container: since when, monotonic. */
  #abandoned = new Map<string, number>();
  /** End of the queue of passes. */
  #passes: Promise<void> = Promise.resolve();
  #hasSwept = false;
  #cancelSettle = (): void => {};
  #cancelSweep = (): void => {};
  #stopped = false;

  constructor(context: EngineContext, parts: SweeperParts) {
    this.#context = context;
    this.#containers = parts.containers;
    this.#releases = parts.releases;
    this.#networks = parts.networks;
    this.#imports = new ContainerImports(context, parts);
    this.#removesAbandoned = parts.removeAbandoned ?? false;
  }

  /** Begins to work; the first passes run at once, beside whatever comes. */
  start(): void {
    this.#networks.onRecovered(() => {
      this.#containers.serviceRecovered();
      void this.settle();
    });
    this.#scheduleSettle();
    this.#scheduleSweep();
    void this.settle();
    this.deploymentKnown();
  }

  /** To be called when a set-up has said which deployment this is: the first one is followed by a sweep. */
  deploymentKnown(): void {
    if (this.#hasSwept || this.#context.store.settings.globalSettings === undefined) return;
    this.#hasSwept = true;
    void this.sweep();
  }

  /** Ends the work, and waits for a pass that runs; not for long, since the service may hang. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelSettle();
    this.#cancelSweep();
    const { promise: isLate, resolve: giveUp } = Promise.withResolvers<void>();
    const cancel = this.#context.clock.after(STOP_LIMIT_MS, giveUp);
    await Promise.race([this.#passes, isLate]);
    cancel();
  }

  /** Finishes and undoes what broke off, makes again what is missing; resolves when that is done. */
  settle(): Promise<void> {
    return this.#enqueue(async () => {
      const { containerEndpoints } = this.#context.store;
      const open = [...containerEndpoints.values()].filter((record) => record.phase !== "ready");
      await Promise.all(open.map(({ endpoint }) => this.#releases.settle(endpoint)));
      await this.#mend();
    });
  }

  /** Nothing is asked of a service that answers nothing, nor where there is nothing to look for. */
  async #mend(): Promise<void> {
    const { store, problems } = this.#context;
    if (!this.#containers.isAnythingThere()) return void problems.delete(CONTAINERS);
    if (this.#networks.trouble !== undefined || !store.settings.globalSettings) return;
    const present = await this.#look();
    if (!present || this.#stopped) return;
    await this.#containers.ensureNetworks();
    await this.#checkRecords(present);
  }

  /** What there is; `undefined` if it cannot be told, which is told in the status, and once in the log. */
  async #look(): Promise<ContainerPresence | undefined> {
    const { problems, log } = this.#context;
    try {
      return await this.#networks.present();
    } catch (error) {
      const problem = `containers cannot be looked after: ${describeError(error)}`;
      if (problems.get(CONTAINERS) !== problem) log.warn("cannot look after the containers", { err: error });
      problems.set(CONTAINERS, problem);
      return undefined;
    }
  }

  /** Compares everything; resolves when that is done. */
  sweep(): Promise<void> {
    return this.#enqueue(async () => {
      const deployment = this.#context.store.settings.globalSettings?.deployment;
      if (deployment === undefined) return;
      const survey = await this.#networks.survey(deployment);
      await this.#checkRecords(survey, homesOf(survey));
      await this.#takeOver(survey);
      await this.#removeOrphans(survey);
      if (this.#removesAbandoned) await this.#removeAbandoned(survey);
    });
  }

  /** What is listed need not be looked at, unless there is trouble. @param homes Where endpoints were found. */
  async #checkRecords(
    { namespaces, allEndpoints }: ContainerPresence,
    homes: ReadonlyMap<string, string | undefined> = new Map(),
  ): Promise<void> {
    const { problems, store } = this.#context;
    for (const { endpoint, namespace, containerId } of [...store.containerEndpoints.values()]) {
      const isListed = allEndpoints.has(endpoint) && namespaces.has(namespace);
      const isHome = !homes.has(endpoint) || homes.get(endpoint) === namespace;
      if (this.#stopped) return;
      if (isListed && isHome && !problems.has(containerHandle(containerId))) continue;
      await this.#containers.check(endpoint);
    }
  }

  async #takeOver({ endpoints }: ContainerSurvey): Promise<void> {
    for (const found of endpoints) {
      const { namespace, endpoint } = found;
      if (this.#stopped) return;
      if (namespace === undefined || this.#context.store.containerEndpoints.has(endpoint)) continue;
      await this.#imports.adopt({ ...found, namespace });
    }
  }

  async #removeOrphans({ endpoints }: ContainerSurvey): Promise<void> {
    const isOrphan = ({ endpoint, namespace }: FoundEndpoint): boolean =>
      namespace === undefined && !this.#context.store.containerEndpoints.has(endpoint);
    const orphans = endpoints.filter(isOrphan);
    const before = this.#orphans;
    this.#orphans = new Set(orphans.map(({ endpoint }) => endpoint));
    for (const orphan of orphans) {
      if (this.#stopped) return;
      if (before.has(orphan.endpoint)) await this.#imports.removeOrphan(orphan);
    }
  }

  /** Sweeps one after the other have to agree; one that finds a container, or cannot tell, begins anew. */
  async #removeAbandoned({ emptyNamespaces }: ContainerSurvey): Promise<void> {
    const { store, clock } = this.#context;
    const nowMs = clock.monotonicMs();
    const before = this.#abandoned;
    this.#abandoned = new Map();
    for (const { endpoint, namespace, isImported, phase } of [...store.containerEndpoints.values()]) {
      if (this.#stopped) return;
      if (!isImported || phase !== "ready" || !emptyNamespaces.has(namespace)) continue;
      const sinceMs = before.get(endpoint) ?? nowMs;
      this.#abandoned.set(endpoint, sinceMs);
      if (nowMs - sinceMs >= ABANDONED_MS) await this.#imports.removeAbandoned(endpoint);
    }
  }

  #enqueue(pass: () => Promise<void>): Promise<void> {
    return this.#passes = this.#passes.then(async () => {
      if (this.#stopped) return;
      try {
        await pass();
      } catch (error) {
        if (!this.#stopped) {
          this.#context.log.warn("a pass over the containers failed", { err: describeError(error) });
        }
      }
    });
  }

  #scheduleSettle(): void {
    if (this.#stopped) return;
    const again = (): void => void this.settle().then(() => this.#scheduleSettle());
    this.#cancelSettle = this.#context.clock.after(SETTLE_INTERVAL_MS, again);
  }

  #scheduleSweep(): void {
    if (this.#stopped) return;
    const again = (): void => void this.sweep().then(() => this.#scheduleSweep());
    this.#cancelSweep = this.#context.clock.after(SWEEP_INTERVAL_MS, again);
  }
}

function homesOf({ endpoints }: ContainerSurvey): Map<string, string | undefined> {
  return new Map(endpoints.map(({ endpoint, namespace }) => [endpoint, namespace]));
}
