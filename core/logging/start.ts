/** Sets logging up from the configuration; the first thing the daemon does. */
import type { DaemonConfig } from "../config.ts";
import { isLogged } from "../log_filter.ts";
import { configureLogging, type Logging } from "./configure.ts";
import { jsonFormatter, textFormatter } from "./format.ts";
import { BoundedWriter } from "./writer.ts";

/** Logs to stdout in the wanted form, under the filter of `RUST_LOG`. */
export function startLogging(
  config: Pick<DaemonConfig, "logFilter" | "colour">,
  form: "text" | "json",
): Logging {
  const format = form === "json" ? jsonFormatter() : textFormatter({ color: config.colour });
  const writer = new BoundedWriter(Deno.stdout);
  return configureLogging(writer, format, (target, level) => isLogged(config.logFilter, target, level));
}
