import { assertEquals } from "@std/assert";
import { FakeBackend } from "../../core/backend/fake.ts";
import { FakeHost } from "../../core/backend/fake_host.ts";
import { resolveConfig } from "../../core/config.ts";
import { SILENT_LOG } from "../../core/log.ts";
import { openEngine } from "../../core/open_engine.ts";
import { derivePublicKey } from "../../core/wireguard/keys.ts";

/** A backend that takes a moment to let go of its devices, as that of Windows does. */
class SlowToClose extends FakeBackend {
  isClosed = false;

  override async close(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 10));
    super.close();
    this.isClosed = true;
  }
}

Deno.test("the engine is closed when its backend is: a service that reports STOPPED has no devices left", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "zt" });
  try {
    const backend = new SlowToClose(new FakeHost(derivePublicKey));
    const config = resolveConfig({ dataDir }, { os: Deno.build.os, euid: 1000, terminal: false, env: {} });
    const engine = await openEngine(config, () => SILENT_LOG, {
      openBackend: () => Promise.resolve(backend),
    });
    await engine.close();
    assertEquals(backend.isClosed, true);
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
});
