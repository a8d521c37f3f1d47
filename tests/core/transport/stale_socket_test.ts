import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { findStaleControlSockets, isStaleSocket } from "../../../core/transport/stale_socket.ts";
import { unixTest } from "../../support/unix_test.ts";

/** What a killed process leaves. */
async function leaveSocket(path: string): Promise<void> {
  const listener = Deno.listen({ transport: "unix", path: `${path}.tmp` });
  await Deno.rename(`${path}.tmp`, path);
  listener.close();
}

unixTest(
  "findStaleControlSockets() finds sockets of our devices that nobody listens on, and nothing else",
  async () => {
    const dir = await Deno.makeTempDir({ prefix: "zt" });
    try {
      for (const name of ["zl-gone-g.sock", "zl-b.sock", "wg0.sock"]) await leaveSocket(join(dir, name));
      await Deno.writeTextFile(join(dir, "zl-file.sock"), "no socket");
      using _live = Deno.listen({ transport: "unix", path: join(dir, "zl-live.sock") });
      const found = await findStaleControlSockets(dir);
      assertEquals(found, [join(dir, "zl-b.sock"), join(dir, "zl-gone-g.sock")]);
      assertEquals(await isStaleSocket(join(dir, "wg0.sock")), true);
      assertEquals(await isStaleSocket(join(dir, "zl-live.sock")), false);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
    assertEquals(await findStaleControlSockets(join(dir, "none")), []);
  },
);
