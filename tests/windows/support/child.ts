/**
 * A process for the smoke tests: does what its first argument names, says so on stdout, and waits to be killed.
 *
 * `lock DIR` takes a data directory; `state PATH` commits to a state database; `log` logs through the daemon's writer
 * and listens for signals as the daemon does, without waiting.
 */
import { lockDataDir } from "../../../core/data_dir.ts";
import { readEnvironment } from "../../../core/environment.ts";
import { startLogging } from "../../../core/logging/start.ts";
import { handleSignals } from "../../../core/signals.ts";
import { resolveConfig } from "../../../core/config.ts";
import { openStateStore } from "../../../core/state/state_store.ts";

const [what, path = ""] = Deno.args;
switch (what) {
  case "lock":
    await lockDataDir(path, { create: true });
    break;
  case "state":
    await openStateStore(path).commit("test", (write) => write.setting("hostSettings", { a: "1" }));
    break;
  case "log": {
    const environment = readEnvironment();
    handleSignals({ stop: () => {}, force: () => {} }, {
      os: environment.os,
      terminal: environment.terminal,
    });
    const logging = startLogging(resolveConfig({}, environment), "json");
    for (let n = 0; n < 2000; n++) logging.log("test").info("line", { n });
    await logging.flush(5000);
    Deno.exit(7);
  }
}
await Deno.stdout.write(new TextEncoder().encode(`done ${what}\n`));
setInterval(() => {}, 60_000);
