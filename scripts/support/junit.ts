/**
 * Reads the JUnit report of `deno test --junit-path`.
 *
 * Deno writes one `testsuite` per file, its top-level tests first, then the steps named `test > step`. A test
 * that a filter left out is `<skipped/>` without a `time`; one that was ignored has a `time`.
 */

/** How one test or step ended. */
export type Outcome = "passed" | "failed" | "skipped" | "filtered";

/** One test or step of a report. */
export interface TestCase {
  /** File as Deno names it, such as `./tests/ipc/frame_test.ts`. */
  readonly file: string;
  /** Full name; a step is `test > step`. */
  readonly name: string;
  readonly isStep: boolean;
  readonly outcome: Outcome;
}

/** A report that is not JUnit XML as Deno writes it. */
export class JUnitError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "JUnitError";
  }
}

interface Tag {
  readonly name: string;
  readonly closing: boolean;
  readonly selfClosing: boolean;
  readonly attributes: Readonly<Record<string, string>>;
}

const TAG = /<(\/?)([A-Za-z][\w.-]*)((?:\s+[\w.:-]+\s*=\s*"[^"]*")*)\s*(\/?)>/g;
const ATTRIBUTE = /([\w.:-]+)\s*=\s*"([^"]*)"/g;
const ENTITIES: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };

/**
 * Parses a whole report.
 *
 * @throws {JUnitError} If the text is cut short or has no `testsuites` element.
 */
export function parseJUnit(xml: string): TestCase[] {
  if (!/<testsuites[\s>]/.test(xml)) throw new JUnitError("no <testsuites> element in the report");
  if (!/<\/testsuites>\s*$|<testsuites[^>]*\/>\s*$/.test(xml)) {
    throw new JUnitError("the report is cut short");
  }
  const cases: TestCase[] = [];
  let file = "";
  let topLevel: string[] = [];
  let open: { name: string; timed: boolean; outcome: Outcome } | undefined;
  const close = (): void => {
    if (open === undefined) return;
    const { name, timed, outcome } = open;
    const isStep = topLevel.some((test) => name.startsWith(`${test} > `));
    if (!isStep) topLevel.push(name);
    cases.push({ file, name, isStep, outcome: outcome === "skipped" && !timed ? "filtered" : outcome });
    open = undefined;
  };
  for (const tag of tags(xml)) {
    if (tag.name === "testsuite" && !tag.closing) {
      file = tag.attributes.name ?? "";
      topLevel = [];
    } else if (tag.name === "testcase") {
      close();
      if (tag.closing) continue;
      open = { name: tag.attributes.name ?? "", timed: "time" in tag.attributes, outcome: "passed" };
      if (tag.selfClosing) close();
    } else if (open !== undefined && !tag.closing) {
      if (tag.name === "failure" || tag.name === "error") open.outcome = "failed";
      if (tag.name === "skipped" && open.outcome === "passed") open.outcome = "skipped";
    }
  }
  return cases;
}

/** Every tag in order. Text between tags is escaped in the report, so a `<` always starts a tag. */
function* tags(xml: string): Generator<Tag> {
  for (const match of xml.matchAll(TAG)) {
    const attributes: Record<string, string> = {};
    for (const [, key, value] of (match[3] ?? "").matchAll(ATTRIBUTE)) {
      if (key !== undefined) attributes[key] = unescape(value ?? "");
    }
    yield { name: match[2] ?? "", closing: match[1] === "/", selfClosing: match[4] === "/", attributes };
  }
}

function unescape(text: string): string {
  return text.replace(/&(?:#x([0-9a-fA-F]+)|#(\d+)|(\w+));/g, (whole, hex, decimal, name) => {
    if (hex !== undefined) return String.fromCodePoint(parseInt(hex, 16));
    if (decimal !== undefined) return String.fromCodePoint(Number(decimal));
    return ENTITIES[name] ?? whole;
  });
}
