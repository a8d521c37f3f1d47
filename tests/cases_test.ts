/** `docs/cases.md` is what the tests say, and no case of ours is without a test. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { allTaggedTests, CASES_PAGE } from "../scripts/cases.ts";
import {
  ALL_CASES,
  missingCases,
  renderCases,
  REQUIRED_CASES,
  taggedTests,
  unknownCases,
} from "../scripts/support/cases.ts";

/** Whether this branch has the tests of all parts yet. */
const ENFORCED = true;

if (ENFORCED) {
  Deno.test("docs/cases.md is up to date", () => {
    assertEquals(Deno.readTextFileSync(CASES_PAGE), renderCases(allTaggedTests()), "run deno task cases");
  });

  Deno.test("every case of ours has a test", () => {
    assertEquals(missingCases(allTaggedTests()), []);
  });
}

Deno.test("every tag names a case that exists", () => {
  assertEquals(unknownCases(allTaggedTests()), []);
});

Deno.test("taggedTests() finds tags in names, whatever the quotes, and not in comments", () => {
  const source = [
    'Deno.test("[ipc 4] [daemon 22] two", () => {});',
    "// Deno.test('[ipc 5] gone', () => {});",
    " * as [ipc 6] says",
    "await t.step(`${name} [overlay T31]`, () => {});",
    "  { name: 'it\\'s [daemon 7]', input: [ipc, 8] },",
  ].join("\n");
  assertEquals(taggedTests("tests/x_test.ts", source).map(({ id, name }) => [id, name]), [
    ["ipc 4", "two"],
    ["daemon 22", "two"],
    ["overlay T31", "${name}"],
    ["daemon 7", "it\\'s"],
  ]);
});

Deno.test("missingCases() and unknownCases() notice", () => {
  const tests = REQUIRED_CASES.map((id) => ({ id, path: "tests/x_test.ts", name: "x" }));
  assertEquals(missingCases(tests), []);
  assertEquals(missingCases(tests.filter(({ id }) => id !== "daemon 12")), ["daemon 12"]);
  const odd = { id: "ipc 10", path: "tests/x_test.ts", name: "x" };
  assertEquals(unknownCases([...tests, odd]), [odd]);
});

Deno.test("renderCases() has a row for every case and escapes names", () => {
  const page = renderCases([{ id: "ipc 1", path: "tests/x_test.ts", name: "a | b <c>" }]);
  assertStringIncludes(page, "| ipc 1 | [tests/x_test.ts](../tests/x_test.ts) | a \\| b &lt;c> |");
  assertStringIncludes(page, "| ipc 2 | **no test** | |");
  assertStringIncludes(page, "| windows T89 | Windows service | |");
  for (const id of ALL_CASES) assert(page.includes(`| ${id} |`), id);
});
