/**
 * Keeps records and host in agreement for containers of Windows.
 *
 * Often: what broke off is finished or undone. Seldom: everything that is this deployment's is listed; what no
 * record tells of is taken over, what is gone is forgotten, an endpoint in no namespace goes when two sweeps have
 * seen it. None of this waits for anything, nor does anything wait for it: the service may hang.
 */

import type { ContainerNetworks, ContainerSurvey, FoundEndpoint } from "../backend/containers.ts";
import { describeError } from "../errors.ts";
import type { Containers } from "./containers.ts";
import type { EngineContext } from "./context.ts";

const SETTLE_INTERVAL_MS = 30_000;
const SWEEP_INTERVAL_MS = 600_000;

/** See the module. */
export class ContainerSweeper {
  readonly #context: EngineContext;
  readonly #containers: Containers;
  readonly #networks: ContainerNetworks;
  /** Endpoints in no namespace that the last sweep saw. */
  #orphans = new Set<string>();
  /** End of the queue of passes. */
  #passes: Promise<void> = Promise.resolve();
  #hasSwept = false;
  #cancelSettle = (): void => {};
  #cancelSweep = (): void => {};
  #stopped = false;

  constructor(context: EngineContext, parts: { containers: Containers; networks: ContainerNetworks }) {
    this.#context = context;
    this.#containers = parts.containers;
    this.#networks = parts.networks;
  }

  /** Begins to work; the first passes run at once, beside whatever comes. */
  start(): void {
    this.#networks.onRecovered(() => void this.settle());
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

  /** Ends the work; a pass that runs is not waited for, since the service may hang. */
  stop(): void {
    this.#stopped = true;
    this.#cancelSettle();
    this.#cancelSweep();
  }

  /** Finishes and undoes what broke off; resolves when that is done. */
  settle(): Promise<void> {
    return this.#enqueue(async () => {
      const { containerEndpoints } = this.#context.store;
      const open = [...containerEndpoints.values()].filter((record) => record.phase !== "ready");
      await Promise.all(open.map(({ endpoint }) => this.#containers.settle(endpoint)));
    });
  }

  /** Compares everything; resolves when that is done. */
  sweep(): Promise<void> {
    return this.#enqueue(async () => {
      const deployment = this.#context.store.settings.globalSettings?.deployment;
      if (deployment === undefined) return;
      const survey = await this.#networks.survey(deployment);
      await this.#checkRecords(survey);
      await this.#takeOver(survey);
      await this.#removeOrphans(survey);
    });
  }

  /** What the survey shows in its place need not be looked at again. */
  async #checkRecords({ namespaces, allEndpoints }: ContainerSurvey): Promise<void> {
    const { problems, store } = this.#context;
    for (const { endpoint, namespace, containerId } of [...store.containerEndpoints.values()]) {
      const isListed = allEndpoints.has(endpoint) && namespaces.has(namespace);
      if (isListed && !problems.has(`container:${containerId}`)) continue;
      await this.#containers.check(endpoint);
    }
  }

  async #takeOver({ endpoints }: ContainerSurvey): Promise<void> {
    for (const found of endpoints) {
      const { namespace, endpoint } = found;
      if (namespace === undefined || this.#context.store.containerEndpoints.has(endpoint)) continue;
      await this.#containers.adopt({ ...found, namespace });
    }
  }

  async #removeOrphans({ endpoints }: ContainerSurvey): Promise<void> {
    const isOrphan = ({ endpoint, namespace }: FoundEndpoint): boolean =>
      namespace === undefined && !this.#context.store.containerEndpoints.has(endpoint);
    const orphans = endpoints.filter(isOrphan);
    const before = this.#orphans;
    this.#orphans = new Set(orphans.map(({ endpoint }) => endpoint));
    for (const orphan of orphans) {
      if (before.has(orphan.endpoint)) await this.#containers.removeOrphan(orphan);
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
