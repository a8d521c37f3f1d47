/**
 * The daemon with a scripted engine, for tests that run it as a process. Files in the data directory steer it:
 *
 * | file | effect |
 * | --- | --- |
 * | `hold-start` | the engine opens when it is gone |
 * | `fail-start` | the engine fails to open, with its text |
 * | `hang-close` | the engine never closes |
 * | `hold-tick` | `nat_tick` is answered when it is gone |
 * | `ticking` | made by `nat_tick` when it begins |
 */
import { join } from "@std/path";
import { OverlayError } from "../../../core/errors.ts";
import { main, type OpenEngine } from "../../../main.ts";
import type { ServiceEvents } from "../../../core/windows_service/events.ts";
import { FakeService } from "../fake_service.ts";

const openEngine: OpenEngine = async ({ dataDir }) => {
  await gone(join(dataDir, "hold-start"));
  const failure = await Deno.readTextFile(join(dataDir, "fail-start")).catch(() => undefined);
  if (failure !== undefined) throw new OverlayError("internal", failure);
  const service = new FakeService();
  service.natTick = async () => {
    await Deno.writeTextFile(join(dataDir, "ticking"), "");
    await gone(join(dataDir, "hold-tick"));
  };
  return { service, cleanup: () => Promise.resolve(), close: () => gone(join(dataDir, "hang-close")) };
};

/** Waits until there is no such file. */
async function gone(path: string): Promise<void> {
  while (await Deno.stat(path).then(() => true, () => false)) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Events of the service, one line each, in the file that the environment names. */
function fileEvents(path: string): ServiceEvents {
  const write = (kind: string, text: string): void =>
    Deno.writeTextFileSync(path, `${kind} ${text.replaceAll("\n", " ")}\n`, { append: true });
  return {
    started: (text) => write("started", text),
    stopped: (text) => write("stopped", text),
    failed: (text) => write("failed", text),
  };
}

if (import.meta.main) {
  const path = Deno.env.get("ZT_EVENTS");
  Deno.exit(await main(Deno.args, openEngine, path === undefined ? {} : { events: fileEvents(path) }));
}
