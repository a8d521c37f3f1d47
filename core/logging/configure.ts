/**
 * Connects the program's {@linkcode Log} to LogTape, and LogTape to a bounded writer.
 *
 * LogTape does the routing, so that libraries which log through it land in the same stream under the same
 * filter; form, redaction and back-pressure are ours.
 */
import { configureSync, getLogger, type LogRecord } from "@logtape/logtape";
import type { Log, LogFields } from "../log.ts";
import type { Formatter, LogLevel } from "./format.ts";
import type { BoundedWriter } from "./writer.ts";

/** First part of every target, as the Rust daemon's, so that `RUST_LOG=zlayer_overlayd=debug` goes on working. */
export const ROOT_TARGET = "zlayer_overlayd";

/** Whether records of that target and level are wanted. */
export type LevelFilter = (target: string, level: LogLevel) => boolean;

/** The configured log. */
export interface Logging {
  /** The log of one part of the program: target `zlayer_overlayd::<part>`, or the root without a part. */
  log(part?: string): Log;
  /** Waits until all is written, at most `timeoutMs`. */
  flush(timeoutMs: number): Promise<void>;
}

/** Configures LogTape for this process; a second call replaces the first. */
export function configureLogging(writer: BoundedWriter, format: Formatter, filter: LevelFilter): Logging {
  configureSync({
    reset: true,
    sinks: { stdout: (record) => writeRecord(record, writer, format) },
    filters: { env: (record) => filter(targetOf(record.category), levelOf(record.level)) },
    loggers: [
      { category: [], lowestLevel: "trace", sinks: ["stdout"], filters: ["env"] },
      { category: ["logtape", "meta"], lowestLevel: "warning", sinks: ["stdout"] },
    ],
  });
  return {
    log: (part?: string) => logOf(part === undefined ? [ROOT_TARGET] : [ROOT_TARGET, part], filter),
    async flush(timeoutMs: number): Promise<void> {
      await writer.flush(timeoutMs);
    },
  };
}

/** One category as a {@linkcode Log}. The filter is asked first: a record nobody wants costs one look-up. */
function logOf(category: string[], filter: LevelFilter): Log {
  const logger = getLogger(category);
  const target = targetOf(category);
  const enabled: Readonly<Record<LogLevel, boolean>> = {
    error: filter(target, "error"),
    warn: filter(target, "warn"),
    info: filter(target, "info"),
    debug: filter(target, "debug"),
    trace: filter(target, "trace"),
  };
  return {
    debug(message: string, fields: LogFields = {}): void {
      if (enabled.debug) logger.debug(message, { ...fields });
    },
    info(message: string, fields: LogFields = {}): void {
      if (enabled.info) logger.info(message, { ...fields });
    },
    warn(message: string, fields: LogFields = {}): void {
      if (enabled.warn) logger.warning(message, { ...fields });
    },
    error(message: string, fields: LogFields = {}): void {
      if (enabled.error) logger.error(message, { ...fields });
    },
  };
}

function writeRecord(record: LogRecord, writer: BoundedWriter, format: Formatter): void {
  if (!writer.hasRoom) return writer.drop();
  reportDropped(record, writer, format);
  writer.write(format({
    timeMs: record.timestamp,
    level: levelOf(record.level),
    target: targetOf(record.category),
    message: rawMessage(record),
    fields: record.properties,
  }));
}

/** Says how many records were lost, as soon as the stream takes records again. */
function reportDropped(record: LogRecord, writer: BoundedWriter, format: Formatter): void {
  if (writer.dropped === 0) return;
  const fields = { records: writer.takeDropped() };
  const entry = { timeMs: record.timestamp, level: "warn", target: `${ROOT_TARGET}::log`, fields } as const;
  writer.write(format({ ...entry, message: "log records dropped: they were not taken in time" }));
}

/** The message as it was given; LogTape would replace `{…}` in it. */
function rawMessage(record: LogRecord): string {
  return typeof record.rawMessage === "string" ? record.rawMessage : record.message.map(String).join("");
}

function targetOf(category: readonly string[]): string {
  return category.join("::");
}

/** LogTape's levels in the words of RUST_LOG. */
function levelOf(level: LogRecord["level"]): LogLevel {
  if (level === "warning") return "warn";
  return level === "fatal" ? "error" : level;
}
