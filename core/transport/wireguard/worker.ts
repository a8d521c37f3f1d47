/**
 * The worker of a device. It runs the data path until a request was posted, handles that, and goes on.
 *
 * Requests are counted in shared memory before the wake-up, so it knows how many messages its event loop still
 * has to bring before it may block again.
 */

import type { DeviceReport } from "./control_plane.ts";
import { DataPlane, type PlaneListener } from "./data_plane.ts";
import { withoutKeys } from "./device_config.ts";
import { LinuxSystem } from "./linux_system.ts";
import type { WorkerFailure, WorkerNews, WorkerReply, WorkerRequest, WorkerSocketsLost } from "./messages.ts";
import type { PacketPlane, PlaneStart } from "./packet_plane.ts";
import { WindowsSystem } from "./windows_system.ts";

/** The part of a worker's global scope that is used. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<WorkerRequest>) => void) | null;
  postMessage(message: WorkerReply | WorkerNews | WorkerSocketsLost | WorkerFailure): void;
  close(): void;
}

class DeviceWorker {
  readonly #scope: WorkerScope;
  #plane: PacketPlane | undefined;
  #posted: Int32Array | undefined;
  #handled = 0;
  #isClosed = false;
  #resume = (): void => {};

  constructor(scope: WorkerScope) {
    this.#scope = scope;
    scope.onmessage = ({ data }) => this.#onRequest(data);
  }

  async run(): Promise<void> {
    try {
      await this.#run();
    } catch (error) {
      this.#scope.postMessage({ failure: textOf(error) });
    }
    this.#scope.close();
  }

  async #run(): Promise<void> {
    while (!this.#isClosed) {
      if (this.#plane !== undefined && !this.#isInterrupted()) this.#move(this.#plane);
      await new Promise<void>((resolve) => this.#resume = resolve);
    }
  }

  /** What the data path has opened and the keys that libraries hold would outlive this thread. */
  #move(plane: PacketPlane): void {
    try {
      plane.run(() => this.#isInterrupted());
    } catch (error) {
      plane.close();
      throw error;
    }
  }

  #isInterrupted(): boolean {
    return Atomics.load(this.#posted!, 0) !== this.#handled;
  }

  #onRequest(request: WorkerRequest): void {
    this.#scope.postMessage(this.#answer(request));
    this.#handled = (this.#handled + 1) | 0;
    if (this.#isClosed || !this.#isInterrupted()) this.#resume();
  }

  #answer(request: WorkerRequest): WorkerReply {
    try {
      return { id: request.id, ok: true, value: this.#handle(request) };
    } catch (error) {
      return { id: request.id, ok: false, message: textOf(error) };
    }
  }

  #handle(request: WorkerRequest): unknown {
    if (request.kind === "open") {
      this.#posted = new Int32Array(request.posted);
      this.#plane = openPlane(request.start, {
        onNews: (news) => this.#scope.postMessage({ news }),
        onSocketsLost: (socketsLost) => this.#scope.postMessage({ socketsLost }),
      });
      return this.#plane.cryptoName;
    }
    const plane = this.#plane!;
    switch (request.kind) {
      case "sockets":
        return plane.setSockets(request.fds);
      case "mtu":
        return plane.setMtu(request.mtuBytes);
      case "configure":
        return plane.configure(request.change);
      case "greet":
        return plane.greet();
      case "describe":
        return request.withKeys ? plane.describe() : reportWithoutKeys(plane);
      case "close":
        this.#isClosed = true;
        return plane.close();
    }
  }
}

function reportWithoutKeys(plane: PacketPlane): DeviceReport {
  const { device, drops } = plane.describe();
  return { device: withoutKeys(device), drops };
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A worker has one of these, so the calls into it are of one kind. */
function openPlane(start: PlaneStart, listener: PlaneListener): PacketPlane {
  const system = start.system === "windows"
    ? new WindowsSystem(start)
    : new LinuxSystem({ tun: start.tunFd, wakeUp: start.wakeUpFd });
  return new DataPlane(system, listener);
}

// Nobody posts to the main isolate, which may load this module as any other.
if ("postMessage" in globalThis) void new DeviceWorker(self as unknown as WorkerScope).run();
