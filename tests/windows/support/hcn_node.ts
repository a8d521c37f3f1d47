/**
 * A node of Windows in this process: the engine and the backend as they are, computenetwork.dll the rig's, devices
 * those of the fake host. The clock stands still unless {@linkcode HcnNode.drive} moves it.
 */
import { WindowsBackend } from "../../../core/backend/windows.ts";
import type { FakeBackend } from "../../../core/backend/fake.ts";
import { HcnContainers, workerChannels } from "../../../core/backend/windows/containers.ts";
import type { OverlayEngine } from "../../../core/engine.ts";
import { MarkerFile } from "../../../core/marker_file.ts";
import type { ComputeNetworkPaths } from "../../../ffi/computenetwork.ts";
import { join } from "@std/path";
import { type Attached, container, DEPLOYMENT, SLICE } from "../../support/container_rig.ts";
import { EngineRig, globalRequest } from "../../support/engine_rig.ts";
import { FakeLibrary, fakePath } from "./fake_library.ts";

/** An object of the fake HNS, as its request `state` gives it. */
export interface HnsObject {
  readonly id: string;
  readonly document?: { readonly Name?: string };
  readonly ip?: string;
  readonly resources?: readonly { readonly type: string; readonly id: string }[];
}

/** Everything in it. */
export type HnsState = Readonly<Record<"networks" | "endpoints" | "namespaces", readonly HnsObject[]>>;

/** Where the rig's library is. */
export function fakePaths(): ComputeNetworkPaths {
  return { computenetwork: fakePath("computenetwork.dll"), ole32: "ole32.dll" };
}

/** See the module. */
export class HcnNode implements AsyncDisposable {
  readonly rig: EngineRig;
  readonly fake: FakeLibrary;
  backend!: WindowsBackend;

  private constructor(rig: EngineRig, fake: FakeLibrary) {
    this.rig = rig;
    this.fake = fake;
  }

  /** @param options `dataDir`: one that an earlier process left, with the HNS as it is; else all is new. */
  static async start({ dataDir }: { readonly dataDir?: string } = {}): Promise<HcnNode> {
    const fake = new FakeLibrary("computenetwork.dll", { keep: dataDir !== undefined });
    // A new network is ready at once: nobody moves the clock while a test waits.
    fake.request("settle", { ms: 0 });
    const node = new HcnNode(new EngineRig(dataDir), fake);
    await node.boot();
    if (dataDir === undefined) {
      await node.engine.setLocalNodeId(1n);
      const request = globalRequest({ deployment: DEPLOYMENT, sliceCidr: SLICE });
      await node.engine.setupGlobalOverlay(request, node.rig.context);
    }
    await node.engine.sweepContainers();
    return node;
  }

  get engine(): OverlayEngine {
    return this.rig.engine;
  }

  /** Starts backend and engine on what is there. */
  async boot(): Promise<void> {
    const { clock, log, dataDir } = this.rig;
    const marker = new MarkerFile(join(dataDir, "agent_network.json"), { log });
    const containers = new HcnContainers({ openChannel: workerChannels(fakePaths()), marker, clock, log });
    await this.rig.boot({
      marker,
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

  state(): HnsState {
    return this.fake.request("state") as HnsState;
  }

  /** Lets work run, and moves the clock on while it makes no calls. */
  async drive<T>(work: Promise<T>, stepMs = 100): Promise<T> {
    let isDone = false, calls = -1;
    const end = (): void => void (isDone = true);
    work.then(end, end);
    while (!isDone) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      const now = this.fake.counters();
      if (now.calls === calls && now.inFlight === now.hanging) this.rig.clock.advance(stepMs);
      calls = now.calls ?? 0;
    }
    return await work;
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
    this.fake[Symbol.dispose]();
  }
}
