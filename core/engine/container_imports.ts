/**
 * Containers of Windows that an earlier daemon attached and no record tells of: taken over, or removed where nobody
 * can need them any more.
 */

import type { ContainerNetworks, FoundEndpoint } from "../backend/containers.ts";
import type { ContainerEndpointRecord } from "../state/records.ts";
import { ContainerHomes, EXTERNAL_POOL } from "./container_homes.ts";
import type { ContainerReleases } from "./container_releases.ts";
import { containerHandle, type EngineContext } from "./context.ts";

/** See the module. */
export class ContainerImports {
  readonly #context: EngineContext;
  readonly #networks: ContainerNetworks;
  readonly #releases: ContainerReleases;
  readonly #homes: ContainerHomes;

  constructor(context: EngineContext, parts: { networks: ContainerNetworks; releases: ContainerReleases }) {
    this.#context = context;
    this.#networks = parts.networks;
    this.#releases = parts.releases;
    this.#homes = new ContainerHomes(context);
  }

  /** Takes over an endpoint of ours that no record tells of, so that its address is not handed out again. */
  async adopt(found: FoundEndpoint & { readonly namespace: string }): Promise<void> {
    const { store, locks, log } = this.#context;
    const { endpoint, namespace, containerId, service, ip, mac } = found;
    const handle = containerHandle(containerId);
    if (!locks.isFree({ [handle]: "write" })) return;
    await locks.run({ [handle]: "write" }, async () => {
      // Without it there is nothing to take over, whatever its namespace keeps of it.
      const place = { endpoints: [endpoint] };
      if (store.containerEndpoints.has(endpoint) || await this.#networks.inspect(place) === "gone") return;
      const lease = this.#homes.leaseOf(handle, { service, ip });
      const record: ContainerEndpointRecord = {
        endpoint,
        namespace,
        containerId,
        service: service ?? "",
        ...(service === undefined ? {} : { network: service }),
        ip: ip ?? "",
        pool: lease?.pool ?? EXTERNAL_POOL,
        ...(mac === undefined ? {} : { mac }),
        isImported: true,
        phase: "ready",
      };
      await store.commit("import container", (write) => {
        write.putContainerEndpoint(record);
        if (lease) write.putLease(lease);
      });
      log.warn("took over a container that no record tells of", { handle, namespace, ip });
    });
  }

  /** Deletes an endpoint of ours that is in no namespace and that no record tells of. */
  async removeOrphan({ endpoint, containerId }: FoundEndpoint): Promise<void> {
    const { store, locks, log } = this.#context;
    await locks.run({ [containerHandle(containerId)]: "write" }, async () => {
      if (store.containerEndpoints.has(endpoint)) return;
      log.warn("removing an endpoint of ours that belongs to nothing", { endpoint, container: containerId });
      await this.#networks.detach({ endpoints: [endpoint] });
    });
  }

  /** Detaches what was taken over and has no container in it, unless something of others is there too. */
  async removeAbandoned(endpoint: string): Promise<void> {
    const deployment = this.#context.store.settings.globalSettings?.deployment ?? "";
    await this.#releases.lockedIfFree(endpoint, async (record) => {
      const { isImported, namespace, phase, containerId } = record;
      if (!isImported || phase !== "ready") return;
      if (!await this.#networks.claim(deployment, namespace)) return;
      this.#context.log.warn("removing what an earlier daemon attached and no container is in", {
        handle: containerHandle(containerId),
        namespace,
      });
      await this.#releases.tryRelease(record);
    });
  }
}
