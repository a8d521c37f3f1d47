/**
 * A whole engine over a fake Host Networking Service: everything of a Windows node that attaches containers but the
 * library itself. The clock stands still unless {@linkcode ContainerRig.drive} moves it.
 */
import { assertEquals } from "@std/assert";
import { FakeBackend } from "../../core/backend/fake.ts";
import { libraryChannel } from "../../core/backend/windows/channel.ts";
import type { HcnChannel } from "../../core/backend/windows/channel.ts";
import { HcnContainers } from "../../core/backend/windows/containers.ts";
import type { AddressSharing } from "../../core/backend/windows/node_devices.ts";
import { othersTurn } from "../../core/event_loop.ts";
import { decodeMarker, EMPTY_MARKER, encodeMarker, type MarkerEntry } from "../../core/marker.ts";
import { MarkerFile } from "../../core/marker_file.ts";
import type { PrivateFileSystem } from "../../core/private_files.ts";
import type { AttachReply } from "../../core/service.ts";
import type { StateStore } from "../../core/state/state_store.ts";
import { EngineRig, globalRequest } from "./engine_rig.ts";
import type { FakeClock } from "./fake_clock.ts";
import { FakeHcnLibrary } from "./fake_hcn/library.ts";
import { FakeHns } from "./fake_hcn/service.ts";

/** The example of the specification: deployment, slice. */
export const DEPLOYMENT = "zlayer", SLICE = "10.200.0.0/28";
/** Name of its base network. */
export const BASE = "zlayer-overlay";

/** Files in memory: they take no time, so that the fake clock need not wait for a disk. */
export class MemoryFiles implements PrivateFileSystem {
  readonly files = new Map<string, string>();
  /** Every write fails. */
  isReadOnly = false;
  readTextFile = (path: string): Promise<string | undefined> => Promise.resolve(this.files.get(path));
  ensureDirectory = (): Promise<void> => Promise.resolve();
  writeFile = async (path: string, text: string): Promise<void> => {
    if (this.isReadOnly) throw new Deno.errors.PermissionDenied("read-only");
    await Promise.resolve();
    this.files.set(path, text);
  };
  rename = async (from: string, to: string): Promise<void> => {
    await Promise.resolve();
    this.files.set(to, this.files.get(from)!);
    this.files.delete(from);
  };
  syncDirectory = (): Promise<void> => Promise.resolve();

  /** Entries of the marker that is in it. */
  get networks(): readonly MarkerEntry[] {
    const text = this.files.get("agent_network.json");
    return (text === undefined ? EMPTY_MARKER : decodeMarker(text)).networks;
  }
}

/** Lets work run, and moves the clock on whenever it waits for that. @param stepMs How far at a time. */
export async function drive<T>(work: Promise<T>, clock: FakeClock, stepMs = 100): Promise<T> {
  let isDone = false;
  const end = (): void => void (isDone = true);
  work.then(end, end);
  for (let i = 0; !isDone; i++) {
    await tick();
    if (isDone) break;
    if (i > 2000) throw new Error("the work does not come to an end");
    clock.advance(stepMs);
  }
  return await work;
}

/** GUID number n, for planted objects. */
export function guid(n: number): string {
  return `00000000-1111-4222-8333-${n.toString(16).padStart(12, "0")}`;
}

/** A handle as the caller sends it. */
export function container(containerId: string, ip?: string): {
  platform: "windows_container";
  containerId: string;
  ip?: string;
} {
  return { platform: "windows_container", containerId, ...(ip === undefined ? {} : { ip }) };
}

/** What an attach gave. */
export type Attached = AttachReply & { readonly kind: "attached" };

/** One node. */
export class ContainerRig implements AsyncDisposable {
  readonly node = new EngineRig();
  readonly hns = new FakeHns(() => this.node.clock.monotonicMs());
  /** The library of the process that runs now. */
  library = new FakeHcnLibrary(this.hns);
  readonly files = new MemoryFiles();
  readonly marker = new MarkerFile("agent_network.json", { log: this.node.log, files: this.files });
  containers!: HcnContainers;
  uplinkAdapter: string | undefined;
  /** The flag of the name. */
  removeAbandoned = false;
  /** The WireGuard devices of the node; undefined for none. */
  devices: AddressSharing | undefined;
  openChannel = (): HcnChannel => libraryChannel(this.library);

  /** A rig with an engine, node id 1, and, unless it is `null`, a global overlay with this slice. */
  static async start(
    slice: string | null = SLICE,
    prepare = (_rig: ContainerRig): void => {},
  ): Promise<ContainerRig> {
    const rig = new ContainerRig();
    prepare(rig);
    await rig.boot();
    await rig.engine.setLocalNodeId(1n);
    if (slice !== null) await rig.setUp(slice);
    return rig;
  }

  get engine(): EngineRig["engine"] {
    return this.node.engine;
  }

  get store(): StateStore {
    return this.node.store;
  }

  /** Starts an engine on what is there. */
  async boot(wrap: { store?: (store: StateStore) => StateStore } = {}): Promise<void> {
    const { clock, log, host } = this.node;
    const containers = new HcnContainers({
      openChannel: () => this.openChannel(),
      marker: this.marker,
      clock,
      log,
      uplinkAdapter: this.uplinkAdapter,
      ...(this.devices === undefined ? {} : { devices: this.devices }),
    });
    this.containers = containers;
    await this.node.boot({
      ...wrap,
      removeAbandoned: this.removeAbandoned,
      marker: this.marker,
      backend: () => new FakeBackend(host, { containers }),
    });
  }

  /** Forgets the engine as `kill -9` does, with all that its process held. */
  kill(store: { close(): void }): void {
    void this.engine.stop();
    this.node.kill(store);
    this.library = new FakeHcnLibrary(this.hns);
  }

  /** Stops the engine and starts another on what is left, which first has its look around. */
  async restart(): Promise<void> {
    await this.engine.stop();
    this.containers.close();
    this.store.close();
    await this.boot();
    await this.settled();
  }

  /** The global overlay, and the sweep that follows it. */
  async setUp(slice: string | undefined, deployment = DEPLOYMENT): Promise<void> {
    const changes = { deployment, ...(slice === undefined ? {} : { sliceCidr: slice }) };
    await this.engine.setupGlobalOverlay(globalRequest(changes), this.node.context);
    await this.settled();
  }

  /** Waits until the background work that is due has been done, and forgets the calls it made. */
  async settled(): Promise<void> {
    await this.drive(this.engine.reconcile());
    this.library.calls.length = 0;
  }

  /** Attaches to the service `web`. */
  async attach(
    containerId: string,
    ip?: string,
    more: { service?: string; dnsServer?: string; dnsDomain?: string } = {},
  ): Promise<Attached> {
    const request = { handle: container(containerId, ip), service: "web", joinGlobal: false, ...more };
    return await this.engine.attachContainer(request) as Attached;
  }

  /** Detaches by the id or the GUID of the namespace. */
  detach(text: string): Promise<void> {
    return this.engine.detachContainer(container(text));
  }

  /** {@linkcode drive} by the node's clock. */
  drive<T>(work: Promise<T>, stepMs?: number): Promise<T> {
    return drive(work, this.node.clock, stepMs);
  }

  /** Entries of the marker. */
  get networks(): readonly MarkerEntry[] {
    return this.files.networks;
  }

  /** Writes the marker as an earlier daemon left it. */
  plantMarker(...networks: MarkerEntry[]): void {
    this.files.files.set("agent_network.json", encodeMarker({ version: 1, networks }));
  }

  /** Addresses that are leased to containers. */
  leased(): string[] {
    return [...this.store.leases.values()].filter((lease) => lease.owner.startsWith("container:"))
      .map((lease) => `${lease.ip} ${lease.pool}`).sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.containers.close();
    await this.node[Symbol.asyncDispose]();
    assertEquals(this.library.problems(), [], "strings and handles");
  }
}

/**
 * Lets everything run that waits for no clock: promises, commits of the store, what the runtime reads. All rounds of
 * it, by a clock that stands still: a busy machine, or a disk that takes its time over a commit, would end it early, and
 * the test would move its own clock on before the work that was due is done.
 */
export async function tick(): Promise<void> {
  await othersTurn({ now: () => 0 });
}
