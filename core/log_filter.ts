/**
 * The log filter of `RUST_LOG`: which targets log from which level on.
 *
 * A comma list of `level`, `target=level` and `target` (everything of it), as users of Rust programs write it.
 * The most specific target wins, the later of equal ones. A filter that names targets only leaves the others
 * off, as it does in Rust.
 */

/** Levels from nothing to everything. */
export type LogLevel = "off" | "error" | "warn" | "info" | "debug" | "trace";

/** A parsed filter. */
export interface LogFilter {
  /** Level of targets that no directive names. */
  readonly fallback: LogLevel;
  /** Levels of named targets, split into components; the most specific first. */
  readonly targets: readonly { readonly path: readonly string[]; readonly level: LogLevel }[];
}

const LEVELS: readonly LogLevel[] = ["off", "error", "warn", "info", "debug", "trace"];
const DIRECTIVE = /^(?:([A-Za-z0-9_.:-]+)=)?([A-Za-z0-9_.:-]+)$/;
/** The whole program, as the crate and the executable are spelt: what follows in a target is ours. */
const PROGRAM = new Set(["zlayer_overlayd", "zlayer-overlayd"]);

/** What an unset or unparsable filter means. */
export const DEFAULT_LOG_FILTER: LogFilter = { fallback: "info", targets: [] };

/** Parses a filter. Never fails: text that is none means `info`. */
export function parseLogFilter(text: string | undefined): LogFilter {
  const parts = (text ?? "").split(",").map((part) => part.trim()).filter((part) => part !== "");
  if (parts.length === 0) return DEFAULT_LOG_FILTER;
  const targets: { path: readonly string[]; level: LogLevel }[] = [];
  let fallback: LogLevel = "off";
  for (const part of parts) {
    const directive = parseDirective(part);
    if (!directive) return DEFAULT_LOG_FILTER;
    if (directive.path.length === 0) fallback = directive.level;
    else targets.unshift(directive);
  }
  return { fallback, targets: targets.toSorted((a, b) => b.path.length - a.path.length) };
}

/** The level from which on a target logs. Components of a target are parted by `::` or `.`. */
export function levelOf(filter: LogFilter, target: string): LogLevel {
  const path = targetPath(target);
  const match = filter.targets.find((one) => one.path.every((part, i) => part === path[i]));
  return match?.level ?? filter.fallback;
}

/** Whether a record of this level passes. */
export function isLogged(filter: LogFilter, target: string, level: LogLevel): boolean {
  return level !== "off" && LEVELS.indexOf(level) <= LEVELS.indexOf(levelOf(filter, target));
}

function parseDirective(text: string): { path: readonly string[]; level: LogLevel } | undefined {
  const [, target, word] = DIRECTIVE.exec(text) ?? [];
  if (word === undefined) return undefined;
  const level = parseLevel(word);
  if (target === undefined) return level ? { path: [], level } : { path: targetPath(word), level: "trace" };
  return level && { path: targetPath(target), level };
}

function parseLevel(word: string): LogLevel | undefined {
  const lower = word.toLowerCase();
  // Levels may be written as numbers, 0 for off to 5 for trace.
  return LEVELS.find((level, number) => level === lower || String(number) === word);
}

function targetPath(target: string): readonly string[] {
  const path = target.split(/::|\./);
  return PROGRAM.has(path[0]!) ? path.slice(1) : path;
}
