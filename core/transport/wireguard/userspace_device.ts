/**
 * A WireGuard device in user space, as the main isolate sees it: it owns the descriptors, the worker moves the
 * packets. Reads and changes are those of a kernel device.
 */

import type { LinuxTun } from "../../../ffi/linux_tun.ts";
import type { WireGuardDevice } from "../../../ffi/netlink/wireguard.ts";
import { WakeUp } from "../../../ffi/poll_set.ts";
import { OverlayError } from "../../errors.ts";
import type { DeviceReport } from "./data_plane.ts";
import type { DeviceRequest } from "./device_config.ts";
import type { WorkerNews, WorkerReply, WorkerRequest } from "./messages.ts";
import type { NewsItem } from "./news.ts";
import { UdpSockets } from "./udp_sockets.ts";

/** A request without its number. */
type Question = WorkerRequest extends infer R ? R extends WorkerRequest ? Omit<R, "id"> : never : never;

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** See the module. */
export class UserspaceDevice implements AsyncDisposable {
  readonly #tun: LinuxTun;
  readonly #wakeUp = new WakeUp();
  readonly #posted = new Int32Array(new SharedArrayBuffer(4));
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #sockets: UdpSockets | undefined;
  #listenPort = 0;
  #fwmark = 0;
  #failure: Error | undefined;
  /** Changes wait for each other. */
  #last: Promise<unknown> = Promise.resolve();
  /** Library that encrypts packets. */
  cryptoName = "";
  /** Told what the device learns of its peers, a few times a second at most. */
  onNews: (news: readonly NewsItem[]) => void = () => {};
  /** Told why the data path has ended by an error. */
  onFailure: (failure: Error) => void = () => {};

  private constructor(tun: LinuxTun) {
    this.#tun = tun;
    this.#worker = new Worker(new URL("./worker.ts", import.meta.url).href, { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<WorkerReply | WorkerNews>) => {
      if ("news" in data) this.onNews(data.news);
      else this.#settle(data);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      const failure = new OverlayError(
        "internal",
        `the data path of ${tun.name} has failed: ${event.message}`,
      );
      if (this.#fail(failure)) this.onFailure(failure);
    };
  }

  /**
   * Starts the data path of a TUN device, which is closed with it, and also when that fails. Without keys and
   * sockets so far.
   *
   * @throws {OverlayError} If the data path cannot work with the device.
   */
  static async start(tun: LinuxTun): Promise<UserspaceDevice> {
    await using undo = new AsyncDisposableStack();
    const device = undo.use(new UserspaceDevice(tun));
    device.cryptoName = await device.#ask({
      kind: "open",
      tunFd: tun.fd,
      wakeUpFd: device.#wakeUp.fd,
      posted: device.#posted.buffer as SharedArrayBuffer,
    }) as string;
    undo.move();
    return device;
  }

  /** Whether the data path has ended by an error. */
  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** Whether the data path works and its link is there; costs far less than to ask for the link. */
  get isAlive(): boolean {
    return this.#failure === undefined && this.#tun.isAttached;
  }

  /** Reads the device. */
  async read(): Promise<WireGuardDevice> {
    return (await this.report()).device;
  }

  /** Reads the device and what it has dropped. */
  async report(): Promise<DeviceReport> {
    const { device, drops } = await this.#ask({ kind: "describe" }) as DeviceReport;
    const own = { name: this.#tun.name, listenPort: this.#listenPort, fwmark: this.#fwmark };
    return { device: { ...device, ...own }, drops };
  }

  /**
   * Changes the device.
   *
   * @throws {ErrnoError} `EADDRINUSE`: the port is another's; nothing has changed then.
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

  /** Ends the data path and zeroes its keys. A TUN device that is persistent stays. Twice is fine. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#failure === undefined) await this.#ask({ kind: "close" }).catch(() => {});
    this.#fail(new OverlayError("internal", `the device ${this.#tun.name} is closed`));
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
    const sockets = undo.use(UdpSockets.bind(listenPort ?? 0, this.#fwmark));
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
    this.#wakeUp.signal();
    return promise;
  }

  #settle(reply: WorkerReply): void {
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if (reply.ok) waiting?.resolve(reply.value);
    else waiting?.reject(new OverlayError("internal", reply.message));
  }

  /** @returns False if it had ended before. */
  #fail(failure: Error): boolean {
    if (this.#failure !== undefined) return false;
    this.#failure = failure;
    for (const { reject } of this.#waiting.values()) reject(failure);
    this.#waiting.clear();
    this.#worker.terminate();
    this.#sockets?.[Symbol.dispose]();
    this.#tun[Symbol.dispose]();
    this.#wakeUp[Symbol.dispose]();
    return true;
  }
}
