/**
 * Serves a `FakeService` on the socket path given as the argument, for tests that need the server in a process
 * of its own. Prints `listening`, and every warning, one a line.
 */

import { listenEndpoint } from "../../ipc/listener.ts";
import { IpcServer } from "../../ipc/server.ts";
import { FakeService } from "./fake_service.ts";

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

if (import.meta.main) {
  // Deno takes two descriptors for signals when its event loop begins to turn, and panics if there are none. As in the
  // daemon that has been done before anybody can connect.
  Deno.addSignalListener("SIGTERM", () => Deno.exit(0));
  const service = new FakeService();
  service.recording = false;
  const server = new IpcServer({
    service,
    onShutdown: () => Deno.exit(0),
    log: { debug: () => {}, warn: print },
  });
  const served = server.serve(await listenEndpoint(Deno.args[0]!));
  print("listening");
  await served;
}
