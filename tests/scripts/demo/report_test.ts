import { assertEquals } from "@std/assert";
import { Report } from "../../../scripts/demo/report.ts";

Deno.test("Report: all checks held, exit code 0", () => {
  const lines: string[] = [];
  const report = new Report({ print: (line) => void lines.push(line) });
  report.step("A step");
  report.say("a fact\n\n  and more");
  report.check("a check", true);
  assertEquals(report.verdict(), 0);
  assertEquals(lines, [
    "\n== A step",
    "   a fact",
    "",
    "     and more",
    "   ok   a check",
    "\ndemo: everything worked",
  ]);
});

Deno.test("Report: a check failed, exit code 1, and the verdict names it", () => {
  const lines: string[] = [];
  const report = new Report({ print: (line) => void lines.push(line) });
  report.check("this", false);
  report.check("that", true);
  assertEquals(report.verdict(), 1);
  assertEquals(lines, ["   FAIL this", "   ok   that", "\ndemo: failed: this"]);
});
