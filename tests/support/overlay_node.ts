/**
 * A node of an overlay for tests: a network namespace that plays the host, a data directory, and the real daemon
 * as a subprocess. The daemon can be stopped, killed and started again; host and data directory stay.
 *
 * Disposing takes the host namespace away with everything in it, so a test that has to show that nothing is left
 * asks {@linkcode OverlayNode.ownLinks} or `auditNode` before that.
 */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { OverlaydClient } from "../../ipc/client.ts";
import { findProgram } from "../../scripts/support/packages.ts";
import type { OverlayStatus, StatusDetail } from "../../core/service.ts";
import { DaemonProcess, type Finished, MAIN, runProgram } from "../process/support/daemon_process.ts";
import { type IpObject, NamedNetns } from "./test_netns.ts";

/** How a daemon is started. */
export interface BootOptions {
  /** Flags besides `--data-dir`. */
  readonly args?: readonly string[];
  readonly env?: Record<string, string>;
  /** Program instead of `main.ts`. */
  readonly entry?: string;
  /** File that the daemon is to have instead of `/etc/hosts`. */
  readonly hosts?: string;
}

/** How a node comes to be. */
export interface NodeOptions extends BootOptions {
  /** Told to the daemon with `set_local_node_id`. Default 1. */
  readonly nodeId?: bigint;
  /** Done in the host namespace before the daemon starts. */
  readonly prepare?: (host: NamedNetns) => Promise<void>;
}

/** A container, as far as the daemon knows it. */
export interface HasPid {
  readonly pid: number;
}

/** How a daemon ended. */
export interface DaemonEnd {
  readonly code: number;
  readonly signal: Deno.Signal | null;
  readonly stderr: string;
}

/** A status with everything that operators see. */
export type DetailedStatus = OverlayStatus & { readonly detail: StatusDetail };

/** Longest wait for an answer: the daemon's own deadline and a little. */
const CALL_TIMEOUT_MS = 35_000;

/** See the file's comment. */
export class OverlayNode implements AsyncDisposable {
  #daemon: DaemonProcess | undefined;
  #client: OverlaydClient | undefined;

  private constructor(readonly host: NamedNetns, readonly dir: string) {}

  /** Makes a host and starts a daemon on it. */
  static async start(options: NodeOptions = {}): Promise<OverlayNode> {
    const node = new OverlayNode(await NamedNetns.create(), await Deno.makeTempDir({ prefix: "zt" }));
    try {
      await options.prepare?.(node.host);
      await node.boot(options);
      await node.client.setLocalNodeId(options.nodeId ?? 1n);
      return node;
    } catch (error) {
      await node[Symbol.asyncDispose]();
      throw error;
    }
  }

  get dataDir(): string {
    return join(this.dir, "data");
  }

  /** The daemon that runs now. */
  get daemon(): DaemonProcess {
    assert(this.#daemon, "no daemon runs");
    return this.#daemon;
  }

  /** A connection to the daemon that runs now. */
  get client(): OverlaydClient {
    assert(this.#client, "no daemon runs");
    return this.#client;
  }

  /** Starts a daemon and waits until it answers. */
  async boot(options: BootOptions = {}): Promise<void> {
    assert(!this.#daemon, "a daemon runs already");
    this.#daemon = await DaemonProcess.start(this.dir, options.args ?? [], {
      entry: options.entry ?? MAIN,
      shell: enterHost(this.host, options.hosts),
      ...(options.env ? { env: options.env } : {}),
    });
    this.#client = await this.connect();
  }

  /** One more connection. */
  async connect(): Promise<OverlaydClient> {
    return await OverlaydClient.connect(this.daemon.socket, { callTimeoutMs: CALL_TIMEOUT_MS });
  }

  /** Sends a signal and waits for the end. */
  async end(signal: Deno.Signal): Promise<DaemonEnd> {
    this.daemon.kill(signal);
    return await this.ended();
  }

  /** Waits for the daemon's end, by whatever cause. */
  async ended(): Promise<DaemonEnd> {
    const { daemon } = this;
    const end = await daemon.ended();
    this.#client?.close();
    this.#client = this.#daemon = undefined;
    await daemon[Symbol.asyncDispose]();
    return end;
  }

  /** `kill -9`, and a daemon on what that left. */
  async crashAndRestart(options: BootOptions = {}): Promise<void> {
    await this.end("SIGKILL");
    await this.boot(options);
  }

  /** Attaches a container. @returns The address of its eth0. */
  async attach(
    container: HasPid,
    service: string,
    options: { readonly joinGlobal?: boolean; readonly client?: OverlaydClient } = {},
  ): Promise<string> {
    const { joinGlobal = false, client = this.client } = options;
    const reply = await client.attachContainer({ handle: pidHandle(container), service, joinGlobal });
    assertEquals(reply.kind, "attached");
    return reply.kind === "attached" ? reply.ip : "";
  }

  /** Detaches a container. */
  async detach(container: HasPid): Promise<void> {
    await this.client.detachContainer(pidHandle(container));
  }

  /** Everything the daemon tells. */
  async status(): Promise<DetailedStatus> {
    const { detail, ...status } = await this.client.status(true);
    assert(detail, "the daemon gives no detail");
    return { ...status, detail };
  }

  /** Runs an operator's command against this node, in its host namespace. */
  async operate(...args: string[]): Promise<Finished> {
    return await runProgram([...args, "--data-dir", this.dataDir], {
      entry: MAIN,
      shell: enterHost(this.host),
    });
  }

  /** Links of the host that a daemon made or may have made: by name, or by tag. */
  async ownLinks(): Promise<IpObject[]> {
    return (await this.host.links()).filter(({ ifname, ifalias }) =>
      /^(zl-|veth)/.test(ifname) || String(ifalias ?? "").startsWith("zlayer-overlayd/")
    );
  }

  /** Names of {@linkcode ownLinks} in alphabetical order. */
  async ownLinkNames(): Promise<string[]> {
    return (await this.ownLinks()).map(({ ifname }) => ifname as string).sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client?.close();
    await this.#daemon?.[Symbol.asyncDispose]();
    await this.host[Symbol.asyncDispose]();
    await Deno.remove(this.dir, { recursive: true });
  }
}

/** How requests name a container. */
export function pidHandle({ pid }: HasPid): { readonly platform: "linux_pid"; readonly pid: number } {
  return { platform: "linux_pid", pid };
}

/** Runs the daemon in the namespace, without another process in between, and with whatever PATH it is given. */
function enterHost(
  host: NamedNetns,
  hosts?: string,
): { readonly before: string; readonly namespace?: "mount" } {
  const enter = `exec ${findProgram("nsenter") ?? "nsenter"} --net=${host.path} --`;
  if (hosts === undefined) return { before: enter };
  return { before: `mount --bind ${hosts} /etc/hosts && ${enter}`, namespace: "mount" };
}
