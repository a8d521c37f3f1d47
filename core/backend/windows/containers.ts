/** {@linkcode ContainerNetworks} on the Host Compute Network service. */

import type { ComputeNetworkPaths } from "../../../ffi/computenetwork.ts";
import { type Guid, parseGuid } from "../../../ffi/windows/guid.ts";
import type { Clock } from "../../clock.ts";
import { describeError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import { isHcnEntry } from "../../marker.ts";
import type { MarkerFile } from "../../marker_file.ts";
import type {
  ContainerConnection,
  ContainerEndpointSpec,
  ContainerNetworks,
  ContainerNetworkSpec,
  ContainerPlace,
  ContainerPresence,
  ContainerRepairSpec,
  ContainerSurvey,
  RemovedNetwork,
} from "../containers.ts";
import { CallGuard } from "./call_guard.ts";
import { type HcnChannel, NoServiceError, WorkerChannel } from "./channel.ts";
import { HcnEndpoints } from "./endpoints.ts";
import type { AddressSharing } from "./node_devices.ts";
import { Hns, toOverlayError } from "./hns.ts";
import { deploymentOf, type NetworkKey, networkName, readEndpointName, readNetworkName } from "./names.ts";
import { NetworkLookup } from "./network_lookup.ts";
import { NetworkMarks } from "./network_marks.ts";
import { HcnNetworks } from "./networks.ts";
import { readEndpoint } from "./readings.ts";
import { findOwnerless, readHomes, surveyContainers } from "./survey.ts";

/** What containers are connected with. */
export interface HcnContainersOptions {
  /** Opens a way to the service; called again when one has calls that hang. */
  readonly openChannel: () => HcnChannel;
  readonly marker: MarkerFile;
  readonly clock: Clock;
  readonly log: Log;
  /** Friendly name of the adapter that the base network is bridged to; blank or absent: an internal network. */
  readonly uplinkAdapter?: string | undefined;
  /** The node's devices, where it has any: they share an address with the host's adapter on the base network. */
  readonly devices?: AddressSharing;
  /** Makes ids; random ones unless given. */
  readonly newId?: () => Guid;
}

/** The options of a node: calls go through a worker. */
export function workerChannels(paths: ComputeNetworkPaths): () => HcnChannel {
  return () => new WorkerChannel(paths);
}

/** See the module. Nothing is opened before the first call. */
export class HcnContainers implements ContainerNetworks {
  readonly newId: () => Guid;
  readonly #options: HcnContainersOptions;
  readonly #guard: CallGuard;
  readonly #hns: Hns;
  readonly #lookup: NetworkLookup;
  readonly #networks: HcnNetworks;
  readonly #endpoints: HcnEndpoints;

  constructor(options: HcnContainersOptions) {
    const { clock, log, marker, uplinkAdapter, devices } = options;
    this.#options = options;
    this.newId = options.newId ?? ((): Guid => crypto.randomUUID());
    this.#guard = new CallGuard({ open: options.openChannel, clock, log });
    this.#hns = new Hns({ caller: this.#guard, clock, log });
    const hns = this.#hns;
    const lookup = this.#lookup = new NetworkLookup({ hns, log });
    const marks = new NetworkMarks(marker);
    const { newId } = this;
    this.#networks = new HcnNetworks({ hns, lookup, marks, clock, log, newId, uplinkAdapter, devices });
    this.#endpoints = new HcnEndpoints({ hns, networks: this.#networks, clock, log });
  }

  get trouble(): string | undefined {
    return this.#guard.trouble;
  }

  get absence(): string | undefined {
    return this.#guard.absence;
  }

  onRecovered(listener: () => void): void {
    this.#guard.onRecovered(listener);
  }

  parseId(text: string): Guid | undefined {
    return parseGuid(text);
  }

  networkName(network: NetworkKey): string {
    return networkName(network);
  }

  async ensureNetwork(network: ContainerNetworkSpec): Promise<void> {
    await translated(() => this.#networks.confirm(network));
  }

  removeNetwork(network: RemovedNetwork): Promise<void> {
    const clear = (id: Guid): Promise<void> => this.#clear(network.deployment, id);
    return unlessMissing(() => translated(() => this.#networks.removeService(network, clear)));
  }

  attach(spec: ContainerEndpointSpec): Promise<ContainerConnection> {
    return this.#endpoints.attach(spec);
  }

  repair(spec: ContainerRepairSpec): Promise<"whole" | "lost"> {
    return translated(() => this.#endpoints.repair(spec));
  }

  inspect(place: ContainerPlace): Promise<"whole" | "gone" | "broken"> {
    return translated(() => this.#endpoints.inspect(place));
  }

  async detach(place: ContainerPlace): Promise<void> {
    try {
      await this.#endpoints.detach(place);
    } catch (error) {
      if (!(error instanceof NoServiceError)) throw error;
      this.#options.log.warn("there is no HNS any more, and what it had of a container counts as gone", {
        ...place,
        err: describeError(error),
      });
    }
  }

  claim(deployment: string, namespace: Guid): Promise<readonly Guid[] | undefined> {
    return translated(() => this.#endpoints.claim(deployment, namespace));
  }

  present(): Promise<ContainerPresence> {
    const hns = this.#hns;
    return translated(async () => {
      this.#networks.keepOnly(new Set(await hns.enumerate("Network")));
      const allEndpoints = new Set(await hns.enumerate("Endpoint"));
      return { allEndpoints, namespaces: new Set(await hns.enumerate("Namespace")) };
    });
  }

  survey(deployment: string): Promise<ContainerSurvey> {
    const parts = { hns: this.#hns, lookup: this.#lookup, log: this.#options.log };
    return translated(() => surveyContainers(parts, deployment));
  }

  async purge(deployment: string, places: readonly ContainerPlace[] = []): Promise<string[]> {
    const failures: string[] = [];
    const attempt = async (what: string, step: () => Promise<unknown>): Promise<void> => {
      try {
        await step();
      } catch (error) {
        failures.push(`${what}: ${describeError(toOverlayError(error))}`);
      }
    };
    for (const place of places) {
      await attempt("cannot remove a container", () => unlessMissing(() => this.#endpoints.detach(place)));
    }
    const { marker } = this.#options;
    const doomed = new Map<Guid, string>();
    for (const entry of (await marker.load()).networks.filter(isHcnEntry)) {
      const id = parseGuid(entry.id);
      if (id) doomed.set(id, entry.name);
      else failures.push(`network ${entry.name} of the marker has no GUID: ${entry.id.slice(0, 48)}`);
    }
    await attempt("cannot list HCN networks", () =>
      unlessMissing(async () => {
        for (const { id, name } of await this.#lookup.all()) {
          if (readNetworkName(deployment, name)) doomed.set(id, name);
        }
      }));
    for (const [id, name] of doomed) {
      await attempt(`cannot remove HCN network ${name}`, () =>
        unlessMissing(async () => {
          // The marker may know one of an earlier deployment, and its containers are named after that.
          const clear = (network: Guid): Promise<void> =>
            this.#clear(deploymentOf(name) ?? deployment, network);
          await clear(id);
          await this.#networks.remove(id, clear);
        }));
    }
    return failures;
  }

  async ownerless(): Promise<readonly Guid[]> {
    const parts = { hns: this.#hns, log: this.#options.log };
    let found: readonly Guid[] = [];
    await unlessMissing(() => translated(async () => void (found = await findOwnerless(parts))));
    return found;
  }

  close(): void {
    this.#guard.close();
  }

  /** Removes the endpoints of a network that are this deployment's, and their namespaces. */
  async #clear(deployment: string, network: Guid): Promise<void> {
    const hns = this.#hns;
    const endpoints = await this.#lookup.endpointsOn(network);
    if (endpoints.length === 0) return;
    const { homes } = await readHomes({ hns, log: this.#options.log }, await hns.enumerate("Namespace"));
    for (const id of endpoints) {
      const text = await hns.read("Endpoint", id);
      const reading = text === undefined ? undefined : readEndpoint(text);
      if (!reading || readEndpointName(deployment, reading.name) === undefined) continue;
      const namespace = homes.get(id) ?? reading.namespace;
      await this.#endpoints.detach({ ...(namespace ? { namespace } : {}), endpoints: [id] });
    }
  }
}

/** Removal: where there is no HNS, or none any more, there is nothing. */
async function unlessMissing(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof NoServiceError)) throw error;
  }
}

async function translated<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw toOverlayError(error);
  }
}
