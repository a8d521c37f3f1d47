/** The rules of the source tree: who may import whom, what is pure, what each file owes. No I/O. */
import type { SourceFacts } from "./facts.ts";

/** A rule: its name and what breaks it, one line each. */
export interface Rule {
  readonly name: string;
  readonly check: (files: readonly SourceFacts[]) => string[];
}

/** Longest file, in lines. */
const MAX_LINES = 500;

/** What becomes part of the program. */
const PROGRAM = /^(main\.ts|mod\.ts|(ffi|core|ipc)\/.*\.ts)$/;

/**
 * Leaf modules of the core that the IPC layer may name: the service interface, errors, log, clock, event loop, values; and
 * the endpoint on Windows, where Deno has none of its own.
 */
const OPEN_TO_IPC =
  /^core\/((service|errors|log|clock|event_loop|types|version|quote|json|transport\/named_pipe)\.ts$|ip\/)/;

/** Folders of the core that talk to the operating system. */
const CORE_MAY_FFI = /^core\/(backend|transport)\//;

/** No clock, no randomness, no I/O: all of it comes in as arguments. */
const PURE =
  /^(ffi\/(bytes\.ts$|netlink\/)|ipc\/(frame|codec|protocol)\.ts$|core\/((errors|service)\.ts$|(ip|ipam|nat|wireguard|hash)\/|dns\/(message|zone)\.ts$|network\/|backend\/linux\/egress_choice\.ts$))/;

/** What a pure module may not touch, as a prefix of a dotted name. */
const IMPURE = [
  "Deno",
  "Date.now",
  "new Date()",
  "Temporal.Now",
  "performance",
  "setTimeout",
  "setInterval",
  "setImmediate",
  "queueMicrotask",
  "Math.random",
  "crypto.getRandomValues",
  "crypto.randomUUID",
  "randomBytes",
  "randomFillSync",
  "randomInt",
  "randomUUID",
  "fetch",
] as const;

/** Modules of Node that are impure. */
const IMPURE_NODE =
  /^node:(child_process|dgram|dns|fs|http|net|os|process|sqlite|timers|tls|worker_threads)\b/;

/**
 * Where the system may be asked which one it is; `core/environment.ts` gathers, for `main.ts`, what the rest of
 * the core is given as values.
 */
const MAY_ASK_OS =
  /^(main\.ts|core\/environment\.ts|core\/backend\/select\.ts|core\/transport\/(private_path|tunnel)\.ts|ipc\/listener\.ts)$/;

/** Every rule. */
export const RULES: readonly Rule[] = [
  { name: "imports go main -> ipc -> core -> ffi", check: direction },
  { name: "pure modules touch no clock, randomness or I/O", check: purity },
  { name: "no import cycles", check: cycles },
  { name: "only ffi opens libraries", check: perFile(libraries) },
  { name: "the operating system is asked for in few places only", check: perFile(operatingSystem) },
  { name: `no file is longer than ${MAX_LINES} lines`, check: perFile(length) },
  { name: "exports have doc comments", check: perFile(documentation) },
];

function perFile(check: (file: SourceFacts) => string[]): Rule["check"] {
  return (files) => files.flatMap(check);
}

function direction(files: readonly SourceFacts[]): string[] {
  return files.filter(({ path }) => PROGRAM.test(path)).flatMap((file) =>
    file.imports.flatMap(({ path }) => {
      if (path === undefined || !path.endsWith(".ts") || mayImport(file.path, path)) return [];
      return [`${file.path} imports ${path}`];
    })
  );
}

/** Whether a module of the program may import another file of the repository. */
function mayImport(from: string, to: string): boolean {
  if (!PROGRAM.test(to) || to === "main.ts") return false;
  const folder = from.split("/")[0];
  if (to === "ffi/bytes.ts") return true;
  switch (folder) {
    case "mod.ts":
      return true;
    case "main.ts":
      return /^(ipc|core)\//.test(to);
    case "ipc":
      return to.startsWith("ipc/") || OPEN_TO_IPC.test(to);
    case "core":
      return to.startsWith("core/") || (to.startsWith("ffi/") && CORE_MAY_FFI.test(from));
    default:
      return to.startsWith("ffi/");
  }
}

/** A pure module must not reach an impure one either. */
function purity(files: readonly SourceFacts[]): string[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const found = new Set<string>();
  const visit = (file: SourceFacts, via: readonly string[]): void => {
    const chain = [...via, file.path].join(" -> ");
    for (const use of file.uses.filter(isImpure)) found.add(`${chain} uses ${use}`);
    for (const { specifier, path } of file.imports) {
      if (IMPURE_NODE.test(specifier)) found.add(`${chain} imports ${specifier}`);
      const next = path === undefined ? undefined : byPath.get(path);
      if (next !== undefined && !PURE.test(next.path) && !via.includes(next.path)) {
        visit(next, [...via, file.path]);
      }
    }
  };
  for (const file of files) if (PURE.test(file.path)) visit(file, []);
  return [...found];
}

function isImpure(use: string): boolean {
  return IMPURE.some((name) => use === name || use.startsWith(`${name}.`));
}

function cycles(files: readonly SourceFacts[]): string[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (path: string, stack: readonly string[]): void => {
    const at = stack.indexOf(path);
    if (at >= 0) found.push([...stack.slice(at), path].join(" -> "));
    if (at >= 0 || done.has(path)) return;
    for (const { path: next } of byPath.get(path)?.imports ?? []) {
      if (next !== undefined) visit(next, [...stack, path]);
    }
    done.add(path);
  };
  for (const { path } of files) visit(path, []);
  return found;
}

function libraries({ path, uses }: SourceFacts): string[] {
  if (!PROGRAM.test(path) || path.startsWith("ffi/")) return [];
  return uses.filter((use) => /^Deno\.(dlopen|Unsafe)/.test(use)).map((use) => `${path} uses ${use}`);
}

function operatingSystem({ path, uses }: SourceFacts): string[] {
  if (!PROGRAM.test(path) || MAY_ASK_OS.test(path)) return [];
  const asks = uses.filter((use) => use === "Deno.build" || use === "Deno.build.os");
  return asks.slice(0, 1).map(() => `${path} reads Deno.build`);
}

function length({ path, lines }: SourceFacts): string[] {
  return lines > MAX_LINES ? [`${path} has ${lines} lines`] : [];
}

function documentation({ path, undocumented }: SourceFacts): string[] {
  return path.endsWith("_test.ts") ? [] : undocumented.map((name) => `${path}: ${name} has no doc comment`);
}
