/** A whole engine over a fake host, with a data directory of its own; restarts and crashes included. */

import { FakeBackend } from "../../core/backend/fake.ts";
import { FakeHost } from "../../core/backend/fake_host.ts";
import type { NetworkBackend } from "../../core/backend/backend.ts";
import { OverlayEngine } from "../../core/engine.ts";
import type { Log, LogFields } from "../../core/log.ts";
import { MarkerFile } from "../../core/marker_file.ts";
import { readNodeFiles } from "../../core/node_config.ts";
import type { GlobalOverlayRequest, RequestContext } from "../../core/service.ts";
import { openStateStore, type StateStore } from "../../core/state/state_store.ts";
import { derivePublicKey, encodeKey, generateKeyPair, type KeyPair } from "../../core/wireguard/keys.ts";
import { join } from "@std/path";
import { FakeClock } from "./fake_clock.ts";
import { FakeResolver } from "./fake_resolver.ts";

/** A log that keeps its records. */
export class RecordingLog implements Log {
  readonly records: { level: string; message: string; fields?: LogFields }[] = [];
  debug = (message: string, fields?: LogFields): void => this.#add("debug", message, fields);
  info = (message: string, fields?: LogFields): void => this.#add("info", message, fields);
  warn = (message: string, fields?: LogFields): void => this.#add("warn", message, fields);
  error = (message: string, fields?: LogFields): void => this.#add("error", message, fields);
  #add(level: string, message: string, fields?: LogFields): void {
    this.records.push({ level, message, ...(fields ? { fields } : {}) });
  }
}

/** What a test may put between engine and world. */
export interface Wrappers {
  readonly store?: (store: StateStore) => StateStore;
  readonly backend?: (backend: NetworkBackend) => NetworkBackend;
  readonly marker?: MarkerFile;
  /** As `EngineOptions` has it. */
  readonly removeAbandoned?: boolean;
}

/** One node: a fake host, a data directory, and the engine that runs on them now. */
export class EngineRig implements AsyncDisposable {
  readonly host = new FakeHost(derivePublicKey);
  readonly clock = new FakeClock();
  readonly log = new RecordingLog();
  readonly resolver = new FakeResolver();
  readonly dataDir: string;
  /** The connection that requests come by unless a test brings its own. */
  readonly context: RequestContext = { connection: { closed: false } };
  store!: StateStore;
  engine!: OverlayEngine;
  #isRunning = false;

  /** @param dataDir Of an earlier process; disposing removes it, as one of its own. */
  constructor(dataDir: string = Deno.makeTempDirSync({ prefix: "zt-engine-" })) {
    this.dataDir = dataDir;
  }

  /** A rig with a started engine and node id 1. */
  static async start(options: { nodeId?: bigint | undefined } = { nodeId: 1n }): Promise<EngineRig> {
    const rig = new EngineRig();
    await rig.boot();
    if (options.nodeId !== undefined) await rig.engine.setLocalNodeId(options.nodeId);
    return rig;
  }

  /** Starts an engine on what is there. */
  async boot(wrap: Wrappers = {}): Promise<void> {
    const store = openStateStore(join(this.dataDir, "overlayd.db"));
    this.store = wrap.store?.(store) ?? store;
    const backend = new FakeBackend(this.host);
    this.#isRunning = true;
    this.engine = await OverlayEngine.start({
      backend: wrap.backend?.(backend) ?? backend,
      store: this.store,
      marker: wrap.marker ?? new MarkerFile(join(this.dataDir, "agent_network.json"), { log: this.log }),
      clock: this.clock,
      log: this.log,
      dataDir: this.dataDir,
      version: "test",
      removeAbandoned: wrap.removeAbandoned ?? false,
      resolver: this.resolver,
      readNodeFiles: () => readNodeFiles((name) => readIfThere(join(this.dataDir, name))),
    });
  }

  /** Ends the engine as a stop does, and starts another. */
  async restart(): Promise<void> {
    await this.engine.stop();
    this.store.close();
    await this.boot();
  }

  /** Forgets the engine as `kill -9` does: nothing of it runs on, the database is closed by the kernel. */
  kill(store: { close(): void } = this.store): void {
    this.host.watchers.clear();
    this.host.peerWatchers.clear();
    store.close();
    this.#isRunning = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isRunning) {
      await this.engine.stop();
      this.store.close();
    }
    Deno.removeSync(this.dataDir, { recursive: true });
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** A set-up as the shipped caller sends it, with changes. */
export function globalRequest(changes: Partial<GlobalOverlayRequest> = {}): GlobalOverlayRequest {
  return {
    deployment: "prod",
    instanceId: "42",
    clusterCidr: "10.200.0.0/16",
    wgPort: 51420,
    natEnabled: false,
    ...changes,
  };
}

/** A fresh key pair. */
export function freshKeyPair(): KeyPair {
  return generateKeyPair((bytes) => void crypto.getRandomValues(bytes));
}

/** A fresh public key in base64. */
export function freshPublicKey(): string {
  return encodeKey(freshKeyPair().publicKey);
}
