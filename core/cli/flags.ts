/**
 * One strict pass over flags: every flag known, given once, and with a value where it takes one.
 *
 * `@std/cli` splits the arguments; this module adds what it leaves open. Both spellings `--flag value` and
 * `--flag=value` are accepted. A value cannot begin with `-` (write `./-odd` for such a path), so that a
 * forgotten value never swallows the next flag.
 */
import { parseArgs } from "@std/cli";

/** A flag that a command accepts. */
export interface FlagSpec {
  /** Long name without dashes. */
  readonly name: string;
  /** One letter, if there is a short form. */
  readonly short?: string;
  /** What the value is called in the help text; absent for a switch. */
  readonly value?: string;
  /** One line of help; absent: the flag is not shown. */
  readonly help?: string;
}

/** What was found, or why it is not acceptable. */
export type FlagResult =
  | { readonly ok: true; readonly values: FlagValues; readonly positional: readonly string[] }
  | { readonly ok: false; readonly message: string };

/** Values by flag name: text for flags that take one, `true` for switches. */
export type FlagValues = ReadonlyMap<string, string | true>;

/**
 * Parses the flags of one command.
 *
 * @param options.stopEarly Everything from the first positional argument on is left in `positional`.
 */
export function parseFlags(
  args: readonly string[],
  specs: readonly FlagSpec[],
  options: { stopEarly?: boolean } = {},
): FlagResult {
  const unknown: string[] = [];
  const parsed = parseArgs([...args], {
    string: [...specs.filter((spec) => spec.value).map((spec) => spec.name), "_"],
    boolean: specs.filter((spec) => !spec.value).map((spec) => spec.name),
    collect: specs.map((spec) => spec.name),
    alias: Object.fromEntries(specs.flatMap((spec) => spec.short ? [[spec.name, spec.short]] : [])),
    stopEarly: options.stopEarly ?? false,
    unknown: (arg, key) => {
      if (key !== undefined) unknown.push(arg);
      return key === undefined;
    },
  });
  if (unknown[0] !== undefined) return { ok: false, message: `unknown flag '${flagOf(unknown[0])}'` };
  const values = new Map<string, string | true>();
  for (const spec of specs) {
    const complaint = take(spec, parsed[spec.name], values);
    if (complaint) return { ok: false, message: complaint };
  }
  return { ok: true, values, positional: parsed._.map(String) };
}

/** Checks the occurrences of one flag and stores its value. */
function take(spec: FlagSpec, found: unknown, values: Map<string, string | true>): string | undefined {
  const all: readonly unknown[] = Array.isArray(found) ? found : [];
  if (all.length === 0) return undefined;
  if (all.length > 1) return `flag '--${spec.name}' was given more than once`;
  const value = all[0];
  if (!spec.value) {
    if (value !== true) return `flag '--${spec.name}' takes no value`;
    values.set(spec.name, true);
    return undefined;
  }
  if (typeof value !== "string" || value === "" || value.startsWith("-")) {
    return `flag '--${spec.name}' needs a value: --${spec.name} ${spec.value}`;
  }
  values.set(spec.name, value);
  return undefined;
}

/** The name without a value, which may be long or private. */
function flagOf(arg: string): string {
  const at = arg.indexOf("=");
  return at < 0 ? arg : arg.slice(0, at);
}
