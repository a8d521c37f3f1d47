/** A host of its own: a network namespace and a process in it that runs the Linux backend, WireGuard in user space. */
import { assert } from "@std/assert";
import { fromFileUrl } from "@std/path";
import type { NamedNetns } from "./test_netns.ts";

/** A peer, as text. */
export interface NodePeer {
  readonly publicKey: string;
  readonly endpoint?: string;
  readonly allowedIps: readonly string[];
}

/** A device, as text. */
export interface NodeDevice {
  readonly name: string;
  readonly tag: string;
  readonly privateKey: string;
  readonly listenPort: number;
  readonly address: string;
  readonly mtuBytes: number;
  readonly peers: readonly NodePeer[];
  readonly routes: readonly string[];
}

/** What the process is asked. */
export type NodeRequest =
  | { readonly op: "ensure"; readonly device: NodeDevice }
  | { readonly op: "set"; readonly name: string; readonly peers: readonly NodePeer[] }
  | { readonly op: "read"; readonly name: string }
  | { readonly op: "remove"; readonly name: string; readonly tag: string };

/** What a device tells. */
export interface NodeState {
  readonly listenPort: number;
  readonly publicKey: string;
  readonly peers: readonly {
    readonly handshake: number;
    readonly rxBytes: number;
    readonly txBytes: number;
    readonly endpoint?: string;
  }[];
}

/** See the module. */
export class BackendNode implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<string>;
  #text = "";

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#writer = child.stdin.getWriter();
    this.#reader = child.stdout.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>)
      .getReader();
  }

  /** Starts the process in a namespace. */
  static start(netns: NamedNetns, uapiDir: string): BackendNode {
    const main = fromFileUrl(import.meta.resolve("./backend_node_main.ts"));
    return new BackendNode(
      new Deno.Command("ip", {
        args: [
          "netns",
          "exec",
          netns.name,
          Deno.execPath(),
          "run",
          "-A",
          "--frozen",
          "--no-check",
          main,
          uapiDir,
        ],
        stdin: "piped",
        stdout: "piped",
        stderr: "inherit",
      }).spawn(),
    );
  }

  /** Process id. */
  get pid(): number {
    return this.#child.pid;
  }

  /** Asks and waits for the answer, which has to be a success. */
  async ask(request: NodeRequest): Promise<unknown> {
    await this.#writer.write(new TextEncoder().encode(`${JSON.stringify(request)}\n`));
    while (!this.#text.includes("\n")) {
      const { done, value } = await this.#reader.read();
      assert(!done, `the node ended before it answered ${request.op}`);
      this.#text += value;
    }
    const end = this.#text.indexOf("\n");
    const answer = JSON.parse(this.#text.slice(0, end));
    this.#text = this.#text.slice(end + 1);
    assert(answer.error === undefined, answer.error);
    return answer.value;
  }

  /** Reads a device. */
  async read(name: string): Promise<NodeState> {
    return await this.ask({ op: "read", name }) as NodeState;
  }

  /** Kills the process as a crash would. */
  async kill(): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.#child.status;
  }

  /** Kills it and lets go of its pipes. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await this.#writer.abort().catch(() => {});
    await this.#reader.cancel().catch(() => {});
  }
}
