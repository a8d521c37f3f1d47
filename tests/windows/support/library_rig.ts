/** Container networks through worker and FFI on the rig's computenetwork.dll, as their contract looks at them. */
import { HcnContainers } from "../../../core/backend/windows/containers.ts";
import { SILENT_LOG } from "../../../core/log.ts";
import type { MarkerEntry } from "../../../core/marker.ts";
import { MarkerFile } from "../../../core/marker_file.ts";
import type { ContainersRig, SeenKind, SeenState, ServiceObserver } from "../../contract/containers/rig.ts";
import { MemoryFiles } from "../../support/container_rig.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { ChannelPool } from "./channel_pool.ts";
import { FakeLibrary } from "./fake_library.ts";
import { HcnCalls } from "./hcn_calls.ts";
import { DEFAULT_NAMESPACE_ID, NAMESPACE_DOCUMENT, networkDocument } from "./hcn_examples.ts";
import { type HnsState, leftOf, moveOn } from "./hcn_node.ts";

class LibraryService implements ServiceObserver {
  readonly fake = new FakeLibrary("computenetwork.dll");
  #seen = 0;

  constructor() {
    this.fake.request("settle", { ms: 0 });
  }

  state(): SeenState {
    const { networks, endpoints, namespaces } = this.fake.request("state") as HnsState;
    const there = new Set(endpoints.map(({ id }) => id));
    return {
      networks: sorted(networks).map(({ id, document }) => ({
        id,
        name: document!.Name!,
        type: document!.Type!,
        subnet: document!.Ipams![0]!.Subnets[0]!.IpAddressPrefix,
      })),
      endpoints: sorted(endpoints).map(({ id, document, network, ip }) => ({
        id,
        name: document!.Name!,
        network: network!,
        ip: ip!,
      })),
      namespaces: sorted(namespaces).filter(({ id }) => id !== DEFAULT_NAMESPACE_ID).map((one) => ({
        id: one.id,
        // What is deleted leaves its reference behind, here as in HNS.
        endpoints: one.resources!.map(({ id }) => id.toLowerCase()).filter((id) => there.has(id)).sort(),
      })),
    };
  }

  taken(): string[] {
    const calls = this.fake.calls();
    const since = calls.slice(this.#seen).map((name) => name.slice("Hcn".length));
    this.#seen = calls.length;
    return since.filter((name) => !name.startsWith("Close"));
  }

  plantNetwork({ id, name, type, subnet }: SeenState["networks"][number]): void {
    const ipams = [{ Type: "Static", Subnets: [{ IpAddressPrefix: subnet }] }];
    this.#put("network", { id, document: networkDocument({ Name: name, Type: type, Ipams: ipams }) });
  }

  plantEndpoint({ id, name, network, ip }: SeenState["endpoints"][number]): void {
    this.#put("endpoint", { id, network, ip, document: { Name: name } });
  }

  plantNamespace({ id, endpoints }: SeenState["namespaces"][number]): void {
    const resources = endpoints.map((one) => ({ type: "Endpoint", id: one }));
    this.#put("namespace", { id, document: NAMESPACE_DOCUMENT, resources });
  }

  async deleteByHand(kind: SeenKind, id: string): Promise<void> {
    using calls = new HcnCalls();
    const { hr, record } = await calls.call(`HcnDelete${kind}`, { id });
    if (hr !== 0) throw new Error(`HcnDelete${kind}: ${record}`);
  }

  fail(name: string, hresult: number, times = 1): void {
    this.fake.script({ function: `Hcn${name}`, action: "fail", code: hresult, times });
  }

  hang(name: string, when: "before" | "after" = "before"): void {
    this.fake.script({ function: `Hcn${name}`, action: "hang", when });
  }

  release(): void {
    this.fake.request("release");
  }

  hanging(): number {
    return this.fake.counters().hanging ?? 0;
  }

  restart({ keepObjects = false } = {}): void {
    this.fake.request("forget", { objects: !keepObjects });
  }

  assignNamespace(id: string): void {
    this.fake.request("assign", { id });
  }

  assignAddress(ip: string): void {
    this.fake.request("assignIp", { ip });
  }

  problems(): string[] {
    return leftOf(this.fake);
  }

  #put(kind: "network" | "endpoint" | "namespace", object: Record<string, unknown>): void {
    this.fake.request("put", { kind, object });
  }
}

function sorted<T extends { readonly id: string }>(objects: readonly T[]): T[] {
  return objects.toSorted((a, b) => a.id < b.id ? -1 : 1);
}

/** See the module. */
export class LibraryRig implements ContainersRig {
  readonly #clock = new FakeClock();
  readonly #pool = new ChannelPool();
  readonly #files = new MemoryFiles();
  readonly #marker = new MarkerFile("agent_network.json", { log: SILENT_LOG, files: this.#files });
  readonly host = new LibraryService();
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
    return moveOn(work, { fake: this.host.fake, clock: this.#clock, pool: this.#pool });
  }

  reopen(): void {
    this.containers.close();
    this.containers = this.#open();
  }

  #open(): HcnContainers {
    return new HcnContainers({
      openChannel: () => this.#pool.open(),
      marker: this.#marker,
      clock: this.#clock,
      log: SILENT_LOG,
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.containers.close();
    this.#pool[Symbol.dispose]();
    this.host.fake[Symbol.dispose]();
    return Promise.resolve();
  }
}
