/**
 * A node of Windows in this process: the engine and the backend as they are, computenetwork.dll the rig's, devices
 * those of the fake host. The clock stands still unless {@linkcode HcnNode.drive} moves it.
 */
import { WindowsBackend } from "../../../core/backend/windows.ts";
import type { FakeBackend } from "../../../core/backend/fake.ts";
import { HcnContainers } from "../../../core/backend/windows/containers.ts";
import type { OverlayEngine } from "../../../core/engine.ts";
import { decodeMarker, type MarkerEntry } from "../../../core/marker.ts";
import { MarkerFile } from "../../../core/marker_file.ts";
import { MARKER_FILE } from "../../../core/open_engine.ts";
import { join } from "@std/path";
import { type Attached, container, DEPLOYMENT, SLICE } from "../../support/container_rig.ts";
import type { FakeClock } from "../../support/fake_clock.ts";
import { EngineRig, globalRequest } from "../../support/engine_rig.ts";
import { hookedStore } from "../../support/engine_operations.ts";
import { waitFor } from "../../support/wait_for.ts";
import { ChannelPool } from "./channel_pool.ts";
import { FakeLibrary } from "./fake_library.ts";

/** How far the clock moves at once. */
const STEP_MS = 100;

/** An object of the fake HNS, as its request `state` gives it. */
export interface HnsObject {
  readonly id: string;
  readonly document?: {
    readonly Name?: string;
    readonly Type?: string;
    readonly Ipams?: readonly { readonly Subnets: readonly { readonly IpAddressPrefix: string }[] }[];
  };
  readonly network?: string;
  readonly ip?: string;
  readonly resources?: readonly { readonly type: string; readonly id: string }[];
}

/** Everything in it. */
export type HnsState = Readonly<Record<"networks" | "endpoints" | "namespaces", readonly HnsObject[]>>;

/** Lets work run, and moves a clock on whenever no call of the library is under way but those that hang. */
export async function moveOn<T>(
  work: Promise<T>,
  { fake, clock, pool }: {
    readonly fake: FakeLibrary;
    readonly clock: FakeClock;
    readonly pool: ChannelPool;
  },
): Promise<T> {
  let isDone = false, calls = -1;
  const end = (): void => void (isDone = true);
  work.then(end, end);
  while (!isDone) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    const now = fake.counters();
    if (now.calls === calls && pool.pending <= now.hanging!) clock.advance(STEP_MS);
    calls = now.calls ?? 0;
  }
  return await work;
}

/** Handles and strings that are not given back, and rules of the library that were broken. */
export function leftOf(fake: FakeLibrary): string[] {
  const kept = Object.entries(fake.counters()).filter(([name, value]) =>
    /Open$|Kept$|^inFlight$|^hanging$/.test(name) && value !== 0
  );
  return [...kept.map(([name, value]) => `${name} ${value}`), ...fake.violations()];
}

function endIf(isDead: boolean): void {
  if (isDead) throw new Error("the process is dead");
}

/** See the module. */
export class HcnNode implements AsyncDisposable {
  readonly rig: EngineRig;
  readonly fake: FakeLibrary;
  backend!: WindowsBackend;
  /** Whether what this process writes is lost, since it was killed. */
  #life = { isDead: false };
  readonly #pool: ChannelPool;
  readonly #disposables = new DisposableStack();

  private constructor(rig: EngineRig, fake: FakeLibrary, pool: ChannelPool | undefined) {
    this.rig = rig;
    this.fake = this.#disposables.use(fake);
    this.#pool = pool ?? this.#disposables.use(new ChannelPool());
  }

  /**
   * @param options `dataDir`: one that an earlier process left, with the HNS as it is; else all is new. `isSetUp`:
   * whether a new node gets its overlay and its look around; by default it does. `pool`: of the caller, else its own.
   * `prepare`: done before anything is started.
   */
  static async start(
    { dataDir, isSetUp = true, pool, prepare }: {
      readonly dataDir?: string;
      readonly isSetUp?: boolean;
      readonly pool?: ChannelPool;
      readonly prepare?: (node: HcnNode) => void;
    } = {},
  ): Promise<HcnNode> {
    const fake = new FakeLibrary("computenetwork.dll", { keep: dataDir !== undefined });
    // A new network is ready at once: nobody moves the clock while a test waits.
    fake.request("settle", { ms: 0 });
    const node = new HcnNode(new EngineRig(dataDir), fake, pool);
    prepare?.(node);
    await node.boot();
    if (dataDir === undefined && isSetUp) await node.setUp();
    if (dataDir !== undefined) await node.engine.sweepContainers();
    return node;
  }

  /** What the caller of a new node asks for first, and the look around that follows. */
  async setUp(): Promise<void> {
    await this.engine.setLocalNodeId(1n);
    const request = globalRequest({ deployment: DEPLOYMENT, sliceCidr: SLICE });
    await this.engine.setupGlobalOverlay(request, this.rig.context);
    await this.engine.sweepContainers();
  }

  get engine(): OverlayEngine {
    return this.rig.engine;
  }

  /** Starts backend and engine on what is there. */
  async boot(): Promise<void> {
    const { clock, log, dataDir } = this.rig;
    const marker = new MarkerFile(join(dataDir, MARKER_FILE), { log });
    const containers = new HcnContainers({ openChannel: () => this.#pool.open(), marker, clock, log });
    const life = this.#life = { isDead: false };
    await this.rig.boot({
      marker,
      store: (store) => hookedStore(store, () => endIf(life.isDead)),
      backend: (devices) =>
        this.backend = new WindowsBackend({ containers, devices: devices as FakeBackend }),
    });
  }

  /** Ends engine and backend, and leaves the files. */
  async stop(): Promise<void> {
    await this.engine.stop();
    await this.backend.close();
    this.rig.store.close();
  }

  /**
   * Ends them as the end of the process does, while a call hangs: that call does nothing more, nothing that was
   * under way is written or undone, and what HNS had handed out is its own again.
   */
  async kill(): Promise<void> {
    this.#life.isDead = true;
    this.backend.close();
    this.engine.stop().catch(() => {});
    this.rig.kill();
    this.fake.request("abandon");
    await waitFor("no call is under way", () => this.fake.counters().inFlight === 0);
    this.putAll(this.state());
  }

  /** Makes the fake anew, with these objects. */
  putAll(state: HnsState): void {
    this.fake.reset();
    this.fake.request("settle", { ms: 0 });
    for (const kind of ["network", "endpoint", "namespace"] as const) {
      for (const object of state[`${kind}s`]) this.fake.request("put", { kind, object });
    }
  }

  /** Ends them and starts others. */
  async restart(): Promise<void> {
    await this.stop();
    await this.boot();
    await this.engine.sweepContainers();
  }

  /** Attaches to the service `web`. */
  async attach(containerId: string, ip?: string, service = "web"): Promise<Attached> {
    const request = { handle: container(containerId, ip), service, joinGlobal: false };
    return await this.engine.attachContainer(request) as Attached;
  }

  /** Detaches by the id or the GUID of the namespace. */
  detach(text: string): Promise<void> {
    return this.engine.detachContainer(container(text));
  }

  /** Calls of HCN that were made, whether or not the library has them yet. */
  get callsMade(): number {
    return this.#pool.made;
  }

  /** Entries of the file that an uninstaller reads. */
  get marker(): readonly MarkerEntry[] {
    try {
      return decodeMarker(Deno.readTextFileSync(join(this.rig.dataDir, MARKER_FILE))).networks;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return [];
      throw error;
    }
  }

  state(): HnsState {
    return this.fake.request("state") as HnsState;
  }

  /** Lets work run, and moves the clock on while it makes no calls. */
  drive<T>(work: Promise<T>): Promise<T> {
    return moveOn(work, { fake: this.fake, clock: this.rig.clock, pool: this.#pool });
  }

  /** What a node does by itself after trouble: mends what broke off, and looks around twice. */
  async recover(): Promise<void> {
    await this.drive(this.engine.reconcile());
    await this.drive(this.engine.sweepContainers());
    await this.drive(this.engine.sweepContainers());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.backend.close();
    await this.rig[Symbol.asyncDispose]();
    this.#disposables.dispose();
  }
}
