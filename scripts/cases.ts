/** `deno task cases`: writes `docs/cases.md`, which maps every numbered case to the tests that name it. */
import { join } from "@std/path";
import { missingCases, renderCases, type TaggedTest, taggedTests } from "./support/cases.ts";
import { print } from "./support/process.ts";
import { REPO, sourceFiles } from "./support/repo.ts";

/** Absolute path of the page. */
export const CASES_PAGE: string = join(REPO, "docs/cases.md");

/** The tests of the generator itself, whose samples look like tags. */
const NOT_SCANNED = "tests/cases_test.ts";

/** All tags in the test sources, in order of file and place. */
export function allTaggedTests(): TaggedTest[] {
  return sourceFiles("tests").filter((path) => path !== NOT_SCANNED)
    .flatMap((path) => taggedTests(path, Deno.readTextFileSync(join(REPO, path))));
}

if (import.meta.main) {
  const tests = allTaggedTests();
  await Deno.mkdir(join(REPO, "docs"), { recursive: true });
  await Deno.writeTextFile(CASES_PAGE, renderCases(tests));
  const missing = missingCases(tests);
  print(
    `cases: wrote ${CASES_PAGE}; ${missing.length} cases without a test${
      missing.map((id) => `\n  ${id}`).join("")
    }`,
  );
}
