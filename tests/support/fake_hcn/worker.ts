/** A worker like that of the HCN channel, on a fake library. A call for a network of this id never comes back. */
import { type ChannelScope, serveChannel } from "../../../core/backend/windows/channel.ts";
import { LibraryError } from "../../../ffi/errors.ts";
import { FakeHcnLibrary } from "./library.ts";
import { FakeHns } from "./service.ts";

/** Opening it hangs. */
export const STUCK_ID = "00000000-dead-4ead-8ead-000000000000";

const scope = globalThis as unknown as ChannelScope;
if ("postMessage" in globalThis) {
  serveChannel(scope, ({ computenetwork }) => {
    const library = new FakeHcnLibrary(new FakeHns(() => 0));
    return {
      invoke: (call) => {
        if (computenetwork === "missing") throw new LibraryError("missing", { isAbsent: true });
        if (computenetwork === "crash") setTimeout(() => Promise.reject(new Error("worker crashed")), 0);
        if (call.id === STUCK_ID || computenetwork === "crash") return new Promise(() => {});
        return library.invoke(call);
      },
      readText: (address) => library.readText(address),
      freeText: (address) => library.freeText(address),
    };
  });
}
