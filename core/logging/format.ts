/**
 * Log records as lines: `time LEVEL target: message key=value …`, or one JSON object. Pure.
 *
 * A record is always exactly one line: control characters are escaped, in values as in messages, so that
 * nothing a peer or a container chose can forge a record or move a terminal's cursor.
 */
import type { LogFields } from "../log.ts";
import { safeFields } from "./redact.ts";

/** Severity, most severe first. */
export type LogLevel = "error" | "warn" | "info" | "debug" | "trace";

/** A record before formatting. */
export interface LogEntry {
  /** Unix time in milliseconds. */
  readonly timeMs: number;
  readonly level: LogLevel;
  /** `zlayer_overlayd` and the part of it, joined by `::`. */
  readonly target: string;
  readonly message: string;
  readonly fields: LogFields;
}

/** Makes one line, with its newline. */
export type Formatter = (entry: LogEntry) => string;

const COLORS: Readonly<Record<LogLevel, string>> = {
  error: "31",
  warn: "33",
  info: "32",
  debug: "34",
  trace: "35",
};

/** The text form. */
export function textFormatter(options: { color: boolean }): Formatter {
  return (entry) => {
    const level = entry.level.toUpperCase().padStart(5);
    const shown = options.color ? `\x1b[${COLORS[entry.level]}m${level}\x1b[0m` : level;
    const time = new Date(entry.timeMs).toISOString();
    const fields = Object.entries(safeFields(entry.fields)).map(([name, value]) =>
      ` ${name}=${textValue(value)}`
    );
    return `${time} ${shown} ${entry.target}: ${escapeControls(entry.message)}${fields.join("")}\n`;
  };
}

/** JSON lines: `time`, `level`, `target`, `message`, `fields`. */
export function jsonFormatter(): Formatter {
  return (entry) =>
    JSON.stringify({
      time: new Date(entry.timeMs).toISOString(),
      level: entry.level,
      target: entry.target,
      message: entry.message,
      fields: safeFields(entry.fields),
    }) + "\n";
}

/** A value bare when it is one word, else as JSON. */
function textValue(value: unknown): string {
  if (typeof value !== "string") return escapeControls(JSON.stringify(value));
  return /^[^\s"=\\\p{C}]+$/u.test(value) ? value : escapeControls(JSON.stringify(value));
}

/** Control, format and line-separating characters as `\u….`. */
function escapeControls(text: string): string {
  return text.replaceAll(
    /[\p{Cc}\p{Cf}\u2028\u2029]/gu,
    (character) => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`,
  );
}
