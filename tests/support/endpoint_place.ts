/** Where a test's endpoints are: sockets in a temporary directory, pipes with names of their own on Windows. */

/** A place for endpoints; dispose of it when they are closed. */
export class EndpointPlace implements AsyncDisposable {
  readonly #directory = Deno.build.os === "windows" ? undefined : Deno.makeTempDirSync({ prefix: "zt-ipc-" });
  readonly #id = crypto.randomUUID();

  /** The path or name of an endpoint, the same for the same word. */
  path(word = "overlayd"): string {
    if (this.#directory === undefined) return `\\\\.\\pipe\\zt-${word}-${this.#id}`;
    return `${this.#directory}/${word}.sock`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#directory !== undefined) await Deno.remove(this.#directory, { recursive: true });
  }
}
