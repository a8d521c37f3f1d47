/**
 * Stand-in for `jsr:@std/cli/parse-args`: delegates to `node:util` parseArgs; the published call shape for
 * the options we use (`string`, `boolean`, `collect`, `alias`, `unknown`, `stopEarly`).
 */
import { parseArgs as nodeParseArgs } from "node:util";

/** Options of {@linkcode parseArgs}: the subset of the published ones that this project uses. */
export interface ParseOptions {
  string?: readonly string[];
  boolean?: readonly string[];
  collect?: readonly string[];
  alias?: Readonly<Record<string, string>>;
  stopEarly?: boolean;
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/** Parsed arguments: `_` holds the positional ones. */
export type Args = { _: string[] } & Record<string, unknown>;

/** Parses command-line arguments. String options without a value read as "", as in the published package. */
export function parseArgs(args: readonly string[], options: ParseOptions = {}): Args {
  const strings = new Set(options.string ?? []);
  const aliases = options.alias ?? {};
  const short = new Map(Object.entries(aliases).map(([long, one]) => [long, one]));
  const config: Record<string, { type: "string" | "boolean"; multiple: true; short?: string }> = {};
  for (const name of [...strings, ...(options.boolean ?? [])]) {
    if (name === "_") continue; // Says only that positional arguments stay text; here they always do.
    const letter = short.get(name);
    config[name] = {
      type: strings.has(name) ? "string" : "boolean",
      multiple: true,
      ...(letter ? { short: letter } : {}),
    };
  }
  const { tokens } = nodeParseArgs({
    args: [...args],
    options: config,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const out: Args = { _: [] };
  const collect = new Set(options.collect ?? []);
  for (const token of tokens ?? []) {
    if (token.kind === "positional") {
      if (options.stopEarly) {
        out._.push(...args.slice(token.index));
        break;
      }
      out._.push(token.value);
      continue;
    }
    if (token.kind !== "option") continue;
    if (!(token.name in config)) {
      if (options.unknown?.(token.rawName, token.name, token.value) === false) continue;
    }
    const value = strings.has(token.name) ? token.value ?? "" : token.value ?? true;
    if (collect.has(token.name)) ((out[token.name] ??= []) as unknown[]).push(value);
    else out[token.name] = value;
  }
  return out;
}
