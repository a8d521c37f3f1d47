/**
 * The way to the Host Compute Network service: a call goes in, its reply comes back. On a node it leads through a
 * worker, since a call that hangs occupies one of the few threads of its isolate's pool, which the main isolate
 * needs for files and names.
 */

import { callHcn, type ComputeNetworkPaths } from "../../../ffi/computenetwork.ts";
import type { HcnCall, HcnLibrary, HcnReply } from "../../../ffi/computenetwork.ts";
import { LibraryError } from "../../../ffi/errors.ts";
import { OverlayError, UnavailableError, UnsupportedError } from "../../errors.ts";

/** This Windows has no such service: the feature that brings it is off, and with it everything that it had is gone. */
export class NoServiceError extends UnsupportedError {}

/** Makes calls; any number of them at once. */
export interface HcnChannel {
  /**
   * @returns The reply, whatever its HRESULT.
   * @throws {NoServiceError} Where there is no such service.
   * @throws {UnsupportedError} Where there is one, and its library cannot be loaded.
   * @throws {UnavailableError} If the channel is closed or broken.
   */
  call(call: HcnCall): Promise<HcnReply>;
  /** Ends it. Calls under way are rejected, and what they bring is lost. */
  close(): void;
}

/** What the worker is sent: first where the libraries are, then calls. */
export type ChannelRequest =
  | { readonly kind: "open"; readonly paths: ComputeNetworkPaths }
  | { readonly kind: "call"; readonly id: number; readonly call: HcnCall };

/** What it answers to a call. */
export type ChannelReply =
  | { readonly id: number; readonly ok: true; readonly reply: HcnReply }
  | { readonly id: number; readonly ok: false; readonly message: string; readonly fault: ChannelFault };

/** There is no library, it cannot be loaded, or the call itself went wrong. */
type ChannelFault = "absent" | "unusable" | "call";

/** A channel in this isolate. */
export function libraryChannel(library: HcnLibrary): HcnChannel {
  const closed = Promise.withResolvers<never>();
  closed.promise.catch(() => {});
  return {
    async call(call): Promise<HcnReply> {
      try {
        return await Promise.race([callHcn(library, call), closed.promise]);
      } catch (error) {
        throw error instanceof LibraryError ? toError(error.message, faultOf(error)) : error;
      }
    },
    close: () => closed.reject(new UnavailableError(CLOSED)),
  };
}

const CLOSED = "the channel to the Host Networking Service is closed";

/** The part of a worker's global scope that is used. */
export interface ChannelScope {
  onmessage: ((event: MessageEvent<ChannelRequest>) => void) | null;
  postMessage(reply: ChannelReply): void;
}

/** Serves a worker's side: each call runs by itself, and is answered when it returns. */
export function serveChannel(
  scope: ChannelScope,
  openLibrary: (paths: ComputeNetworkPaths) => HcnLibrary,
): void {
  let library: HcnLibrary | undefined;
  const serve = async (id: number, call: HcnCall): Promise<void> => {
    try {
      scope.postMessage({ id, ok: true, reply: await callHcn(library!, call) });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      scope.postMessage({ id, ok: false, message, fault: faultOf(error) });
    }
  };
  scope.onmessage = ({ data }) => {
    if (data.kind === "open") library = openLibrary(data.paths);
    else void serve(data.id, data.call);
  };
}

interface Waiting {
  readonly resolve: (reply: HcnReply) => void;
  readonly reject: (error: Error) => void;
}

/** A channel through a worker of its own. */
export class WorkerChannel implements HcnChannel {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  /** Calls that the library has not come back from, whether or not anybody waits. */
  #underWay = 0;
  #lastId = 0;
  #failure: Error | undefined;

  /** @param url Module of the worker, where it is not this program's own. */
  constructor(paths: ComputeNetworkPaths, url: URL = new URL("./worker.ts", import.meta.url)) {
    this.#worker = new Worker(url.href, { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<ChannelReply>) => this.#settle(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(new UnavailableError(`the worker of the Host Networking Service failed: ${event.message}`));
    };
    this.#worker.postMessage({ kind: "open", paths } satisfies ChannelRequest);
  }

  call(call: HcnCall): Promise<HcnReply> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#underWay++;
      this.#worker.postMessage({ kind: "call", id, call } satisfies ChannelRequest);
    });
  }

  close(): void {
    this.#fail(new UnavailableError(CLOSED));
  }

  #settle(reply: ChannelReply): void {
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    this.#underWay--;
    if (this.#failure !== undefined) this.#terminateIfIdle();
    if (reply.ok) waiting?.resolve(reply.reply);
    else waiting?.reject(toError(reply.message, reply.fault));
  }

  #fail(failure: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = failure;
    for (const { reject } of this.#waiting.values()) reject(failure);
    this.#waiting.clear();
    this.#terminateIfIdle();
  }

  /**
   * The memory that a call writes its answer to is the worker's, and would be gone with it: one that has calls under
   * way ends when the last is back, or with the process.
   */
  #terminateIfIdle(): void {
    if (this.#underWay === 0) this.#worker.terminate();
  }
}

function faultOf(error: unknown): ChannelFault {
  if (!(error instanceof LibraryError)) return "call";
  return error.isAbsent ? "absent" : "unusable";
}

function toError(why: string, fault: ChannelFault): OverlayError {
  switch (fault) {
    case "absent":
      return new NoServiceError(
        `this Windows has no Host Networking Service (${why}): enable the feature Containers or Hyper-V`,
      );
    case "unusable":
      return new UnsupportedError(
        `the library of the Host Networking Service cannot be loaded (${why}): repair it, or what keeps it from ` +
          "being loaded, and restart the daemon",
      );
    case "call":
      return new OverlayError("internal", why);
  }
}
