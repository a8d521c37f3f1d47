/** Sets logging up from the configuration; the first thing the daemon does. */
import { dirname } from "@std/path";
import type { DaemonConfig } from "../config.ts";
import { makeDataDir } from "../data_dir.ts";
import { isLogged } from "../log_filter.ts";
import { configureLogging, type Logging } from "./configure.ts";
import { jsonFormatter, textFormatter } from "./format.ts";
import { RotatingFile } from "./rotating_file.ts";
import { BoundedWriter } from "./writer.ts";

/** Logs to stdout, or to the file of the configuration, in the wanted form, under the filter of `RUST_LOG`. */
export function startLogging(
  config: Pick<DaemonConfig, "dataDir" | "logFile" | "logFilter" | "colour">,
  form: "text" | "json",
): Logging {
  const { dataDir, logFile, logFilter, colour } = config;
  const format = form === "json" ? jsonFormatter() : textFormatter({ color: colour });
  const writer = new BoundedWriter(logFile === undefined ? Deno.stdout : fileOf(logFile, dataDir));
  return configureLogging(writer, format, (target, level) => isLogged(logFilter, target, level));
}

/** The data directory is not there at the first start, and it is private from its first moment. */
function fileOf(path: string, dataDir: string): RotatingFile {
  return new RotatingFile(path, {
    async makeDirectory(): Promise<void> {
      await makeDataDir(dataDir);
      await Deno.mkdir(dirname(path), { recursive: true, mode: 0o700 });
    },
  });
}
