import { assertEquals } from "@std/assert";
import { getLogger } from "@logtape/logtape";
import { configureLogging } from "../../../core/logging/configure.ts";
import type { LogEntry, LogLevel } from "../../../core/logging/format.ts";
import { BoundedWriter } from "../../../core/logging/writer.ts";

function capture(filter: (target: string, level: LogLevel) => boolean = () => true): {
  entries: LogEntry[];
  logging: ReturnType<typeof configureLogging>;
} {
  const entries: LogEntry[] = [];
  const writer = new BoundedWriter({ write: (bytes) => Promise.resolve(bytes.length) });
  const logging = configureLogging(writer, (entry) => {
    entries.push(entry);
    return "";
  }, filter);
  return { entries, logging };
}

Deno.test("configureLogging() gives records their target, level, message and fields", () => {
  const { entries, logging } = capture();
  logging.log("ipc").warn("took {long}", { ms: 5 });
  logging.log().info("started");
  assertEquals(entries.map(({ target, level, message, fields }) => ({ target, level, message, fields })), [
    { target: "zlayer_overlayd::ipc", level: "warn", message: "took {long}", fields: { ms: 5 } },
    { target: "zlayer_overlayd", level: "info", message: "started", fields: {} },
  ]);
});

Deno.test("configureLogging() asks the filter for our records and for those of libraries", () => {
  const { entries, logging } = capture((target, level) =>
    target === "zlayer_overlayd::ipc" || level === "error"
  );
  logging.log("ipc").debug("kept");
  logging.log("engine").debug("dropped");
  logging.log("engine").error("kept too");
  getLogger(["library"]).info("dropped");
  getLogger(["library"]).error("kept as well");
  assertEquals(entries.map((entry) => `${entry.target} ${entry.message}`), [
    "zlayer_overlayd::ipc kept",
    "zlayer_overlayd::engine kept too",
    "library kept as well",
  ]);
});

Deno.test("configureLogging() says how many records were lost", async () => {
  const lines: string[] = [];
  let open = (): void => {};
  const gate = new Promise<void>((resolve) => open = resolve);
  const writer = new BoundedWriter({
    write: async (bytes) => {
      await gate;
      lines.push(...new TextDecoder().decode(bytes).trimEnd().split(/ ?\n/));
      return bytes.length;
    },
  }, { limitBytes: 60 });
  const logging = configureLogging(
    writer,
    (entry) => `${entry.message} ${entry.fields["records"] ?? ""}\n`,
    () => true,
  );
  const log = logging.log();
  for (let i = 0; i < 10; i++) log.info("0123456789");
  open();
  await logging.flush(5_000);
  log.info("after");
  await logging.flush(5_000);
  assertEquals(lines, [
    ...Array.from({ length: 5 }, () => "0123456789"),
    "log records dropped: they were not taken in time 5",
    "after",
  ]);
});
