/**
 * The numbered cases that the daemon has to meet, and which tests name them. No I/O.
 *
 * A test names a case with a tag in its name: `[ipc 4]` and `[daemon 22]` are cases of the IPC contract and of
 * the process, `[overlay T31]` of the overlay itself, `[windows T40]` of what only Windows has.
 */

/** A case, such as `ipc 4` or `overlay T31`. */
export type CaseId = string;

/** A test that names a case. */
export interface TaggedTest {
  readonly id: CaseId;
  /** Relative to the repository. */
  readonly path: string;
  /** The name as written, tags taken out. */
  readonly name: string;
}

/** Cases that other parts of the product own, and which. */
const OTHERS: Readonly<Record<CaseId, string>> = {
  ...owned(["overlay T45"], "user-space WireGuard"),
  ...owned(range(46, 51).map((n) => `overlay T${n}`), "DNS"),
  ...owned(range(89, 91).map((n) => `windows T${n}`), "Windows service"),
  ...owned(range(92, 94).map((n) => `windows T${n}`), "Windows pipe"),
};

/** Numbers of the Windows cases, which leave room between their groups. */
const WINDOWS_CASES = [
  ...range(1, 16),
  ...range(20, 38),
  ...range(40, 60),
  ...range(70, 77),
  ...range(80, 94),
];

/** Every case there is, in order. */
export const ALL_CASES: readonly CaseId[] = [
  ...range(1, 9).map((n) => `ipc ${n}`),
  ...range(1, 58).map((n) => `daemon ${n}`),
  ...range(1, 51).map((n) => `overlay T${n}`),
  ...WINDOWS_CASES.map((n) => `windows T${n}`),
];

/** Cases that must have a test. */
export const REQUIRED_CASES: readonly CaseId[] = ALL_CASES.filter((id) => !Object.hasOwn(OTHERS, id));

const TAG = /\[(ipc \d+|daemon \d+|overlay T\d+|windows T\d+)\]/g;
/** A literal on one line, so that a stray quote in a comment or an expression spoils one line at most. */
const STRING = /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\\n])*`/g;

/** Finds the tags in the string literals of a test file; those in comment lines do not count. */
export function taggedTests(path: string, source: string): TaggedTest[] {
  const code = source.split("\n").filter((line) => !/^\s*(\/\/|\/?\*)/.test(line)).join("\n");
  return [...code.matchAll(STRING)].flatMap(([literal]) => {
    const name = literal.slice(1, -1).replace(TAG, "").replace(/\s+/g, " ").trim();
    return [...literal.matchAll(TAG)].map(([, id]) => ({ id: id ?? "", path, name }));
  });
}

/** Required cases that no test names, in order. */
export function missingCases(tests: readonly TaggedTest[]): CaseId[] {
  const named = new Set(tests.map(({ id }) => id));
  return REQUIRED_CASES.filter((id) => !named.has(id));
}

/** Tags of cases that do not exist. */
export function unknownCases(tests: readonly TaggedTest[]): TaggedTest[] {
  return tests.filter(({ id }) => !ALL_CASES.includes(id));
}

/** The page `docs/cases.md`. */
export function renderCases(tests: readonly TaggedTest[]): string {
  const rows = ALL_CASES.flatMap((id) => {
    const mine = tests.filter((test) => test.id === id);
    if (mine.length === 0) return [`| ${id} | ${OTHERS[id] ?? "**no test**"} | |`];
    return mine.map(({ path, name }) => `| ${id} | [${path}](../${path}) | ${escapeCell(name)} |`);
  });
  return [
    "# Cases and their tests",
    "",
    "Made by `deno task cases` from the tags in test names; a test fails when this page is stale or a case of ours",
    "has no test. `ipc`: the wire contract. `daemon`: process, paths, life cycle, marker, ports. `overlay`:",
    "interface names, WireGuard, addresses. `windows`: HCN networks and endpoints, the Wintun device, service and",
    "pipe. A case without a file belongs to the part that is named.",
    "",
    "| case | file | test |",
    "| --- | --- | --- |",
    ...rows,
    "",
  ].join("\n");
}

function escapeCell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("<", "&lt;");
}

function owned(ids: readonly CaseId[], owner: string): Record<CaseId, string> {
  return Object.fromEntries(ids.map((id) => [id, owner]));
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}
