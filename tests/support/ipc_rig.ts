/** A server with a scripted service on a real socket or pipe, and raw clients for it. */

import { OverlaydClient } from "../../ipc/client.ts";
import { encodeFrame, FrameDecoder } from "../../ipc/frame.ts";
import { dialEndpoint, listenEndpoint } from "../../ipc/listener.ts";
import type { IpcLog } from "../../ipc/log.ts";
import { IpcServer, type IpcServerOptions } from "../../ipc/server.ts";
import type { IpcStream } from "../../ipc/stream.ts";
import { EndpointPlace } from "./endpoint_place.ts";
import { FakeService } from "./fake_service.ts";

/** A log that keeps its lines for the test to read. */
export class RecordingLog implements IpcLog {
  readonly lines: { level: "debug" | "warn"; message: string; fields: Readonly<Record<string, unknown>> }[] =
    [];

  debug(message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.lines.push({ level: "debug", message, fields });
  }

  warn(message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.lines.push({ level: "warn", message, fields });
  }

  /** All of it as text, to look for what must not be there. */
  text(): string {
    return JSON.stringify(this.lines);
  }
}

/** A server under test. Dispose of it to close everything. */
export class IpcRig implements AsyncDisposable {
  readonly service = new FakeService();
  readonly log = new RecordingLog();
  readonly shutdown = Promise.withResolvers<void>();
  readonly place = new EndpointPlace();
  readonly path: string = this.place.path();
  readonly server: IpcServer;
  #served: Promise<void> = Promise.resolve();

  private constructor(options: Partial<IpcServerOptions>) {
    this.server = new IpcServer({
      service: this.service,
      log: this.log,
      onShutdown: () => this.shutdown.resolve(),
      ...options,
    });
  }

  /** Starts a server; it listens when this resolves. */
  static async start(options: Partial<IpcServerOptions> = {}): Promise<IpcRig> {
    const rig = new IpcRig(options);
    rig.#served = rig.server.serve(await listenEndpoint(rig.path));
    return rig;
  }

  /** A typed client. */
  client(): Promise<OverlaydClient> {
    return OverlaydClient.connect(this.path);
  }

  /** A client that sends what it likes. */
  raw(): Promise<RawClient> {
    return RawClient.connect(this.path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close(1000);
    await this.#served;
    await this.place[Symbol.asyncDispose]();
  }
}

/** What a raw client runs over. Pipes cannot close one direction. */
export type RawStream = IpcStream & { closeWrite?(): Promise<void> };

/** Bytes in, JSON bodies out. */
export class RawClient implements Disposable {
  readonly #decoder = new FrameDecoder();
  #closed = false;

  constructor(readonly conn: RawStream) {}

  /** Connects to an endpoint. */
  static async connect(path: string): Promise<RawClient> {
    return new RawClient(await dialEndpoint(path));
  }

  /** Writes all the bytes. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) done += await this.conn.write(bytes.subarray(done));
  }

  /** Writes a frame with this text as its body. */
  send(body: string): Promise<void> {
    return this.write(encodeFrame(body));
  }

  /** The text of the next frame, `undefined` at the end of the stream. */
  async receive(): Promise<string | undefined> {
    for (;;) {
      const body = this.#decoder.next();
      if (body) return new TextDecoder().decode(body);
      const length = await this.conn.read(this.#decoder.reserve(65536)).catch(() => null);
      if (length === null) return undefined;
      this.#decoder.commit(length);
    }
  }

  /** The next frame as a value. */
  async receiveJson(): Promise<unknown> {
    const body = await this.receive();
    return body === undefined ? undefined : JSON.parse(body);
  }

  /** Sends a `status` and reads frames up to its response. */
  async status(id = 1): Promise<unknown> {
    await this.send(`{"frame":"request","id":${id},"request":{"op":"status"}}`);
    return await this.receiveJson();
  }

  close(): void {
    if (!this.#closed) this.conn.close();
    this.#closed = true;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
