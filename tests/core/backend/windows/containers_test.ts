/** The contract of container networks, on the fake service in memory. */
import { MarkerFile } from "../../../../core/marker_file.ts";
import type { MarkerEntry } from "../../../../core/marker.ts";
import { libraryChannel } from "../../../../core/backend/windows/channel.ts";
import { HcnContainers } from "../../../../core/backend/windows/containers.ts";
import { SILENT_LOG } from "../../../../core/log.ts";
import { containersContract } from "../../../contract/containers/contract.ts";
import {
  type ContainersRig,
  type SeenState,
  type ServiceObserver,
  SYSTEM_NAMESPACE,
} from "../../../contract/containers/rig.ts";
import { drive, MemoryFiles } from "../../../support/container_rig.ts";
import { FakeClock } from "../../../support/fake_clock.ts";
import { FakeHcnLibrary } from "../../../support/fake_hcn/library.ts";
import { FakeHns } from "../../../support/fake_hcn/service.ts";

/** The service in memory, as the contract looks at it. */
class MemoryService implements ServiceObserver {
  readonly hns: FakeHns;
  readonly library: FakeHcnLibrary;
  #held = Promise.withResolvers<void>();

  constructor(clock: FakeClock) {
    this.hns = new FakeHns(() => clock.monotonicMs());
    this.library = new FakeHcnLibrary(this.hns);
  }

  state(): SeenState {
    const { networks, endpoints, namespaces } = this.hns;
    return {
      networks: sorted(networks.values()).map(({ id, name, type, subnet }) => ({ id, name, type, subnet })),
      endpoints: sorted(endpoints.values()).map(({ id, name, network, ip }) => ({ id, name, network, ip })),
      namespaces: sorted(namespaces.values()).filter(({ id }) => id !== SYSTEM_NAMESPACE).map(({ id }) => ({
        id,
        endpoints: sorted(endpoints.values()).filter((one) => one.namespace === id).map((one) => one.id),
      })),
    };
  }

  taken(): string[] {
    return this.library.taken();
  }

  plantNetwork({ id, name, type, subnet }: SeenState["networks"][number]): void {
    this.hns.plant.network(id, name, type, subnet);
  }

  plantEndpoint({ id, name, network, ip }: SeenState["endpoints"][number]): void {
    this.hns.plant.endpoint(id, name, network, { ip });
  }

  plantNamespace({ id, endpoints }: SeenState["namespaces"][number]): void {
    this.hns.plant.namespace(id);
    for (const one of endpoints) this.hns.endpoints.get(one)!.namespace = id;
  }

  deleteByHand(kind: "Network" | "Endpoint" | "Namespace", id: string): Promise<void> {
    return Promise.resolve(this.hns.delete(kind, id));
  }

  fail(name: string, hresult: number, times = 1): void {
    const record = JSON.stringify({ Success: false, Error: "as planned", ErrorCode: hresult });
    for (let i = 0; i < times; i++) this.library.next(name, { hresult: hresult | 0, record });
  }

  hang(name: string, when: "before" | "after" = "before"): void {
    const { promise } = this.#held;
    this.library.next(name, when === "before" ? { until: promise } : { heldUntil: promise });
  }

  release(): void {
    this.#held.resolve();
    this.#held = Promise.withResolvers();
  }

  hanging(): number {
    return this.library.hanging;
  }

  restart({ keepObjects = false } = {}): void {
    if (keepObjects) this.hns.generation++;
    else this.hns.restart();
  }

  assignNamespace(id: string): void {
    this.hns.namespaceIds.push(id);
  }

  assignAddress(ip: string): void {
    this.hns.addresses.push(ip);
  }

  problems(): string[] {
    return this.library.problems();
  }
}

function sorted<T extends { readonly id: string }>(objects: Iterable<T>): T[] {
  return [...objects].sort((a, b) => a.id < b.id ? -1 : 1);
}

class MemoryRig implements ContainersRig {
  readonly #clock = new FakeClock();
  readonly #files = new MemoryFiles();
  readonly #marker = new MarkerFile("agent_network.json", { log: SILENT_LOG, files: this.#files });
  readonly host = new MemoryService(this.#clock);
  containers = this.#open();

  get marker(): readonly MarkerEntry[] {
    return this.#files.networks;
  }

  nowMs(): number {
    return this.#clock.monotonicMs();
  }

  advance(ms: number): void {
    this.#clock.advance(ms);
  }

  drive<T>(work: Promise<T>): Promise<T> {
    return drive(work, this.#clock);
  }

  reopen(): void {
    this.containers.close();
    this.containers = this.#open();
  }

  #open(): HcnContainers {
    return new HcnContainers({
      openChannel: () => libraryChannel(this.host.library),
      marker: this.#marker,
      clock: this.#clock,
      log: SILENT_LOG,
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.containers.close();
    return Promise.resolve();
  }
}

containersContract("HcnContainers in memory", () => Promise.resolve(new MemoryRig()));
