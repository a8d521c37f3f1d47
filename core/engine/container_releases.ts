/**
 * How the attachments of containers of Windows end: asked for, broken off, or with everything else.
 *
 * The caller names a container by its id when it attaches, and by the GUID of its namespace when it detaches. What is
 * to go is recorded first, so that it goes in the end whatever happens meanwhile.
 */

import type { ContainerNetworks } from "../backend/containers.ts";
import { describeError } from "../errors.ts";
import type { ContainerEndpointRecord } from "../state/records.ts";
import { EXTERNAL_POOL } from "./container_homes.ts";
import { containerHandle, type EngineContext } from "./context.ts";

/** See the module. */
export class ContainerReleases {
  readonly #context: EngineContext;
  readonly #networks: ContainerNetworks;
  /** Releases under way, by endpoint. */
  readonly #releases = new Map<string, Promise<void>>();

  constructor(context: EngineContext, networks: ContainerNetworks) {
    this.#context = context;
    this.#networks = networks;
  }

  /** Takes a container's network away. Unknown is success, and so is what has to be finished later. */
  async detach(text: string): Promise<void> {
    const { locks, log } = this.#context;
    const id = this.#networks.parseId(text);
    this.#context.lost.forget(text, id);
    const isMeant = (record: ContainerEndpointRecord): boolean =>
      record.namespace === id || record.containerId === text;
    const records = this.#recordsOf(isMeant);
    for (const { containerId } of records) {
      await locks.run({ [containerHandle(containerId)]: "write" }, async () => {
        for (const record of this.#recordsOf((one) => one.containerId === containerId && isMeant(one))) {
          await this.tryRelease(record);
        }
      });
    }
    if (records.length > 0) return;
    if (id === undefined) return log.info("unknown container to detach", { container_id: text });
    await locks.run({ [`namespace:${id}`]: "write" }, () => this.#detachUnknown(id));
  }

  /** What an earlier daemon attached and nobody has a record of goes if all of it is this deployment's. */
  async #detachUnknown(namespace: string): Promise<void> {
    const { log } = this.#context;
    try {
      const endpoints = await this.#networks.claim(this.#deployment, namespace);
      if (!endpoints) return log.info("unknown container to detach", { namespace });
      await this.#networks.detach({ namespace, endpoints });
      log.info("container without a record detached", { namespace, endpoints: endpoints.length });
    } catch (err) {
      log.error("cannot detach a container without a record", { namespace, err });
    }
  }

  /** What is once recorded as to be removed will be, so a failure to do it now is told to operators alone. */
  async tryRelease(record: ContainerEndpointRecord): Promise<void> {
    const { problems, log } = this.#context;
    const handle = containerHandle(record.containerId);
    await this.intend(record);
    try {
      await this.release(record);
    } catch (err) {
      problems.set(handle, describeError(err));
      log.error("cannot detach a container yet", { handle, err });
    }
  }

  /** Ends an attachment, whatever its phase; who comes second joins the first. */
  release(record: ContainerEndpointRecord): Promise<void> {
    const { endpoint } = record;
    let release = this.#releases.get(endpoint);
    if (!release) {
      release = this.#release(record).finally(() => this.#releases.delete(endpoint));
      this.#releases.set(endpoint, release);
    }
    return release;
  }

  async #release(record: ContainerEndpointRecord): Promise<void> {
    await this.intend(record);
    await this.#networks.detach({ namespace: record.namespace, endpoints: [record.endpoint] });
    await this.drop(record);
    this.#context.log.info("container detached", {
      handle: containerHandle(record.containerId),
      service: record.service,
    });
  }

  /** Records that it is on its way out. */
  async intend({ endpoint }: ContainerEndpointRecord): Promise<void> {
    const { store } = this.#context;
    const record = store.containerEndpoints.get(endpoint);
    if (!record || record.phase === "removing") return;
    await store.commit("detach_container windows: intent", (write) => {
      write.putContainerEndpoint({ ...record, phase: "removing" });
    });
  }

  /** Forgets a record and gives its address back. */
  async drop(record: ContainerEndpointRecord): Promise<void> {
    const { store, addresses, problems } = this.#context;
    const handle = containerHandle(record.containerId);
    const lease = store.leases.get(record.ip);
    const isHeld = record.pool !== EXTERNAL_POOL && lease?.owner === handle;
    await store.commit("detach_container windows: done", (write) => {
      write.deleteContainerEndpoint(record.endpoint);
      if (isHeld) write.deleteLease(record.ip);
    });
    if (isHeld) addresses.release(lease);
    problems.delete(handle);
  }

  /** Finishes or undoes what broke off. One that is being worked on is none. */
  async settle(endpoint: string): Promise<void> {
    await this.lockedIfFree(endpoint, async (record) => {
      if (record.phase === "ready") return;
      this.#context.log.info("settling what was interrupted", {
        object: containerHandle(record.containerId),
      });
      await this.tryRelease(record);
    });
  }

  /** Ends all attachments; one that is just being mended when that is done. */
  async releaseAll(): Promise<void> {
    for (const record of this.#recordsOf(() => true)) {
      const keys = { [containerHandle(record.containerId)]: "write" } as const;
      await this.#context.locks.run(keys, () => this.release(record));
    }
  }

  /** Runs with a record and the locks of its container and what is `shared`, unless somebody has them. */
  async lockedIfFree(
    endpoint: string,
    work: (record: ContainerEndpointRecord) => Promise<void>,
    shared: Readonly<Record<string, "read">> = {},
  ): Promise<void> {
    const { store, locks } = this.#context;
    const before = store.containerEndpoints.get(endpoint);
    if (!before) return;
    const keys = { ...shared, [containerHandle(before.containerId)]: "write" } as const;
    if (!locks.isFree(keys)) return;
    await locks.run(keys, async () => {
      const record = store.containerEndpoints.get(endpoint);
      if (record) await work(record);
    });
  }

  #recordsOf(isMeant: (record: ContainerEndpointRecord) => boolean): ContainerEndpointRecord[] {
    return [...this.#context.store.containerEndpoints.values()].filter(isMeant);
  }

  get #deployment(): string {
    return this.#context.store.settings.globalSettings?.deployment ?? "";
  }
}
