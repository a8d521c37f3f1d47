/**
 * Channels to the rig's computenetwork.dll for many nodes, one after the other: a worker that owes nothing when its
 * channel is closed serves the next, since starting one takes longer than most of what a test does with it.
 */
import { type HcnChannel, WorkerChannel } from "../../../core/backend/windows/channel.ts";
import { UnavailableError } from "../../../core/errors.ts";
import type { ComputeNetworkPaths, HcnReply } from "../../../ffi/computenetwork.ts";
import { fakePath } from "./fake_library.ts";

/** Where the rig's library is. */
export function fakePaths(): ComputeNetworkPaths {
  return { computenetwork: fakePath("computenetwork.dll"), ole32: "ole32.dll" };
}

/** See the module. */
export class ChannelPool implements Disposable {
  readonly #idle: WorkerChannel[] = [];
  /** Calls that were given to a worker and have not come back. */
  pending = 0;
  /** Calls that were given to a worker, ever: counted when they are made, before the library knows. */
  made = 0;

  /** Opens a channel. */
  open(): HcnChannel {
    const worker = this.#idle.pop() ?? new WorkerChannel(fakePaths());
    let owed = 0, isClosed = false;
    const add = (count: number): void => {
      owed += count;
      this.pending += count;
    };
    return {
      call: async (call): Promise<HcnReply> => {
        if (isClosed) throw new UnavailableError("the channel is closed");
        add(1);
        this.made++;
        try {
          return await worker.call(call);
        } finally {
          add(-1);
        }
      },
      close: () => {
        if (isClosed) return;
        isClosed = true;
        if (owed > 0) worker.close();
        else this.#idle.push(worker);
      },
    };
  }

  [Symbol.dispose](): void {
    for (const worker of this.#idle) worker.close();
  }
}
