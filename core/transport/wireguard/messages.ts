/** What main isolate and worker of a device say to each other. */

import type { DeviceRequest } from "./device_config.ts";
import type { NewsItem } from "./news.ts";
import type { PlaneStart, SocketFds } from "./packet_plane.ts";

/** Something asked of the worker; answered by a {@linkcode WorkerReply} with the same number. */
export type WorkerRequest =
  & { readonly id: number }
  & (
    | {
      readonly kind: "open";
      readonly start: PlaneStart;
      /** One Int32: how many requests were posted. */
      readonly posted: SharedArrayBuffer;
    }
    | { readonly kind: "sockets"; readonly fds: SocketFds }
    | { readonly kind: "mtu"; readonly mtuBytes: number }
    | { readonly kind: "configure"; readonly change: DeviceRequest }
    | { readonly kind: "greet" }
    | { readonly kind: "describe"; readonly withKeys: boolean }
    | { readonly kind: "close" }
  );

/** The answer. */
export type WorkerReply =
  | { readonly id: number; readonly ok: true; readonly value?: unknown }
  | { readonly id: number; readonly ok: false; readonly message: string };

/** What the worker says unasked. */
export interface WorkerNews {
  readonly news: readonly NewsItem[];
}

/** Said when the sockets of a device will not work again. */
export interface WorkerSocketsLost {
  readonly socketsLost: string;
}

/** The last thing a worker says whose data path has ended by an error. */
export interface WorkerFailure {
  readonly failure: string;
}
