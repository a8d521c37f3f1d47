/** The worker that makes the calls of {@linkcode WorkerChannel}. */

import { openComputeNetwork } from "../../../ffi/computenetwork.ts";
import { type ChannelScope, serveChannel } from "./channel.ts";

// Nobody posts to the main isolate, which may load this module as any other.
if ("postMessage" in globalThis) serveChannel(self as unknown as ChannelScope, openComputeNetwork);
