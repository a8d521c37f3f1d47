/** Reads the report that `deno test --junit-path` was told to write. */
import { JUnitError, parseJUnit, type TestCase } from "./junit.ts";

/** The tests of a report, or why there is none that can be read. */
export async function readReport(path: string): Promise<readonly TestCase[] | { readonly problem: string }> {
  try {
    return parseJUnit(await Deno.readTextFile(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { problem: "deno test wrote no report" };
    if (error instanceof JUnitError) return { problem: error.message };
    throw error;
  }
}
