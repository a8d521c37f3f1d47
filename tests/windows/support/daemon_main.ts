/**
 * The whole program on the rig's computenetwork.dll, devices those of a fake host. At its end it writes what its fake
 * counted into the file that `ZT_REPORT` names. With `ZT_NO_HNS` there is no such library.
 */
import type { OpenBackend } from "../../../core/backend/select.ts";
import { FakeBackend } from "../../../core/backend/fake.ts";
import { FakeHost } from "../../../core/backend/fake_host.ts";
import { WindowsBackend } from "../../../core/backend/windows.ts";
import { HcnContainers, workerChannels } from "../../../core/backend/windows/containers.ts";
import { systemClock } from "../../../core/clock.ts";
import { openEngine } from "../../../core/open_engine.ts";
import { derivePublicKey } from "../../../core/wireguard/keys.ts";
import { main } from "../../../main.ts";
import { FakeLibrary } from "./fake_library.ts";
import { fakePaths } from "./channel_pool.ts";

const isMissing = Deno.env.has("ZT_NO_HNS");
const paths = isMissing
  ? { computenetwork: "Z:\\nowhere\\computenetwork.dll", ole32: "ole32.dll" }
  : fakePaths();

const openBackend: OpenBackend = (log, { marker }) => {
  const devices = new FakeBackend(new FakeHost(derivePublicKey));
  const containers = new HcnContainers({
    openChannel: workerChannels(paths),
    marker,
    clock: systemClock(),
    log,
  });
  return Promise.resolve(new WindowsBackend({ containers, devices }));
};

const code = await main(Deno.args, (config, log) => openEngine(config, log, { openBackend }), {
  openBackend,
});
const report = Deno.env.get("ZT_REPORT");
if (report !== undefined) {
  using fake = new FakeLibrary("computenetwork.dll", { keep: true });
  const { violations, counters } = { violations: fake.violations(), counters: fake.counters() };
  Deno.writeTextFileSync(report, JSON.stringify({ violations, counters }));
}
Deno.exit(code);
