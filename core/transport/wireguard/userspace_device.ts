/**
 * A WireGuard device in user space, as the main isolate sees it: it owns interface and sockets, the worker moves the
 * packets. Reads and changes are those of a kernel device.
 */

import type { WireGuardDevice } from "../../../ffi/netlink/wireguard.ts";
import { OverlayError } from "../../errors.ts";
import type { DeviceReport } from "./control_plane.ts";
import type { DeviceRequest } from "./device_config.ts";
import type { WorkerFailure, WorkerNews, WorkerReply, WorkerRequest } from "./messages.ts";
import type { NewsItem } from "./news.ts";
import type { DeviceSockets, Tunnel } from "./packet_plane.ts";

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
  #sockets: DeviceSockets | undefined;
  #listenPort = 0;
  #fwmark = 0;
  #failure: Error | undefined;
  /** Changes wait for each other. */
  #last: Promise<unknown> = Promise.resolve();
  #released: Promise<void> = Promise.resolve();
  /** Library that encrypts packets. */
  cryptoName = "";
  /** Told what the device learns of its peers, a few times a second at most. */
  onNews: (news: readonly NewsItem[]) => void = () => {};
  /** Told once if the data path ends by an error; nothing of the device works from then on. */
  onFailure: (error: Error) => void = () => {};

  private constructor(tunnel: Tunnel) {
    this.#tunnel = tunnel;
    this.#worker = new Worker(new URL("./worker.ts", import.meta.url).href, { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<WorkerReply | WorkerNews | WorkerFailure>) => {
      if ("news" in data) this.onNews(data.news);
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
    const own = { name: this.#tunnel.name, listenPort: this.#listenPort, fwmark: this.#fwmark };
    return { device: { ...device, ...own }, drops };
  }

  /**
   * Changes the device.
   *
   * @throws {FfiError} If the port is another's, `EADDRINUSE` on Linux; nothing has changed then.
   */
  write(change: DeviceRequest): Promise<void> {
    const done = this.#last.then(() => this.#write(change));
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
    await this.#bind(change);
    await this.#ask({ kind: "configure", change });
  }

  async #bind({ listenPort, fwmark }: WireGuardDevice): Promise<void> {
    if (fwmark !== undefined && fwmark !== this.#fwmark) {
      this.#sockets?.mark(fwmark);
      this.#fwmark = fwmark;
    }
    if (this.#sockets !== undefined && (listenPort === undefined || listenPort === this.#listenPort)) return;
    using undo = new DisposableStack();
    const sockets = undo.use(this.#tunnel.bind(listenPort ?? 0, this.#fwmark));
    await this.#ask({ kind: "sockets", fds: sockets.fds });
    undo.move();
    this.#sockets?.[Symbol.dispose]();
    this.#sockets = sockets;
    this.#listenPort = sockets.port;
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
    this.#sockets?.[Symbol.dispose]();
    // The worker has ended its loop by an error or said that it is closed: it uses nothing of this any more.
    this.#released = this.#tunnel[Symbol.asyncDispose]();
    return true;
  }
}
