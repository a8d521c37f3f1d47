/**
 * Mends what was done to containers of Windows from outside: networks and endpoints that were deleted by hand, or that
 * the service has lost.
 *
 * An endpoint is made again as it was, in the namespace that its container runs in. A namespace cannot be: the
 * container was given it when it was made, so another one, even of this id, would be nobody's. Whatever fails is told
 * in the status and tried again, ever less often.
 */

import type { ContainerNetworks } from "../backend/containers.ts";
import { describeError, PreconditionError } from "../errors.ts";
import { parseIp } from "../ip/address.ts";
import { parsePrefix } from "../ip/prefix.ts";
import type { ContainerEndpointRecord, ServiceRecord } from "../state/records.ts";
import { DEFAULT_CLUSTER_CIDR } from "./address_book.ts";
import { type ContainerHome, ContainerHomes } from "./container_homes.ts";
import { containerHandle, CONTAINERS, type EngineContext } from "./context.ts";

/** A repair that failed is tried again after so long, twice as long each time, this long at most. */
const FIRST_PAUSE_MS = 30_000;
const LAST_PAUSE_MS = 600_000;
/** A repair takes no longer: nobody waits for it, unless he wants this very container. */
const REPAIR_LIMIT_MS = 120_000;

/** Failures of one thing in a row. */
interface Failures {
  readonly count: number;
  /** Monotonic. */
  readonly retryAtMs: number;
  /** In words. */
  readonly problem: string;
}

/** See the module. */
export class ContainerRepair {
  readonly #context: EngineContext;
  readonly #networks: ContainerNetworks;
  readonly #homes: ContainerHomes;
  /** By endpoint, and by name of network. */
  readonly #failures = new Map<string, Failures>();

  constructor(context: EngineContext, networks: ContainerNetworks) {
    this.#context = context;
    this.#networks = networks;
    this.#homes = new ContainerHomes(context);
  }

  /** The service works again after trouble of its own: no failure of before says anything. */
  reset(): void {
    this.#failures.clear();
  }

  /** Whether anything of ours should be in HCN: where nothing is, it need not even be there. */
  isNeeded(): boolean {
    return this.#context.store.containerEndpoints.size > 0 || this.#wantedHomes().length > 0;
  }

  /** Makes every network again that should be there and is not. What cannot be made is told in the status. */
  async ensureNetworks(): Promise<void> {
    const { problems, locks } = this.#context;
    const troubles: string[] = [];
    for (const home of this.#wantedHomes()) {
      const keys: Record<string, "read"> = home.service === undefined
        ? {}
        : { [`service:${home.service}`]: "read" };
      const trouble = await locks.run(keys, () => this.#ensureNetwork(home));
      if (trouble !== undefined) troubles.push(trouble);
    }
    if (troubles.length > 0) problems.set(CONTAINERS, troubles.join("; "));
    else problems.delete(CONTAINERS);
  }

  /** Networks of dedicated services, and the base network if anyone is on it: else the next attach makes it. */
  #wantedHomes(): ContainerHome[] {
    const { services, containerEndpoints, settings } = this.#context.store;
    const homes: ContainerHome[] = [...services.values()].filter(isReadyDedicated)
      .map(({ name, subnet }) => ({ service: name, subnet: parsePrefix(subnet)! }));
    const slice = settings.globalSettings?.sliceCidr;
    const isBaseUsed = [...containerEndpoints.values()].some(({ network }) => network === undefined);
    return slice !== undefined && isBaseUsed ? [...homes, { subnet: parsePrefix(slice)! }] : homes;
  }

  /** @returns What is wrong, if it is not there in the end. */
  async #ensureNetwork(home: ContainerHome): Promise<string | undefined> {
    const { store } = this.#context;
    const service = home.service === undefined ? undefined : store.services.get(home.service);
    // It may have gone while the lock was waited for.
    if (home.service !== undefined && !(service && isReadyDedicated(service))) return undefined;
    const spec = this.#homes.networkSpec(home);
    const name = this.#networks.networkName(spec);
    return await this.#try(name, `HCN network ${name}`, () => this.#networks.ensureNetwork(spec));
  }

  /**
   * Looks whether a ready attachment is whole, and mends it if need be. The caller holds the locks of its container
   * and its service.
   *
   * @returns `gone` if nothing of it is left.
   */
  async check(record: ContainerEndpointRecord): Promise<"kept" | "gone"> {
    const { problems } = this.#context;
    const { endpoint, namespace } = record;
    const handle = containerHandle(record.containerId);
    const state = await this.#networks.inspect({ namespace, endpoints: [endpoint] });
    if (state === "gone") return "gone";
    const problem = state === "whole"
      ? this.#forget(endpoint)
      : await this.#try(endpoint, "its HCN endpoint", () => this.#repair(record));
    if (problem === undefined) problems.delete(handle);
    else problems.set(handle, problem);
    return "kept";
  }

  /** Makes an endpoint again. @throws {PreconditionError} If that cannot help its container. */
  async #repair(record: ContainerEndpointRecord): Promise<void> {
    const { store, clock, log } = this.#context;
    const { containerId, endpoint, namespace, mac } = record;
    const handle = containerHandle(containerId);
    const home = await this.#homes.homeOf(record);
    const address = parseIp(record.ip);
    if (!address) {
      throw new PreconditionError(`its address is not known: detach ${containerId} and attach it again`);
    }
    log.warn("an attached container is damaged in HCN", { handle, endpoint, namespace });
    const outcome = await this.#networks.repair({
      network: this.#homes.networkSpec(home),
      containerId,
      endpoint,
      namespace,
      address: { address, length: home.subnet.length },
      clusterCidr: parsePrefix(store.settings.globalSettings?.clusterCidr ?? DEFAULT_CLUSTER_CIDR)!,
      dns: record.dns ?? store.settings.dnsDefaults ?? {},
      ...(mac === undefined ? {} : { mac }),
      giveUpAtMs: clock.monotonicMs() + REPAIR_LIMIT_MS,
    });
    if (outcome === "whole") {
      return log.info("the endpoint of a container was made again", { handle, endpoint });
    }
    throw new PreconditionError(
      `its namespace ${namespace} is gone too, and a container that runs cannot be given another one: stop it, ` +
        "attach it again and start it with what that answers",
    );
  }

  /**
   * Tries something unless it failed a moment ago.
   *
   * @returns What is wrong, if it failed now or then.
   */
  async #try(key: string, what: string, work: () => Promise<void>): Promise<string | undefined> {
    const { clock, log } = this.#context;
    const before = this.#failures.get(key);
    if (before && clock.monotonicMs() < before.retryAtMs) return before.problem;
    try {
      await work();
      return this.#forget(key);
    } catch (error) {
      const count = (before?.count ?? 0) + 1;
      const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** (count - 1), LAST_PAUSE_MS);
      const problem = `${what} was removed from outside and cannot be made again: ${describeError(error)}`;
      this.#failures.set(key, { count, retryAtMs: clock.monotonicMs() + pauseMs, problem });
      log.warn("cannot make again what was removed from HCN", { object: key, pauseMs, err: error });
      return problem;
    }
  }

  #forget(key: string): undefined {
    this.#failures.delete(key);
  }
}

function isReadyDedicated({ dedicated, phase }: ServiceRecord): boolean {
  return dedicated !== undefined && phase === "ready";
}
