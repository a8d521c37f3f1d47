/** A named pipe served by `node:net`, as a stream and listener of the IPC layer: what ours is measured against. */
import { createServer, type Server, type Socket } from "node:net";
import type { IpcListener, IpcStream } from "../../ipc/stream.ts";

/** One connection. */
class NodeStream implements IpcStream {
  readonly #socket: Socket;
  readonly #chunks: Uint8Array[] = [];
  #ended = false;
  #wake: () => void = () => {};

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Uint8Array) => {
      this.#chunks.push(chunk);
      socket.pause();
      this.#wake();
    });
    for (const end of ["end", "close", "error"]) socket.on(end, () => this.#end());
  }

  async read(into: Uint8Array): Promise<number | null> {
    while (this.#chunks.length === 0) {
      if (this.#ended) return null;
      const more = new Promise<void>((resolve) => this.#wake = resolve);
      this.#socket.resume();
      await more;
    }
    const chunk = this.#chunks.shift()!;
    const length = Math.min(chunk.length, into.length);
    into.set(chunk.subarray(0, length));
    if (length < chunk.length) this.#chunks.unshift(chunk.subarray(length));
    return length;
  }

  write(bytes: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) =>
      this.#socket.write(bytes, (error) => error ? reject(error) : resolve(bytes.length))
    );
  }

  close(): void {
    this.#socket.destroy();
  }

  #end(): void {
    this.#ended = true;
    this.#wake();
  }
}

/** Listens on a pipe. */
export async function listenNodePipe(name: string): Promise<IpcListener> {
  const waiting: ((stream: IpcStream) => void)[] = [];
  const connected: IpcStream[] = [];
  const server: Server = createServer((socket) => {
    const stream = new NodeStream(socket);
    const next = waiting.shift();
    if (next) next(stream);
    else connected.push(stream);
  });
  await new Promise<void>((resolve) => server.listen(name, resolve));
  return {
    name,
    accept: () => {
      const stream = connected.shift();
      return stream ? Promise.resolve(stream) : new Promise((resolve) => waiting.push(resolve));
    },
    close: () => void server.close(),
  };
}
