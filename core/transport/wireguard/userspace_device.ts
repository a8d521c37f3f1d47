/**
 * A WireGuard device in user space, as the main isolate sees it: it owns interface and sockets, the worker moves the
 * packets. Reads and changes are those of a kernel device.
 */

import type { WireGuardDevice } from "../../../ffi/netlink/wireguard.ts";
import { OverlayError } from "../../errors.ts";
import type { DeviceReport } from "./control_plane.ts";
import type { DeviceRequest } from "./device_config.ts";
import type { WorkerFailure, WorkerNews, WorkerReply, WorkerRequest, WorkerSocketsLost } from "./messages.ts";
import type { NewsItem } from "./news.ts";
import type { Tunnel } from "./packet_plane.ts";
import { SocketKeeper } from "./socket_keeper.ts";

/** A request without its number. */
type Question = WorkerRequest extends infer R ? R extends WorkerRequest ? Omit<R, "id"> : never : never;

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** See the module. */
export class UserspaceDevice implements AsyncDisposable {
  readonly #tunnel: Tunnel;
  readonly #posted = new Int32Array(new SharedArrayBuffer(4));
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  readonly #sockets: SocketKeeper;
  #failure: Error | undefined;
  /** Changes wait for each other. */
  #last: Promise<unknown> = Promise.resolve();
  #released: Promise<void> = Promise.resolve();
  /** Library that encrypts packets. */
  cryptoName = "";
  /** Told what the device learns of its peers, a few times a second at most. */
  onNews: (news: readonly NewsItem[]) => void = () => {};
  /** Told what becomes of sockets that the system takes away; the device binds its port anew by itself. */
  onSockets: (message: string, fields: Readonly<Record<string, unknown>>) => void = () => {};
  /** Told once if the data path ends by an error; nothing of the device works from then on. */
  onFailure: (error: Error) => void = () => {};

  private constructor(tunnel: Tunnel) {
    this.#tunnel = tunnel;
    this.#sockets = new SocketKeeper({
      bind: (port, fwmark) => tunnel.bind(port, fwmark),
      use: async (fds) => void await this.#ask({ kind: "sockets", fds }),
      onChange: (message, fields) => this.onSockets(message, fields),
      later: (run, delayMs) => {
        const timer = setTimeout(run, delayMs);
        return () => clearTimeout(timer);
      },
    });
    this.#worker = new Worker(new URL("./worker.ts", import.meta.url).href, { type: "module" });
    type Message = WorkerReply | WorkerNews | WorkerSocketsLost | WorkerFailure;
    this.#worker.onmessage = ({ data }: MessageEvent<Message>) => {
      if ("news" in data) this.onNews(data.news);
      else if ("socketsLost" in data) this.#onSocketsLost(data.socketsLost);
      else if ("failure" in data) this.#onFailure(data.failure);
      else this.#settle(data);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#onFailure(event.message);
    };
  }

  /** Starts the data path of an interface, which is closed with it. Without keys and sockets so far. */
  static async start(tunnel: Tunnel): Promise<UserspaceDevice> {
    const device = new UserspaceDevice(tunnel);
    const posted = device.#posted.buffer as SharedArrayBuffer;
    try {
      device.cryptoName = await device.#ask({ kind: "open", start: tunnel.start, posted }) as string;
      return device;
    } catch (error) {
      await device[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Whether the data path has ended by an error. */
  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** Whether the data path works and its link is there; costs far less than to ask for the link. */
  get isAlive(): boolean {
    return this.#failure === undefined && this.#tunnel.isAttached;
  }

  /** Reads the device, keys included. */
  async read(): Promise<WireGuardDevice> {
    return (await this.#report(true)).device;
  }

  /** Reads the device and what it has dropped; no secret key leaves the data path for it. */
  report(): Promise<DeviceReport> {
    return this.#report(false);
  }

  async #report(withKeys: boolean): Promise<DeviceReport> {
    const { device, drops } = await this.#ask({ kind: "describe", withKeys }) as DeviceReport;
    const { port: listenPort, fwmark } = this.#sockets;
    const own = { name: this.#tunnel.name, listenPort, fwmark };
    return { device: { ...device, ...own }, drops };
  }

  /**
   * Changes the device.
   *
   * @throws {FfiError} If the port is another's, `EADDRINUSE` on Linux; nothing has changed then.
   */
  write(change: DeviceRequest): Promise<void> {
    return this.#serially(() => this.#write(change));
  }

  #serially(run: () => Promise<void>): Promise<void> {
    const done = this.#last.then(run);
    this.#last = done.catch(() => {});
    return done;
  }

  /** Tells the device the MTU of its TUN. */
  async setMtu(mtuBytes: number): Promise<void> {
    await this.#ask({ kind: "mtu", mtuBytes });
  }

  /** Shakes hands with all peers whose place is known: they may hold sessions that an earlier process had. */
  async greet(): Promise<void> {
    await this.#ask({ kind: "greet" });
  }

  /** Ends the data path, zeroes its keys and releases the interface. Twice is fine. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#failure === undefined) await this.#ask({ kind: "close" }).catch(() => {});
    this.#fail(new OverlayError("internal", `the device ${this.#tunnel.name} is closed`));
    await this.#released;
  }

  async #write(change: DeviceRequest): Promise<void> {
    const { listenPort: port, fwmark } = change;
    await this.#sockets.set({
      ...port === undefined ? {} : { port },
      ...fwmark === undefined ? {} : { fwmark },
    });
    await this.#ask({ kind: "configure", change });
  }

  /** What fails here fails because the device has ended, or is tried again. */
  #onSocketsLost(why: string): void {
    const start = (run: () => Promise<void>): void => void this.#serially(run).catch(() => {});
    start(() => this.#sockets.restore(why, start));
  }

  #ask(question: Question): Promise<unknown> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const id = ++this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#waiting.set(id, { resolve, reject });
    this.#worker.postMessage({ ...question, id });
    Atomics.add(this.#posted, 0, 1);
    this.#tunnel.wakeUp();
    return promise;
  }

  #settle(reply: WorkerReply): void {
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if (reply.ok) waiting?.resolve(reply.value);
    else waiting?.reject(new OverlayError("internal", reply.message));
  }

  #onFailure(why: string): void {
    const error = new OverlayError("internal", `the data path of ${this.#tunnel.name} has failed: ${why}`);
    if (this.#fail(error)) this.onFailure(error);
  }

  /** @returns False if it has before. */
  #fail(failure: Error): boolean {
    if (this.#failure !== undefined) return false;
    this.#failure = failure;
    for (const { reject } of this.#waiting.values()) reject(failure);
    this.#waiting.clear();
    this.#worker.terminate();
    this.#sockets[Symbol.dispose]();
    // The worker has ended its loop by an error or said that it is closed: it uses nothing of this any more.
    this.#released = this.#tunnel[Symbol.asyncDispose]();
    return true;
  }
}
